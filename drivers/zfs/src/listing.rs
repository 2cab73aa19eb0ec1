//! What `zfs list` says, told apart.

use std::collections::BTreeMap;

use storage_core::error::{Error, Kind, Result};

/// The property that tells whose a dataset or a snapshot is: the id of the home that made it. What is made by others has none.
pub(crate) const OWNER: &str = "lamina:home";

/// The columns that are asked for, in this order. The owner is last: it is the one that may hold anything.
pub(crate) const COLUMNS: &str = "name,guid,origin,quota,defer_destroy,createtxg,snapdir,lamina:home";

/// A dataset directly below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dataset {
    /// What no other dataset has, also after a rename.
    pub(crate) guid: String,
    /// The whole name of the snapshot that it is a clone of.
    pub(crate) origin: Option<String>,
    /// The most that it may hold, in bytes; 0 for no limit.
    pub(crate) quota: u64,
    /// The transaction group that it was made in: the greater, the younger.
    pub(crate) made_in: u64,
    /// Whether its snapshots show as a directory in its root.
    pub(crate) shows_snapshots: bool,
    /// The home that made it; `None` when it says nothing of its own.
    pub(crate) owner: Option<String>,
    /// Its snapshots, the oldest first.
    pub(crate) snapshots: Vec<Snapshot>,
}

/// A snapshot of such a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The name behind the `@`.
    pub(crate) name: String,
    /// It goes when its last clone does.
    pub(crate) is_deferred: bool,
    /// The home that made it, or its dataset; `None` when nothing is said.
    pub(crate) owner: Option<String>,
}

/// All datasets directly below a root, by the last part of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) datasets: BTreeMap<String, Dataset>,
}

impl Listing {
    /// Reads what `zfs list -Hp -d 2 -t filesystem,snapshot -o COLUMNS ROOT` wrote. A line that can't be understood is an
    /// error: what is not known must not be destroyed.
    pub(crate) fn parse(root: &str, text: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(text).map_err(|_| wrong(root, "text that is not UTF-8"))?;
        let mut listing = Listing::default();
        let lines = text.lines().map(|line| Line::parse(line).ok_or_else(|| wrong(root, line)));
        let lines = lines.collect::<Result<Vec<_>>>()?;
        // What the root says is inherited by what says nothing itself.
        let inherited = lines.iter().find(|line| line.name == root).map_or("-", |line| line.owner);
        for line in &lines {
            if let Some((name, None)) = line.below(root) {
                listing.datasets.insert(name.to_owned(), line.dataset(root, inherited)?);
            }
        }
        for line in &lines {
            if let Some((name, Some(snapshot))) = line.below(root)
                && let Some(dataset) = listing.datasets.get_mut(name)
            {
                dataset.snapshots.push(Snapshot {
                    name: snapshot.to_owned(),
                    is_deferred: line.deferred == "on",
                    owner: line.owner(inherited),
                });
            }
        }
        Ok(listing)
    }
}

struct Line<'a> {
    name: &'a str,
    guid: &'a str,
    origin: &'a str,
    quota: &'a str,
    deferred: &'a str,
    made_in: &'a str,
    snapdir: &'a str,
    owner: &'a str,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.splitn(8, '\t').collect();
        let [name, guid, origin, quota, deferred, made_in, snapdir, owner] = fields[..] else { return None };
        Some(Line { name, guid, origin, quota, deferred, made_in, snapdir, owner })
    }

    /// The part of the name below `root`, and that of the snapshot; `None` for what isn't directly below.
    fn below(&self, root: &str) -> Option<(&'a str, Option<&'a str>)> {
        let below = self.name.strip_prefix(root)?.strip_prefix('/')?;
        let (name, snapshot) = below.split_once('@').map_or((below, None), |(name, snapshot)| (name, Some(snapshot)));
        (!name.contains('/')).then_some((name, snapshot))
    }

    fn owner(&self, inherited: &str) -> Option<String> {
        (self.owner != "-" && self.owner != inherited).then(|| self.owner.to_owned())
    }

    fn dataset(&self, root: &str, inherited: &str) -> Result<Dataset> {
        let quota = if matches!(self.quota, "-" | "none") { Ok(0) } else { self.quota.parse() };
        Ok(Dataset {
            guid: self.guid.to_owned(),
            origin: (self.origin != "-").then(|| self.origin.to_owned()),
            quota: quota.map_err(|_| wrong(root, self.quota))?,
            made_in: self.made_in.parse().map_err(|_| wrong(root, self.made_in))?,
            shows_snapshots: self.snapdir == "visible",
            owner: self.owner(inherited),
            snapshots: Vec::new(),
        })
    }
}

fn wrong(root: &str, what: &str) -> Error {
    Error::new(Kind::Corrupt, "list datasets").at(root).detail(format!("zfs list says {what:?}, which makes no sense"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "p/r\t11\t-\t0\t-\t1\thidden\touter\np/r@daily\t12\t-\t-\toff\t2\t-\touter\n\
        p/r/a\t13\t-\t0\t-\t3\tvisible\touter\np/r/a@lamina:1\t14\t-\t-\ton\t4\t-\tmine\n\
        p/r/b\t15\tp/r/a@lamina:1\t1048576\t-\t5\thidden\tmi\tne\np/r/b/own\t16\t-\t0\t-\t6\thidden\t-\n";

    #[test]
    fn only_what_is_directly_below_the_root_is_listed() {
        let listing = Listing::parse("p/r", TEXT.as_bytes()).expect("listing");
        let (a, b) = (&listing.datasets["a"], &listing.datasets["b"]);
        assert_eq!(listing.datasets.len(), 2);
        let owner = Some("mine".to_owned());
        assert_eq!(a.snapshots, [Snapshot { name: "lamina:1".into(), is_deferred: true, owner }]);
        assert_eq!((&a.owner, a.shows_snapshots, a.made_in), (&None, true, 3), "what the root says is nobody's word");
        assert_eq!((b.owner.as_deref(), b.shows_snapshots, b.made_in), (Some("mi\tne"), false, 5));
        assert_eq!((b.guid.as_str(), b.origin.as_deref(), b.quota), ("15", Some("p/r/a@lamina:1"), 1 << 20));
        assert!(Listing::parse("p", TEXT.as_bytes()).expect("listing").datasets.contains_key("r"));
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        for text in ["p/r/a\t13\t-\t0\n", "p/r/a\t13\t-\tmuch\t-\t1\thidden\t-\n", "cannot open\n"] {
            let kind = Listing::parse("p/r", text.as_bytes()).map_err(|error| error.kind());
            assert_eq!(kind.err(), Some(Kind::Corrupt), "{text}");
        }
    }
}
