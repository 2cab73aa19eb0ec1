//! The shared objects of the drivers of this tree, built on demand by `tests/build-plugins`.

use std::path::{Path, PathBuf};
use std::process::Command;

use storage_core::error::OsContext;
use storage_core::{Error, Kind, Result};

/// Builds that of the driver `name`, unoptimised as this program is, in a directory of its own below the build directory.
pub(crate) fn of(name: &str) -> Result<PathBuf> {
    let exe = std::env::current_exe().os("readlink", "/proc/self/exe")?;
    // The program is target/PROFILE/deps/NAME.
    let target = exe.ancestors().nth(3).unwrap_or_else(|| Path::new("target"));
    let (script, place) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../build-plugins"), target.join("plugins-dev"));
    let mut build = Command::new(&script);
    build.arg(&place).arg(name).env("PROFILE", "dev").env("CARGO_TARGET_DIR", target);
    let ended = build.output().os("execve", &script)?;
    if ended.status.success() {
        return Ok(place.join(format!("lamina-{name}.so")));
    }
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    Err(Error::new(Kind::BadPlugin, "build shared object").at(&script).detail(said))
}
