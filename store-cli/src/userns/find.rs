//! Podman's pause process: the sleeping process that keeps an ordinary user's namespaces, and so their mounts, alive.
//!
//! Podman names it in the file `libpod/tmp/pause.pid` of the user's runtime directory. The file may be stale, may belong
//! to somebody else, and its number may meanwhile be another process's, so what it names is looked at before it is joined.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::Uid;

use super::judge::Facts;

/// How much of the file is read: enough to tell a number from what isn't one.
const LONGEST: usize = 32;

/// A pause process that was looked at.
#[derive(Debug)]
pub(super) struct Pause {
    /// Its number, to speak of it.
    pub(super) pid: i32,
    /// The process itself: never another one, though the number be used again.
    pub(super) handle: OwnedFd,
}

/// The user's pause process, if there is one that may be joined. `tell` hears where it was sought and why not.
pub(super) fn pause_process(uid: Uid, tell: &impl Fn(&str)) -> Option<Pause> {
    let environment = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    for runtime in runtime_directories(uid, environment) {
        let path = runtime.join("libpod/tmp/pause.pid");
        match named_in(&runtime, &path, uid) {
            Ok(Some(pause)) => {
                tell(&format!("{}: podman's pause process {} is there", path.display(), pause.pid));
                return Some(pause);
            }
            Ok(None) => tell(&format!("{}: no pause process of podman's", path.display())),
            Err(reason) => tell(&format!("{}: {reason}; not joined", path.display())),
        }
    }
    None
}

/// Where podman keeps what lives until the user logs out, in the order in which podman tries.
fn runtime_directories(uid: Uid, environment: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    if let Some(named) = environment("XDG_RUNTIME_DIR") {
        return vec![named];
    }
    let temporary = environment("TMPDIR").unwrap_or_else(|| "/tmp".into());
    let mut places = vec![
        PathBuf::from(format!("/run/user/{uid}")),
        temporary.join(format!("podman-run-{uid}")),
        temporary.join(format!("storage-run-{uid}")),
    ];
    places.extend(environment("HOME").map(|home| home.join("rundir")));
    places
}

/// The process that the file `path` below `runtime` names; none without that file.
fn named_in(runtime: &Path, path: &Path, uid: Uid) -> Result<Option<Pause>, String> {
    let Some(text) = pid_file(runtime, path, uid)? else { return Ok(None) };
    let pid = parse_pid(&text)?;
    let gone = |errno: Errno| match errno {
        Errno::ENOENT | Errno::ESRCH => format!("process {pid} is gone"),
        errno => format!("process {pid} can't be looked at: {}", errno.desc()),
    };
    // What is opened below this directory is of one process, and nothing can be opened once that is reaped. So the
    // handle, taken before the looks that follow, is of the process that they see.
    let directory = File::open(format!("/proc/{pid}")).map_err(|error| gone(error_number(&error)))?;
    let number = rustix::process::Pid::from_raw(pid).ok_or("it names no process")?;
    let handle = rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty())
        .map_err(|errno| gone(Errno::from_raw(errno.raw_os_error())))?;
    let facts = Facts::of(&directory, uid).map_err(gone)?;
    facts.judge().map_err(|reason| format!("process {pid} {reason}"))?;
    Ok(Some(Pause { pid, handle }))
}

/// What the file `path` below `runtime` says; none without that file.
fn pid_file(runtime: &Path, path: &Path, uid: Uid) -> Result<Option<Vec<u8>>, String> {
    let absent = |error: &std::io::Error| matches!(error_number(error), Errno::ENOENT | Errno::ENOTDIR);
    let refused = |error: std::io::Error| if absent(&error) { Ok(None) } else { Err(error.to_string()) };
    if !runtime.is_absolute() {
        return Err("the runtime directory is no absolute path".to_owned());
    }
    let directory = match std::fs::metadata(runtime) {
        Ok(directory) => directory,
        Err(error) => return refused(error),
    };
    nobody_elses(&directory, uid).map_err(|reason| format!("{} {reason}", runtime.display()))?;
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = match File::options().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => file,
        Err(error) => return refused(error),
    };
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no regular file".to_owned());
    }
    nobody_elses(&metadata, uid).map_err(|reason| format!("it {reason}"))?;
    let mut text = Vec::new();
    file.take(LONGEST as u64).read_to_end(&mut text).map_err(|error| error.to_string())?;
    Ok(Some(text))
}

