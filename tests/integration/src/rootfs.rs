//! A real root filesystem, made once from Debian's packages and kept below the build directory.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::case::Skip;
use crate::machine;

/// The archive of a Debian root filesystem in one of the forms that layers come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As tar wrote it.
    Plain,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// Gives the archive, made if it isn't there. Cases that run at the same time wait for each other.
pub fn archive(form: Form) -> Result<PathBuf, Skip> {
    let cache = machine::cache();
    fs::create_dir_all(&cache).expect("make the cache");
    let held = File::create(cache.join("lock")).expect("make the lock of the cache");
    held.lock().expect("lock the cache");
    let plain = cache.join("debian.tar");
    if !plain.exists() {
        make(&plain)?;
    }
    let (program, name) = match form {
        Form::Plain => return Ok(plain),
        Form::Gzip => ("gzip", "debian.tar.gz"),
        Form::Zstd => ("zstd", "debian.tar.zst"),
    };
    let packed = cache.join(name);
    if !packed.exists() {
        let part = packed.with_extension("part");
        let out = File::create(&part).expect("make a compressed archive");
        let level = if form == Form::Gzip { "-1" } else { "-3" };
        let packed_all = Command::new(machine::need(program)?)
            .args([level, "-c"])
            .arg(&plain)
            .stdout(Stdio::from(out))
            .status()
            .expect("run a compressor");
        assert!(packed_all.success(), "{program} failed");
        fs::rename(&part, &packed).expect("keep a compressed archive");
    }
    Ok(packed)
}

fn make(plain: &PathBuf) -> Result<(), Skip> {
    let part = plain.with_extension("part.tar");
    let made = Command::new(machine::need("mmdebstrap")?)
        .args(["--quiet", "--variant=essential", "bookworm"])
        .arg(&part)
        .stdin(Stdio::null())
        .output()
        .expect("run mmdebstrap");
    if !made.status.success() {
        let why = String::from_utf8_lossy(&made.stderr);
        let last = why.lines().last().unwrap_or_default();
        return Err(Skip(format!("Debian's packages can't be had: mmdebstrap: {last}")));
    }
    fs::rename(&part, plain).expect("keep the archive");
    Ok(())
}
