//! Filesystems in files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use storage_core::error::{Error, Kind, OsContext, Result};

/// Finds a program in `PATH` and in the system's directories.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// What this machine doesn't have.
pub(super) fn missing(what: impl Into<String>) -> Error {
    Error::new(Kind::NotSupported, "make a throw-away filesystem").detail(what)
}

/// Runs a program of the system's and gives what it wrote.
///
/// * Fails with [`Kind::NotSupported`] where it is missing, with [`Kind::Io`] and its words where it fails.
pub(super) fn run(name: &str, args: &[&OsStr]) -> Result<String> {
    let file = program(name).ok_or_else(|| missing(format!("{name} is missing")))?;
    let done = Command::new(&file).args(args).output().os("execve", &file)?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&done.stderr).trim().replace('\n', "; ");
    let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    Err(Error::new(Kind::Io, format!("{name} {}", args.join(" "))).detail(words))
}

/// Fails with [`Kind::NotSupported`] where no file can be mounted.
pub(super) fn check_loops() -> Result<()> {
    let control = Path::new("/dev/loop-control");
    match std::fs::File::options().read(true).write(true).open(control) {
        Ok(_) => Ok(()),
        Err(error) => Err(missing(format!("loop devices: {}: {error}", control.display()))),
    }
}

/// Makes a filesystem of that kind (`ext4`) and size in the new file `file`.
///
/// * Fails with [`Kind::NotSupported`] where the program for it is missing.
pub fn image(file: &Path, size: u64, kind: &str) -> Result<()> {
    let disk = std::fs::File::create_new(file).os("create", file)?;
    disk.set_len(size).os("ftruncate", file)?;
    run(&format!("mkfs.{kind}"), &[OsStr::new("-q"), file.as_os_str()]).map(drop)
}

/// Mounts the filesystem in `file` at `dir`, which is made if needed. The loop device goes with the mount.
///
/// * Fails with [`Kind::NotSupported`] where no file can be mounted.
pub fn loop_mount(file: &Path, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).os("mkdir", dir)?;
    let options = ["-o".as_ref(), "loop".as_ref(), file.as_os_str(), dir.as_os_str()];
    run("mount", &options).map(drop).map_err(|error| missing("loop devices").because(error.to_string()))
}
