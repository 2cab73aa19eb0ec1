//! Where a driver is to work: the roots of a store, and what a driver is told of them.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

/// The roots of a store. A driver has a home of its name below each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// The graph root.
    pub graph: PathBuf,
    /// The run root, whose content is gone after a reboot.
    pub run: PathBuf,
    /// The root of a separate image store, which is written to like the graph root.
    pub image: Option<PathBuf>,
    /// The roots of additional stores, in the order in which they are numbered ([`super::Home::Additional`]). They are
    /// only read, and what stands in them isn't trusted.
    pub additional: Vec<PathBuf>,
}

impl Roots {
    /// A store that stands in one place.
    pub fn new(graph: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Self {
        Roots { graph: graph.into(), run: run.into(), image: None, additional: Vec::new() }
    }

    /// The roots with the additional stores that options of the driver `name` give behind those that are known: the keys
    /// `imagestore` and `additionalimagestore`, each with a list of paths between commas. A path that is known already is
    /// left out.
    ///
    /// * Fails with [`Kind::Usage`] on a path that is not absolute, and on an option that has no `=`.
    pub fn with_options(mut self, name: &str, options: &[String]) -> Result<Self> {
        for (key, value) in own_options(name, options)? {
            if names_stores(&key) {
                value.split(',').filter(|path| !path.is_empty()).try_for_each(|path| self.add(&key, path))?;
            }
        }
        Ok(self)
    }

    fn add(&mut self, key: &str, path: &str) -> Result<()> {
        let path: PathBuf = Path::new(path).components().collect();
        if !path.is_absolute() {
            return Err(Error::new(Kind::Usage, "read storage option")
                .at(&path)
                .detail(format!("{key}: image path {:?} is not absolute. Can not be relative", path.display()))
                .remedy("give the whole path of the store"));
        }
        if !self.additional.contains(&path) {
            self.additional.push(path);
        }
        Ok(())
    }
}

/// Where and how a driver is to work.
#[derive(Clone, Debug)]
pub struct Request {
    /// The driver's home: `GRAPHROOT/<driver>`. It may not exist yet.
    pub home: PathBuf,
    /// The driver's home in a separate image store: `IMAGESTORE/<driver>`. It may not exist yet.
    pub image_home: Option<PathBuf>,
    /// The driver's homes in additional stores: `STORE/<driver>`. They are never written to; any of them may be missing, on
    /// a read-only mount, or owned by somebody else.
    pub additional_homes: Vec<PathBuf>,
    /// The driver's place in the run root: `RUNROOT/<driver>`. It may not exist yet.
    pub run_home: PathBuf,
    /// Options for this driver, without its prefix (`mountopt=nodev`), and without those that name stores.
    pub options: Vec<(String, String)>,
}

impl Request {
    /// The request for the driver `name` below `roots`. Of `options` (`[driver.]key=value`) those of other drivers are left
    /// out, and those that name stores have done their work ([`Roots::with_options`]).
    ///
    /// * Fails with [`Kind::Usage`] on an option that has no `=`.
    pub fn new(roots: &Roots, name: &str, options: &[String]) -> Result<Self> {
        let roots = roots.clone().with_options(name, options)?;
        let mut own = own_options(name, options)?;
        own.retain(|(key, _)| !names_stores(key));
        Ok(Request {
            home: roots.graph.join(name),
            image_home: roots.image.map(|root| root.join(name)),
            additional_homes: roots.additional.iter().map(|root| root.join(name)).collect(),
            run_home: roots.run.join(name),
            options: own,
        })
    }

    /// A request for one home and nothing else.
    pub fn of_home(home: impl Into<PathBuf>, run_home: impl Into<PathBuf>) -> Self {
        Request {
            home: home.into(),
            image_home: None,
            additional_homes: Vec::new(),
            run_home: run_home.into(),
            options: Vec::new(),
        }
    }
}

/// The options for the driver `name`, without its prefix.
fn own_options(name: &str, options: &[String]) -> Result<Vec<(String, String)>> {
    let mut own = Vec::new();
    for option in options {
        let (key, value) = option.split_once('=').ok_or_else(|| {
            Error::new(Kind::Usage, "read storage option")
                .detail(format!("{option:?} has no value"))
                .remedy("write it as KEY=VALUE")
        })?;
        match key.split_once('.') {
            None => own.push((key.to_owned(), value.to_owned())),
            Some((driver, key)) if driver == name || (driver == "overlay2" && name == "overlay") => {
                own.push((key.to_owned(), value.to_owned()));
            }
            Some(_) => {}
        }
    }
    Ok(own)
}

fn names_stores(key: &str) -> bool {
    matches!(key, "imagestore" | "additionalimagestore")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(options: &[&str]) -> Vec<String> {
        options.iter().map(|&option| option.to_owned()).collect()
    }

    #[test]
    fn options_that_name_stores_become_homes_and_reach_no_driver() {
        let mut roots = Roots::new("/g", "/r");
        roots.additional.push("/one".into());
        let given =
            options(&["overlay.imagestore=/two,/one,", "vfs.imagestore=/three", "additionalimagestore=/four/./x"]);
        let request = Request::new(&roots, "overlay", &given).expect("request");
        let homes = ["/one/overlay", "/two/overlay", "/four/x/overlay"].map(PathBuf::from);
        assert_eq!(request.additional_homes, homes);
        assert_eq!((request.options, request.image_home), (Vec::new(), None));
        let refused = Request::new(&roots, "overlay", &options(&["overlay.imagestore=two"]));
        assert_eq!(refused.map_err(|error| error.kind()).err(), Some(Kind::Usage));
    }

    #[test]
    fn a_driver_sees_its_own_options_and_those_of_all() {
        let roots = Roots { image: Some("/i".into()), ..Roots::new("/g", "/r") };
        let given = options(&["overlay2.mountopt=nodev", "vfs.sync=none", "size=1G"]);
        let request = Request::new(&roots, "overlay", &given).expect("request");
        assert_eq!(request.image_home, Some("/i/overlay".into()));
        let pairs = [("mountopt", "nodev"), ("size", "1G")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(request.options, pairs);
        let refused = Request::new(&roots, "overlay", &options(&["size"]));
        assert_eq!(refused.map_err(|error| error.kind()).err(), Some(Kind::Usage));
    }
}
