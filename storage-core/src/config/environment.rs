//! What a configuration depends on besides files: who asks, from where, with which variables.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Answers what a variable is set to.
type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// Who asks for a configuration, and where files and variables are found.
#[derive(Clone)]
pub struct Environment {
    /// The user; 0 is root. Inside a user namespace that was entered for an ordinary user, the user's id outside.
    pub uid: u32,
    /// The user's home directory.
    pub home: PathBuf,
    /// What stands before `/etc`, `/usr/share` and `/run/user`; empty but in tests and for a root filesystem elsewhere.
    pub prefix: PathBuf,
    variables: Arc<Lookup>,
}

/// The two roots of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// The directory of everything that lasts.
    pub graph: PathBuf,
    /// The directory of what is gone after a reboot.
    pub run: PathBuf,
}

impl Environment {
    /// The environment of `uid` with `home`, whose variables `lookup` knows.
    pub fn new(
        uid: u32,
        home: impl Into<PathBuf>,
        lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
    ) -> Self {
        Environment { uid, home: home.into(), prefix: PathBuf::new(), variables: Arc::new(lookup) }
    }

    /// The environment of this process, acting for `uid`. The home is `$HOME`, else what the user database says.
    pub fn of_process(uid: u32) -> Self {
        let known = || nix::unistd::User::from_uid(uid.into()).ok().flatten().map(|user| user.dir);
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        Environment::new(uid, home.or_else(known).unwrap_or_else(|| "/".into()), |name| std::env::var_os(name))
    }

    /// Whether this is an ordinary user, whose store is at home.
    pub fn is_ordinary(&self) -> bool {
        self.uid != 0
    }

    /// A variable. One that is set to nothing counts as missing.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        self.raw_variable(name).filter(|value| !value.is_empty())
    }

    /// A variable as it is, empty or not.
    pub(super) fn raw_variable(&self, name: &str) -> Option<OsString> {
        (self.variables)(name)
    }

    /// The roots of a store for which nothing is configured.
    pub fn default_roots(&self) -> Roots {
        if !self.is_ordinary() {
            return Roots { graph: "/var/lib/containers/storage".into(), run: "/run/containers/storage".into() };
        }
        let data = self.directory("XDG_DATA_HOME").unwrap_or_else(|| self.home.join(".local/share"));
        let run = self.directory("XDG_RUNTIME_DIR").unwrap_or_else(|| {
            let place = PathBuf::from(format!("/run/user/{}", self.uid));
            if self.system(&place).is_dir() { place } else { format!("/tmp/storage-run-{}", self.uid).into() }
        });
        Roots { graph: data.join("containers/storage"), run: run.join("containers") }
    }

    /// Where the user's own configuration is.
    pub(super) fn user_place(&self) -> PathBuf {
        self.directory("XDG_CONFIG_HOME").unwrap_or_else(|| self.home.join(".config")).join("containers")
    }

    /// A place of the system's.
    pub(super) fn system(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.prefix.join(if self.prefix.as_os_str().is_empty() { path } else { path.strip_prefix("/").unwrap_or(path) })
    }

    fn directory(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from)
    }

    /// `text` with `$NAME` and `${NAME}` replaced, as an absolute path whose links are resolved where it exists. The
    /// error says in words what is wrong.
    pub(super) fn expand_path(&self, text: &str) -> Result<PathBuf, String> {
        let path = PathBuf::from(self.expand(text)?);
        if !path.is_absolute() {
            return Err(format!("{text:?} is no absolute path"));
        }
        Ok(std::fs::canonicalize(&path).unwrap_or_else(|_| plain(&path)))
    }

    fn expand(&self, text: &str) -> Result<OsString, String> {
        let mut expanded = OsString::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push(before);
            let (name, tail) = name_at(after).ok_or_else(|| format!("{text:?} has a $ without a name"))?;
            expanded.push(self.named(name).ok_or_else(|| format!("{text:?}: the variable {name} is not set"))?);
            rest = tail;
        }
        expanded.push(rest);
        Ok(expanded)
    }

    fn named(&self, name: &str) -> Option<OsString> {
        match name {
            "UID" => Some(self.uid.to_string().into()),
            "HOME" => Some(self.home.clone().into()),
            name => self.variable(name),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("uid", &self.uid).field("home", &self.home).finish_non_exhaustive()
    }
}

/// The name of a variable behind its `$`, and what follows.
fn name_at(text: &str) -> Option<(&str, &str)> {
    let in_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let (name, tail) = match text.strip_prefix('{') {
        Some(inner) => inner.split_once('}')?,
        None => text.split_at(text.find(|letter| !in_name(letter)).unwrap_or(text.len())),
    };
    (!name.is_empty() && name.chars().all(in_name)).then_some((name, tail))
}

/// `path` without `.`, `..` and doubled slashes, by its text alone.
fn plain(path: &Path) -> PathBuf {
    let mut parts: Vec<&OsStr> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Path::new("/").join(parts.iter().collect::<PathBuf>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(variables: &'static [(&'static str, &'static str)]) -> Environment {
        Environment::new(1000, "/home/u", |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn root_and_ordinary_users_have_different_roots() {
        let root = Environment::new(0, "/root", |_| Some("/elsewhere".into())).default_roots();
        assert_eq!(root.graph, Path::new("/var/lib/containers/storage"));
        assert_eq!(root.run, Path::new("/run/containers/storage"));
        let mut bare = user(&[("XDG_DATA_HOME", "")]);
        bare.prefix = "/nosuch".into();
        assert_eq!(bare.default_roots().graph, Path::new("/home/u/.local/share/containers/storage"));
        assert_eq!(bare.default_roots().run, Path::new("/tmp/storage-run-1000/containers"));
        let full = user(&[("XDG_DATA_HOME", "/data"), ("XDG_RUNTIME_DIR", "/run/user/1000")]).default_roots();
        assert_eq!(full.graph, Path::new("/data/containers/storage"));
        assert_eq!(full.run, Path::new("/run/user/1000/containers"));
    }

    #[test]
    fn a_runtime_directory_that_is_there_is_used_without_its_variable() {
        let place = tempfile::tempdir().expect("make a directory");
        std::fs::create_dir_all(place.path().join("run/user/1000")).expect("make a directory");
        let mut environment = user(&[]);
        environment.prefix = place.path().to_path_buf();
        assert_eq!(environment.default_roots().run, Path::new("/run/user/1000/containers"));
    }

    #[test]
    fn variables_in_paths_are_expanded_and_missing_ones_named() {
        let environment = user(&[("USER", "ann")]);
        for (text, path) in [
            ("$HOME/x/$UID/${USER}s", "/home/u/x/1000/anns"),
            ("/nosuch//a/./b/../c/", "/nosuch/a/c"),
            ("/nosuch/$UID", "/nosuch/1000"),
        ] {
            assert_eq!(environment.expand_path(text), Ok(path.into()), "{text}");
        }
        for (text, word) in [
            ("relative", "no absolute path"),
            ("/a/$NOSUCH", "NOSUCH is not set"),
            ("/$", "without a name"),
            ("/${x", "without a name"),
        ] {
            let error = environment.expand_path(text).expect_err(text);
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn links_on_the_way_to_a_root_are_resolved() {
        let place = tempfile::tempdir().expect("make a directory");
        let real = place.path().canonicalize().expect("resolve").join("real");
        std::fs::create_dir(&real).expect("make a directory");
        std::os::unix::fs::symlink(&real, place.path().join("link")).expect("make a link");
        let text = place.path().join("link").display().to_string();
        assert_eq!(user(&[]).expand_path(&text), Ok(real));
    }
}
