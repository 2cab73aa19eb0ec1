//! The datasets below a root: what there is, and what is done to them.
//!
//! What there is is asked with one `zfs list` for all. The answer serves until the pool commits something: every change of
//! datasets, by whomever, is part of a transaction group, whose numbers the kernel tells without a process being started.

use std::sync::Arc;

use parking_lot::Mutex;
use storage_core::error::{Error, Kind, Result};

use crate::command::{self, Command};
use crate::listing::{COLUMNS, Dataset, Listing, OWNER};

/// What the names of our own begin with. No layer's id holds a colon.
pub(crate) const OURS: &str = "lamina:";

/// The datasets directly below one that is a store's.
#[derive(Clone, Debug)]
pub(crate) struct Datasets {
    zfs: Arc<dyn Command>,
    root: String,
    known: Arc<Mutex<Option<Known>>>,
}

#[derive(Debug)]
struct Known {
    /// The last transaction group that was committed before the datasets were listed.
    group: u64,
    listing: Arc<Listing>,
}

impl Datasets {
    pub(crate) fn new(zfs: Arc<dyn Command>, root: &str) -> Self {
        Datasets { zfs, root: root.to_owned(), known: Arc::default() }
    }

    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// The whole name of a dataset below the root.
    ///
    /// * Fails with [`Kind::InvalidId`] on what no dataset can be called, or what means something else to the command.
    pub(crate) fn path(&self, name: &str) -> Result<String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b':');
        if !name.is_empty() && name.bytes().all(plain) {
            return Ok(format!("{}/{name}", self.root));
        }
        Err(Error::new(Kind::InvalidId, "name dataset").detail(format!("{name:?} can't be the name of a dataset")))
    }

    /// All of them, as they are now.
    pub(crate) fn listing(&self) -> Result<Arc<Listing>> {
        let group = committed(&self.root);
        let mut known = self.known.lock();
        if let (Some(known), Some(group)) = (&*known, group)
            && known.group == group
        {
            return Ok(Arc::clone(&known.listing));
        }
        let arguments = ["list", "-Hp", "-d", "2", "-t", "filesystem,snapshot", "-o", COLUMNS, &self.root];
        let text = command::run(&*self.zfs, "list datasets", &arguments).map_err(|error| self.no_root(error))?;
        let listing = Arc::new(Listing::parse(&self.root, &text)?);
        *known = group.map(|group| Known { group, listing: Arc::clone(&listing) });
        Ok(listing)
    }

    /// A root that is not there says nothing about layers.
    fn no_root(&self, error: Error) -> Error {
        if error.kind() != Kind::NotFound {
            return error;
        }
        Error::new(Kind::DriverUnusable, "list datasets")
            .at(&self.root)
            .detail("the dataset of the store is not there")
            .remedy("import its pool, or name it with zfs.fsname")
            .because(error)
    }

    /// The dataset called `name`. Fails with [`Kind::NotFound`] when there is none.
    pub(crate) fn get(&self, name: &str) -> Result<Dataset> {
        let found = self.listing()?.datasets.get(name).cloned();
        found.ok_or_else(|| Error::new(Kind::NotFound, "find dataset").at(format!("{}/{name}", self.root)))
    }

    /// Makes an empty one.
    pub(crate) fn create(&self, name: &str, made: &Made<'_>) -> Result<()> {
        let path = self.path(name)?;
        self.change_with("create dataset", &["create"], &made.properties(), &[&path])
    }

    /// Makes `name` from the snapshot `snapshot` of `from`.
    pub(crate) fn clone_of(&self, from: &str, snapshot: &str, name: &str, made: &Made<'_>) -> Result<()> {
        let (path, origin) = (self.path(name)?, format!("{}@{snapshot}", self.path(from)?));
        self.change_with("clone dataset", &["clone"], &made.properties(), &[&origin, &path])
    }

    /// Makes a snapshot of each of `names`, all at one moment, for the home `owner`.
    pub(crate) fn snapshot(&self, names: &[&str], snapshot: &str, owner: &str) -> Result<()> {
        let paths = names.iter().map(|name| Ok(format!("{}@{snapshot}", self.path(name)?)));
        let paths = paths.collect::<Result<Vec<_>>>()?;
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        self.change_with("snapshot dataset", &["snapshot"], &[owned_by(owner)], &paths)
    }

    /// Says that it is the home's `owner`.
    pub(crate) fn mark(&self, name: &str, owner: &str) -> Result<()> {
        let path = self.path(name)?;
        self.change("mark dataset", &["set", &owned_by(owner), &path])
    }

    /// Waits until what was begun is done: a command that was killed may have left the kernel something to finish.
    pub(crate) fn settle(&self) -> Result<()> {
        let pool = self.root.split('/').next().unwrap_or_default();
        let done = command::run_pool(&*self.zfs, "wait for pool", &["sync", pool]).map(|_| ());
        *self.known.lock() = None;
        done
    }

    /// Renames one. Fails with [`Kind::DuplicateId`] when the new name is taken.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        self.change("rename dataset", &["rename", &from, &to])
    }

    /// Lets `name` own the snapshots that it was made from.
    pub(crate) fn promote(&self, name: &str) -> Result<()> {
        let path = self.path(name)?;
        self.change("promote dataset", &["promote", &path])
    }

    /// Destroys one that has neither snapshots nor datasets below it; else it fails.
    pub(crate) fn destroy(&self, name: &str) -> Result<()> {
        let path = self.path(name)?;
        self.change("destroy dataset", &["destroy", &path])
    }

    /// Destroys a snapshot now, or when its last clone goes.
    pub(crate) fn destroy_snapshot(&self, name: &str, snapshot: &str) -> Result<()> {
        let path = format!("{}@{snapshot}", self.path(name)?);
        self.change("destroy snapshot", &["destroy", "-d", &path])
    }

    /// What `zfs diff` writes of the change from one snapshot (its whole name) to another.
    pub(crate) fn diff(&self, from: &str, to: &str) -> Result<Vec<u8>> {
        command::run(&*self.zfs, "compare snapshots", &["diff", "-FH", from, to])
    }

    /// Properties of the root, in the order asked for.
    pub(crate) fn properties(&self, names: &str) -> Result<Vec<String>> {
        let text = command::run(&*self.zfs, "ask for properties", &["get", "-H", "-o", "value", names, &self.root])?;
        Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
    }

    fn change_with(&self, operation: &'static str, verb: &[&str], properties: &[String], names: &[&str]) -> Result<()> {
        let properties = properties.iter().flat_map(|property| ["-o", property]);
        let arguments: Vec<&str> = verb.iter().copied().chain(properties).chain(names.iter().copied()).collect();
        self.change(operation, &arguments)
    }

    fn change(&self, operation: &'static str, arguments: &[&str]) -> Result<()> {
        let done = command::run(&*self.zfs, operation, arguments).map(|_| ());
        *self.known.lock() = None;
        done
    }
}

