//! What this machine has: programs, the binary under test, places that outlive a case.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::case::Skip;

/// The name of the reference's command, as Debian packages it.
pub const PEER: &str = "containers-storage";

/// Finds a program in `PATH` and the system's directories.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Finds a program or says what is missing.
pub fn need(name: &str) -> Result<PathBuf, Skip> {
    program(name).ok_or_else(|| Skip(format!("{name} is missing")))
}

/// The reference's command.
pub fn peer() -> Result<PathBuf, Skip> {
    program(PEER).ok_or_else(|| Skip(format!("peer {PEER} is missing")))
}

/// The build directory that holds the running test binary: `target`.
pub fn target() -> PathBuf {
    let exe = env::current_exe().expect("the path of the running test");
    let target = exe.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists() || dir.ends_with("target"));
    target.map_or_else(|| PathBuf::from("target"), Path::to_path_buf)
}

/// The command under test: `$LAMINA_BIN`, else the newest `lamina` that cargo built.
pub fn lamina() -> Option<PathBuf> {
    if let Some(bin) = env::var_os("LAMINA_BIN") {
        let bin = PathBuf::from(bin);
        return if bin.components().count() == 1 { program(bin.to_str()?) } else { fs::canonicalize(bin).ok() };
    }
    let built = ["release", "debug"].map(|profile| target().join(profile).join("lamina"));
    built
        .into_iter()
        .filter_map(|file| Some((fs::metadata(&file).ok()?.modified().ok()?, file)))
        .max()
        .map(|(_, file)| file)
}

/// Whether the binary under test is the reference's own command, which stands in for ours to try the tests themselves.
pub fn stand_in() -> bool {
    lamina().is_some_and(|bin| bin.ends_with(PEER))
}

/// Where what is dear to make is kept between runs.
pub fn cache() -> PathBuf {
    target().join("integration-cache")
}

/// Whether this run is asked to try everything, not a bounded part.
pub fn full() -> bool {
    env::var_os("LAMINA_TEST_FULL").is_some()
}

/// Whether a case that can't be tried counts as one that failed: in CI, where everything is there that a case may need.
pub fn forbids_skips() -> bool {
    env::var_os("CI").is_some_and(|value| value == "true")
}

/// The pool of zfs that is here for tests.
pub fn zfs_pool() -> Option<OsString> {
    env::var_os("LAMINA_ZFS_POOL")
}

/// Fails where not all processes of the machine can be seen: in a namespace of processes.
pub fn all_processes() -> Result<(), Skip> {
    let own = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    if own.as_os_str() == "pid:[4026531836]" {
        return Ok(());
    }
    Err(Skip("the first namespace of processes: this machine is a container".to_owned()))
}
