//! strace: what system calls a command makes, and a command that is killed before a chosen one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::case::Skip;
use crate::machine;

/// The system calls after which something in the world may be different, for a store.
const CHANGING: &[&str] = &[
    "write",
    "pwrite64",
    "writev",
    "pwritev",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "symlink",
    "symlinkat",
    "link",
    "linkat",
    "fchmod",
    "fchmodat",
    "chmod",
    "fchown",
    "fchownat",
    "lchown",
    "chown",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "syncfs",
    "utimensat",
    "fsetxattr",
    "lsetxattr",
    "setxattr",
    "mount",
    "umount2",
    "fsopen",
    "fsconfig",
    "fsmount",
    "move_mount",
    "open_tree",
    "mount_setattr",
    "copy_file_range",
    "sendfile",
    "splice",
    "ioctl",
    "fcntl",
    "openat",
    "openat2",
    "open",
    "creat",
    "flock",
];

/// A place in a run: just before the `nth` call of `name` by one thread.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// The system call.
    pub name: String,
    /// Counted from one.
    pub nth: u32,
}

/// Runs a command to its end and gives the lines that strace wrote about `calls`.
pub fn lines(argv: &[OsString], calls: &str, log: &Path) -> Result<(Output, Vec<String>), Skip> {
    let strace = machine::need("strace")?;
    let output = Command::new(strace)
        .args(["-f", "-qq", "-s", "256", "-o"])
        .arg(log)
        .args(["-e", &format!("trace={calls}"), "-e", "signal=none", "--"])
        .args(argv)
        .output()
        .expect("run strace");
    let text = fs::read(log).expect("read what strace wrote");
    Ok((output, String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()))
}

/// The places of a run just before each call that changes something, in the order of the run.
///
/// strace counts calls by thread and name; a place that several threads reach in the same way counts once.
pub fn points(argv: &[OsString], log: &Path) -> Result<Vec<Point>, Skip> {
    let calls: Vec<String> = CHANGING.iter().map(|name| format!("?{name}")).collect();
    let (output, lines) = lines(argv, &calls.join(","), log)?;
    assert!(output.status.success(), "the run to be cut short failed: {}", String::from_utf8_lossy(&output.stderr));
    let mut counters: BTreeMap<(String, String), u32> = BTreeMap::new();
    let mut points = Vec::new();
    for line in &lines {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let Some((name, arguments)) = rest.split_once('(') else { continue };
        if name.contains(' ') || name.starts_with('<') {
            continue; // the second half of a call that another thread interrupted
        }
        let nth = counters.entry((thread.to_owned(), name.to_owned())).or_insert(0);
        *nth += 1;
        let point = Point { name: name.to_owned(), nth: *nth };
        if changes(name, arguments) && !points.contains(&point) {
            points.push(point);
        }
    }
    Ok(points)
}

fn changes(name: &str, arguments: &str) -> bool {
    match name {
        "openat" | "open" | "openat2" => {
            ["O_CREAT", "O_TRUNC", "O_TMPFILE"].iter().any(|flag| arguments.contains(flag))
        }
        "fcntl" => arguments.contains("SETLK"),
        "ioctl" => arguments.contains("FICLONE") || arguments.contains("FS_IOC"),
        _ => true,
    }
}

/// Runs a command that is killed just before a place. Says whether it was (else it ran to its end), and its output.
pub fn killed_before(argv: &[OsString], point: &Point) -> Result<(bool, Output), Skip> {
    let strace = machine::need("strace")?;
    let output = Command::new(strace)
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={}", point.name)])
        .args(["-e", &format!("inject={}:signal=KILL:when={}", point.name, point.nth), "--"])
        .args(argv)
        .output()
        .expect("run strace");
    let killed = std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(9);
    Ok((killed, output))
}
