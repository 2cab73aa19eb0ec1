//! A pool of zfs in a file. Other than a mount it is seen by the whole machine and outlives its maker.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use storage_core::error::{Error, Kind, OsContext, Result};

use super::disk::{missing, run};

/// How the names of our pools begin.
const PREFIX: &str = "lamina-grounds-";
/// The file that holds a pool, in the directory of its run.
const FILE: &str = "pool";
/// How much it holds: sparse.
const SIZE: u64 = 4 << 30;

/// A pool that is destroyed when this is dropped.
#[derive(Debug)]
pub struct Pool {
    name: String,
}

impl Pool {
    /// Makes one in `place`, whose name tells it from every other of this machine's.
    ///
    /// * Fails with [`Kind::NotSupported`] where this machine has no zfs.
    pub(super) fn make(place: &Path) -> Result<Self> {
        if !Path::new("/dev/zfs").exists() {
            return Err(missing("/dev/zfs is missing: the kernel has no zfs"));
        }
        let (name, file) = (name_for(place)?, place.join(FILE));
        std::fs::File::create_new(&file).and_then(|pool| pool.set_len(SIZE)).os("create", &file)?;
        let words = ["create", "-o", "cachefile=none", "-O", "mountpoint=none", &name].map(OsStr::new);
        run("zpool", &[&words[..], &[file.as_os_str()]].concat())?;
        Ok(Pool { name })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Destroys it with all that is in it.
    pub(super) fn destroy(self) -> Result<()> {
        destroy(&self.name)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = destroy(&self.name);
    }
}

/// Destroys the pool in `place`, whose maker was killed. It is told by its file, so no other can be meant.
pub(super) fn destroy_left(place: &Path) -> Result<()> {
    if !place.join(FILE).exists() {
        return Ok(());
    }
    destroy(&name_for(place)?)
}

fn destroy(name: &str) -> Result<()> {
    let words = ["list", "-H", "-o", "name"].map(OsStr::new);
    if !run("zpool", &words)?.lines().any(|line| line == name) {
        return Ok(());
    }
    run("zpool", &["destroy", "-f", name].map(OsStr::new)).map(drop)
}

/// The name of the pool of the run whose directory is `place`.
fn name_for(place: &Path) -> Result<String> {
    let name = place.file_name().and_then(OsStr::to_str);
    let suffix = name.and_then(|name| name.strip_prefix("temp-dir-"));
    suffix
        .map(|suffix| format!("{PREFIX}{suffix}"))
        .ok_or_else(|| Error::new(Kind::Escape, "name a pool").at(PathBuf::from(place)))
}

/// Makes a dataset of that name and mounts it at `dir`, which is made if needed.
pub fn dataset(name: &str, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).os("mkdir", dir)?;
    run("zfs", &["create", "-o", "mountpoint=legacy", name].map(OsStr::new))?;
    run("mount", &["-t".as_ref(), "zfs".as_ref(), OsStr::new(name), dir.as_os_str()]).map(drop)
}
