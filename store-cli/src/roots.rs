//! Where a store is when nobody says so.
//!
//! Root: `/var/lib/containers/storage` and `/run/containers/storage`. An ordinary user, also inside a user namespace that
//! was entered for them: `$XDG_DATA_HOME/containers/storage` (else `~/.local/share/…`) and `$XDG_RUNTIME_DIR/containers`.

use std::path::{Path, PathBuf};

use storage_core::{Error, Result};

use crate::userns;

/// The two roots of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roots {
    pub(crate) graph: PathBuf,
    pub(crate) run: PathBuf,
}

/// The roots that serve when none is named.
pub(crate) fn default_roots() -> Roots {
    roots_for(userns::ordinary_user(), |name| {
        std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    })
}

fn roots_for(user: Option<u32>, environment: impl Fn(&str) -> Option<PathBuf>) -> Roots {
    let Some(uid) = user else {
        return Roots { graph: "/var/lib/containers/storage".into(), run: "/run/containers/storage".into() };
    };
    let home = environment("HOME").unwrap_or_else(|| "/".into());
    let data = environment("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
    let run = environment("XDG_RUNTIME_DIR").unwrap_or_else(|| {
        let place = PathBuf::from(format!("/run/user/{uid}"));
        if place.is_dir() { place } else { PathBuf::from(format!("/tmp/storage-run-{uid}")) }
    });
    Roots { graph: data.join("containers/storage"), run: run.join("containers") }
}

/// `path` from the root of the filesystem on.
pub(crate) fn absolute(path: impl AsRef<Path>) -> Result<PathBuf> {
    let path = path.as_ref();
    std::path::absolute(path).map_err(|source| Error::os("find current directory for", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_ordinary_users_have_different_roots() {
        let none = |_: &str| None;
        assert_eq!(roots_for(None, none).graph, Path::new("/var/lib/containers/storage"));
        let environment = |name: &str| match name {
            "HOME" => Some(PathBuf::from("/home/u")),
            "XDG_RUNTIME_DIR" => Some(PathBuf::from("/run/user/1000")),
            _ => None,
        };
        let roots = roots_for(Some(1000), environment);
        assert_eq!(roots.graph, Path::new("/home/u/.local/share/containers/storage"));
        assert_eq!(roots.run, Path::new("/run/user/1000/containers"));
    }
}