/// That nobody but the user could have put it there or changed it.
fn nobody_elses(metadata: &Metadata, uid: Uid) -> Result<(), String> {
    if metadata.uid() != uid.as_raw() {
        return Err(format!("belongs to user {}, not to {uid}", metadata.uid()));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 { Err(format!("can be changed by others (mode {mode:o})")) } else { Ok(()) }
}

fn parse_pid(text: &[u8]) -> Result<i32, String> {
    let digits = text.trim_ascii();
    let number = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    // What fills the bytes that were read may go on behind them; it is no process's number, with its zeros or without.
    match number.and_then(|digits| digits.parse::<i32>().ok()) {
        Some(pid) if pid > 0 && text.len() < LONGEST => Ok(pid),
        _ => Err(format!("{:?} is no process number", String::from_utf8_lossy(digits))),
    }
}

pub(super) fn error_number(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn runtime_directories_are_podmans() {
        let uid = Uid::from_raw(7);
        let of = |known: &[(&str, &str)]| {
            let value = |name: &str| known.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            runtime_directories(uid, value)
        };
        assert_eq!(of(&[("XDG_RUNTIME_DIR", "/x"), ("HOME", "/h")]), [Path::new("/x")], "the one named, and no other");
        let places = ["/run/user/7", "/tmp/podman-run-7", "/tmp/storage-run-7", "/h/rundir"].map(PathBuf::from);
        assert_eq!(of(&[("HOME", "/h")]), places);
        assert_eq!(of(&[("TMPDIR", "/t")])[1], Path::new("/t/podman-run-7"));
    }

    #[test]
    fn a_process_number_is_digits() {
        for (text, pid) in [("7", 7), ("7\n", 7), (" 12 ", 12), ("2147483647", i32::MAX)] {
            assert_eq!(parse_pid(text.as_bytes()), Ok(pid), "{text:?}");
        }
        let long = "0".repeat(31) + "7";
        for text in
            ["", "\n", "0", "-1", "+7", "7 8", "0x7", "seven", "2147483648", "99999999999999999999", "7\0", &long]
        {
            let read = parse_pid(text.as_bytes());
            assert!(read.is_err(), "{text:?} is taken for {read:?}");
        }
        assert!(parse_pid(&[0xff, 0xfe]).is_err());
    }

    /// A runtime directory with the file; each test spoils one thing.
    fn runtime(text: &str) -> (tempfile::TempDir, PathBuf) {
        let runtime = tempfile::tempdir().expect("make a directory");
        let path = runtime.path().join("libpod/tmp/pause.pid");
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("make a directory");
        std::fs::write(&path, text).expect("write a file");
        mode(&path, 0o644);
        (runtime, path)
    }

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
    }

    fn reason(runtime: &Path, path: &Path, uid: Uid) -> String {
        pid_file(runtime, path, uid).expect_err("it is refused")
    }

    #[test]
    fn the_file_is_read_where_only_the_user_could_write_it() {
        let own = Uid::effective();
        let (runtime, path) = runtime("12");
        let runtime = runtime.path();
        assert_eq!(pid_file(runtime, &path, own), Ok(Some(b"12".to_vec())));
        assert_eq!(pid_file(runtime, &runtime.join("none"), own), Ok(None));
        assert_eq!(pid_file(&runtime.join("none"), &runtime.join("none/x"), own), Ok(None));
        assert!(reason(Path::new("run"), &path, own).contains("absolute"));
        assert!(reason(runtime, &path, Uid::from_raw(own.as_raw() + 1)).contains("belongs to user"));
        mode(&path, 0o666);
        assert!(reason(runtime, &path, own).contains("mode 666"));
        mode(&path, 0o644);
        mode(runtime, 0o1777);
        assert!(reason(runtime, &path, own).contains("mode 1777"));
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let own = Uid::effective();
        let (runtime, path) = runtime("12");
        let other = path.with_file_name("other");
        std::fs::copy(&path, &other).expect("copy");
        std::fs::remove_file(&path).expect("remove");
        std::os::unix::fs::symlink(&other, &path).expect("make a link");
        reason(runtime.path(), &path, own);
        std::fs::remove_file(&path).expect("remove");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).expect("make a pipe");
        assert!(reason(runtime.path(), &path, own).contains("no regular file"), "and it doesn't wait for a writer");
        std::fs::remove_file(&path).expect("remove");
        std::fs::create_dir(&path).expect("make a directory");
        assert!(reason(runtime.path(), &path, own).contains("no regular file"));
    }

    #[test]
    fn a_process_that_is_gone_or_has_no_namespace_is_not_joined() {
        let own = Uid::effective();
        let named = |pid: u32| {
            let (runtime, path) = runtime(&pid.to_string());
            named_in(runtime.path(), &path, own).expect_err("it is refused")
        };
        let mut child = std::process::Command::new("true").spawn().expect("run true");
        child.wait().expect("wait");
        assert_eq!(named(child.id()), format!("process {} is gone", child.id()));
        assert!(named(std::process::id()).contains("no user namespace of its own"));
        assert!(named(i32::MAX as u32).contains("is gone"), "no process has this number");
    }
}
