//! Which places of staging and trash nobody holds any more, told without touching them.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::tempdir::{DIR_PREFIX, LOCK_PREFIX, TempDirs};
use crate::error::{OsContext, Result};
use crate::sys::ofd::{self, Mode};

impl TempDirs {
    /// The places whose makers are gone. Takes no lock.
    ///
    /// A maker holds its lock before its directory is there and until the directory is gone. So a directory that is still there
    /// after its lock was seen free is nobody's.
    pub fn stale(&self) -> Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(self.root()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).os("read directory", self.root()),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.os("read directory", self.root())?;
            let name = entry.file_name();
            let Some(suffix) = name.to_str().and_then(|name| name.strip_prefix(DIR_PREFIX)) else { continue };
            let lock = self.root().join(format!("{LOCK_PREFIX}{suffix}"));
            if !is_held(&lock)? && entry.path().symlink_metadata().is_ok() {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Whether somebody holds the lock file at `path`; one that is missing is held by nobody.
fn is_held(path: &Path) -> Result<bool> {
    let opened = File::options().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path);
    match opened {
        Ok(file) => Ok(ofd::conflict(&file, Mode::Exclusive).os("fcntl(F_OFD_GETLK)", path)?.is_some()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).os("open lock file", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_that_nobody_holds_are_stale() {
        let dir = tempfile::tempdir().expect("dir");
        let places = TempDirs::new(dir.path().join("tempdirs"));
        assert!(places.stale().expect("no places").is_empty());
        let live = places.create().expect("create");
        let dead = [places.root().join("temp-dir-1"), places.root().join("temp-dir-2")];
        for path in &dead {
            std::fs::create_dir(path).expect("mkdir");
        }
        std::fs::write(places.root().join("lock-2"), "").expect("write");
        assert_eq!(places.stale().expect("look"), dead);
        assert!(live.path().is_dir() && dead[0].is_dir(), "looking changes nothing");
    }
}
