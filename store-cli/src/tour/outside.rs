//! What another process could see of a store: its mounts, its counts, the places of its layers.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use storage_core::Result;
use storage_core::error::OsContext;
use storage_core::mount::parse_mountinfo;

/// What is mounted below `root` in this mount namespace, in the order in which it was mounted.
pub(crate) fn mounts_below(root: &Path) -> Result<Vec<PathBuf>> {
    let table = std::fs::read("/proc/self/mountinfo").os("read", "/proc/self/mountinfo")?;
    let points = parse_mountinfo(&table).into_iter().map(|mount| mount.mount_point);
    Ok(points.filter(|point| point.starts_with(root)).collect())
}

/// Everything that R1 says reading leaves alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    mounts: Vec<PathBuf>,
    counts: Option<Vec<u8>>,
    places: BTreeMap<PathBuf, (u64, u32, i64, i64)>,
}

/// Where to look.
#[derive(Clone, Debug)]
pub(crate) struct Lookout {
    pub(crate) graph: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) driver: &'static str,
}

impl Lookout {
    /// The mounts and counts alone: what can be looked at often.
    pub(crate) fn glance(&self) -> Result<(Vec<PathBuf>, Option<Vec<u8>>)> {
        Ok((mounts_below(&self.graph)?, std::fs::read(self.counts_file()).ok()))
    }

    /// Mounts, counts, and inode, mode and change time of every file in the driver's home.
    pub(crate) fn look(&self) -> Result<Sight> {
        let (mounts, counts) = self.glance()?;
        let mut places = BTreeMap::new();
        let home = self.graph.join(self.driver);
        let device = std::fs::symlink_metadata(&home).os("lstat", &home)?.dev();
        walk(&home, device, &mut places)?;
        Ok(Sight { mounts, counts, places })
    }

    /// The lock of the layer records.
    pub(crate) fn layers_lock(&self) -> PathBuf {
        self.graph.join(format!("{}-layers/layers.lock", self.driver))
    }

    fn counts_file(&self) -> PathBuf {
        self.run.join(format!("{}-layers/mountpoints.json", self.driver))
    }
}

impl Sight {
    /// How many files were looked at.
    pub(crate) fn files(&self) -> usize {
        self.places.len()
    }

    /// What differs from `earlier`, in words; none when nothing does.
    pub(crate) fn difference(&self, earlier: &Sight) -> Option<String> {
        if self.mounts != earlier.mounts {
            return Some(format!("the mount table changed from {:?} to {:?}", earlier.mounts, self.mounts));
        }
        if self.counts != earlier.counts {
            return Some("mountpoints.json changed".into());
        }
        let changed = self.places.iter().find(|(path, state)| earlier.places.get(*path) != Some(state));
        let lost = earlier.places.keys().find(|path| !self.places.contains_key(*path));
        changed.map(|(path, _)| path).or(lost).map(|path| format!("{} changed", path.display()))
    }
}

/// Notes every file below `directory` on the same device, without following links. Staging and trash are private.
fn walk(directory: &Path, device: u64, places: &mut BTreeMap<PathBuf, (u64, u32, i64, i64)>) -> Result<()> {
    for entry in std::fs::read_dir(directory).os("read directory", directory)? {
        let path = entry.os("read directory", directory)?.path();
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        if metadata.dev() != device || path.file_name().is_some_and(|name| name == "tempdirs") {
            continue;
        }
        let state = (metadata.ino(), metadata.mode(), metadata.ctime(), metadata.ctime_nsec());
        if metadata.is_dir() {
            walk(&path, device, places)?;
        }
        places.insert(path, state);
    }
    Ok(())
}
