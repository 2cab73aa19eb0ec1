//! User namespaces that exist for their maps alone, as id-mapped mounts take them.
//!
//! A namespace begins with a process, and a process with several threads can't enter one itself. So the program `unshare`
//! is started, which enters a new user namespace and becomes `cat`. `cat` shows a file, which says that it is there, and
//! then waits for the end of its input. Meanwhile its maps are written and its namespace is opened; then it is ended and
//! waited for. The namespace lives on in the descriptor.
//!
//! Nothing is left behind when this process is killed in between: the input of `cat` ends with it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{IdMap, Maps, kernel_text};
use crate::error::{Error, Kind, OsContext, Result};

/// The most ranges that the kernel takes for one map.
const MOST_RANGES: usize = 340;
/// How many namespaces are kept for later use.
const MOST_KEPT: usize = 16;

/// Namespaces that were made in this process, the latest last.
static KEPT: Mutex<Vec<Namespace>> = Mutex::new(Vec::new());

/// A user namespace with given maps. Cheap to clone; nobody works in it.
#[derive(Clone, Debug)]
pub struct Namespace {
    maps: Arc<Maps>,
    fd: Arc<OwnedFd>,
}

impl Namespace {
    /// The namespace with `maps`: one that was made before, or a new one.
    ///
    /// * Needs `CAP_SYS_ADMIN` and the right to map the ids; [`Kind::NotSupported`] when user namespaces are switched off
    ///   or there is no `unshare` program.
    pub fn of(maps: &Maps) -> Result<Self> {
        if let Some(kept) = KEPT.lock().iter().find(|kept| *kept.maps == *maps) {
            return Ok(kept.clone());
        }
        check(maps)?;
        let made = Namespace { maps: Arc::new(maps.clone()), fd: Arc::new(make(maps)?) };
        let mut kept = KEPT.lock();
        if kept.len() >= MOST_KEPT {
            kept.remove(0);
        }
        kept.push(made.clone());
        Ok(made)
    }

    /// The namespace `fd`, which somebody else made with `maps`.
    pub(crate) fn received(maps: Maps, fd: OwnedFd) -> Self {
        Namespace { maps: Arc::new(maps), fd: Arc::new(fd) }
    }

    /// Its maps.
    pub fn maps(&self) -> &Maps {
        &self.maps
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn check(maps: &Maps) -> Result<()> {
    maps.check()?;
    let most = maps.uids.len().max(maps.gids.len());
    if most > MOST_RANGES {
        return Err(Error::new(Kind::InvalidMappings, "make user namespace")
            .detail(format!("{most} ranges are given, the kernel takes {MOST_RANGES}")));
    }
    Ok(())
}

fn make(maps: &Maps) -> Result<OwnedFd> {
    let helper = Helper::start()?;
    helper.write_map("uid_map", &maps.uids)?;
    helper.write_map("gid_map", &maps.gids)?;
    let path = helper.file("ns/user");
    File::open(&path).map(OwnedFd::from).os("open(user namespace)", &path)
}

/// A process that waits in a new user namespace, until this is dropped.
struct Helper(Child);

impl Helper {
    fn start() -> Result<Self> {
        let mut child = Command::new("unshare")
            .args(["-U", "cat", "/proc/self/comm", "-"])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| {
                Error::new(Kind::NotSupported, "start")
                    .at("unshare")
                    .detail(error.to_string())
                    .remedy("install util-linux, or use the id mapping that changes owners")
            })?;
        let mut first = [0];
        let shown = child.stdout.as_mut().map_or(Ok(0), |stdout| stdout.read(&mut first));
        if matches!(shown, Ok(1)) {
            return Ok(Helper(child));
        }
        let words = Self::last_words(child);
        Err(Error::new(Kind::NotSupported, "make user namespace").detail(words))
    }

    /// Waits for a helper that ended at once, and returns what it complained of.
    fn last_words(mut child: Child) -> String {
        drop(child.stdin.take());
        let mut words = String::new();
        if let Some(stderr) = child.stderr.take() {
            let _ = stderr.take(1000).read_to_string(&mut words);
        }
        let _ = child.wait();
        words.trim().to_owned()
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.0.id().to_string()).join(name)
    }

    /// The kernel takes the whole map in one write.
    fn write_map(&self, name: &str, map: &[IdMap]) -> Result<()> {
        let path = self.file(name);
        let text = kernel_text(map);
        let written = OpenOptions::new().write(true).open(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.os("write id map", &path).map_err(|error| error.detail(format!("{:?}", text.trim_end())))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Its input is still open, so it is still there, and the number still its own.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::FileId;
    use crate::idmap::parse_map;

    fn maps(text: &str) -> Maps {
        Maps::new(parse_map(text).expect("map"), Vec::new()).expect("maps")
    }

    fn identity(namespace: &Namespace) -> FileId {
        FileId::of_fd(namespace, Path::new("ns")).expect("fstat")
    }

    /// The processes whose parent is this one.
    fn children() -> Vec<u32> {
        let tasks = std::fs::read_dir("/proc/self/task").expect("tasks");
        let lists = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn a_namespace_is_made_once_no_process_stays_and_only_so_many_are_kept() {
        let first = Namespace::of(&maps("0:100000:65536")).expect("namespace");
        let again = Namespace::of(&maps("0:100000:65536")).expect("namespace");
        let other = Namespace::of(&maps("0:200000:65536,70000:7:1")).expect("namespace");
        assert_eq!(identity(&first), identity(&again), "a namespace was made twice");
        assert_ne!(identity(&first), identity(&other));
        assert_ne!(identity(&first), FileId::of_path(Path::new("/proc/self/ns/user")).expect("stat").expect("there"));
        let helper = Helper::start().expect("helper");
        let id = helper.0.id();
        assert!(children().contains(&id), "the test doesn't see children");
        drop(helper);
        assert!(!children().contains(&id), "a helper stayed");
        for n in 0..MOST_KEPT as u64 + 3 {
            let map = vec![IdMap { container_id: 0, host_id: 300_000 + n, size: 1 }];
            Namespace::of(&Maps { uids: map.clone(), gids: map }).expect("namespace");
        }
        assert!(KEPT.lock().len() <= MOST_KEPT);
    }

    #[test]
    fn a_helper_ends_with_its_input_as_it_would_if_this_process_were_killed() {
        let mut helper = Helper::start().expect("helper");
        drop(helper.0.stdin.take());
        assert!(helper.0.wait().expect("wait").success(), "it ended for another reason");
    }

    #[test]
    fn maps_that_the_kernel_refuses_are_refused_before_a_process_starts() {
        let many: Vec<_> = (0..341).map(|n| IdMap { container_id: n, host_id: n, size: 1 }).collect();
        let error = Namespace::of(&Maps { uids: many.clone(), gids: many }).expect_err("too many");
        assert!(error.kind() == Kind::InvalidMappings && error.to_string().contains("341"), "{error}");
        let overlap = Maps { uids: vec![IdMap { container_id: 0, host_id: 0, size: 9 }; 2], gids: Vec::new() };
        assert_eq!(Namespace::of(&overlap).map(|_| ()).map_err(|error| error.kind()), Err(Kind::InvalidMappings));
    }
}
