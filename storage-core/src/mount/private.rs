//! Work that needs a directory or a mount namespace of its own: a thread that has them, and ends.
//!
//! `unshare(CLONE_FS)` and `unshare(CLONE_NEWNS)` act on the calling thread alone, so the process keeps its directory and
//! its mounts. Descriptors are shared with the whole process: one that the thread opens stays, and with it the mount that
//! it leads to, after the namespace is gone.
#![allow(clippy::disallowed_methods, reason = "the thread has a directory of its own")]

use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::error::{OsContext, Result};

/// Does `work` in a thread whose current directory is `dir`.
pub fn in_directory<T: Send>(dir: &Path, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    in_own_thread(|| {
        unshare(CloneFlags::CLONE_FS).os("unshare(CLONE_FS)", dir)?;
        std::env::set_current_dir(dir).os("chdir", dir)?;
        work()
    })
}

/// Does `work` in a thread with a mount namespace of its own, from which nothing propagates. What is mounted there is
/// seen by nobody else and goes with the thread, except for what a descriptor still leads to.
pub fn in_private_namespace<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    in_own_thread(|| {
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).os("unshare(CLONE_FS|CLONE_NEWNS)", "/")?;
        let nothing = None::<&Path>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).os("mount(rprivate)", "/")?;
        work()
    })
}

fn in_own_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("mount".to_owned());
        let thread = builder.spawn_scoped(scope, work).os("clone(thread)", "/")?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_the_process_stays_while_a_thread_has_its_own() {
        let before = std::env::current_dir().expect("cwd");
        let inside = in_directory(Path::new("/proc"), || std::env::current_dir().os("getcwd", "/")).expect("thread");
        assert_eq!(inside, Path::new("/proc"));
        assert_eq!(std::env::current_dir().expect("cwd"), before);
    }

    #[test]
    fn a_mount_below_the_tree_is_neither_entered_nor_taken_away() {
        let dir = tempfile::tempdir().expect("dir");
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("m")).expect("mkdir");
        let refused = in_private_namespace(|| {
            let target = tree.join("m");
            mount(Some("tmpfs"), &target, Some("tmpfs"), MsFlags::empty(), None::<&Path>).os("mount", &target)?;
            std::fs::write(target.join("f"), "x").os("write", &target)?;
            let refused = crate::fs::remove::remove_tree(&tree, &crate::Task::new("t")).map_err(|error| error.kind());
            assert!(target.join("f").exists(), "a removal entered a mount");
            Ok(refused)
        });
        assert_eq!(refused.expect("namespace"), Err(crate::Kind::Busy));
    }
}