/// What a new dataset is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made<'a> {
    /// The most that it may hold, in bytes; 0 for no limit.
    pub(crate) quota: u64,
    /// The home that makes it.
    pub(crate) owner: &'a str,
}

impl Made<'_> {
    fn properties(&self) -> [String; 4] {
        // Snapshots that show in the root would be taken for content.
        let fixed = ["mountpoint=legacy", "snapdir=hidden"].map(str::to_owned);
        let [place, snapshots] = fixed;
        [place, snapshots, format!("quota={}", Quota(self.quota)), owned_by(self.owner)]
    }
}

fn owned_by(owner: &str) -> String {
    format!("{OWNER}={owner}")
}

/// A limit as the command takes it.
struct Quota(u64);

impl std::fmt::Display for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 { f.write_str("none") } else { self.0.fmt(f) }
    }
}

/// The last transaction group of the pool that is on disk, where the kernel tells.
fn committed(dataset: &str) -> Option<u64> {
    let pool = dataset.split('/').next()?;
    last_committed(&std::fs::read_to_string(format!("/proc/spl/kstat/zfs/{pool}/txgs")).ok()?)
}

fn last_committed(text: &str) -> Option<u64> {
    let group = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let number = fields.next()?.parse().ok()?;
        (fields.nth(1) == Some("C")).then_some(number)
    };
    text.lines().filter_map(group).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::recorded::Recorded;

    #[test]
    fn a_name_that_means_something_else_to_the_command_is_refused() {
        let zfs = Recorded { stdout: "", stderr: "", code: 0 };
        let datasets = Datasets::new(Arc::new(zfs), "p/r");
        assert_eq!(datasets.path("a-1_b.c").expect("plain"), "p/r/a-1_b.c");
        for name in ["", "a@b", "a/b", "a#b", "a%b", "a,b", "a b", "ä"] {
            assert_eq!(datasets.destroy(name).map_err(|error| error.kind()), Err(Kind::InvalidId), "{name:?}");
        }
    }

    #[test]
    fn the_last_group_on_disk_is_the_last_that_is_committed() {
        let text =
            "20 0 0x01 4 448 11 22\ntxg      birth            state ndirty\n7  1 C 0\n8  2 C 0\n9  3 S 0\n10 4 O 0\n";
        assert_eq!(last_committed(text), Some(8));
        assert_eq!(last_committed("20 0 0x01 0 0 11 22\ntxg birth state\n"), None);
    }
}
