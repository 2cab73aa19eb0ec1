//! Driver plugins: the drivers of this tree as shared objects, and the examples, built as an outsider builds them: from copies,
//! elsewhere, with their own build files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::case::Skip;
use crate::machine;
use crate::scratch::Scratch;
use crate::store::must;

/// The top of the source tree.
fn tree() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::canonicalize(manifest.join("../..")).expect("the source tree that the tests were built from")
}

/// How much is made of a shared object.
#[derive(Clone, Copy, Debug)]
pub enum Profile {
    /// Built quickly.
    Dev,
    /// Optimised, as it is released.
    Release,
}

/// The driver `name` of this tree by `tests/build-plugins`, below the build directory.
pub fn of_this_tree(name: &str, profile: Profile) -> PathBuf {
    let (profile, place) = match profile {
        Profile::Dev => ("dev", "plugins-dev"),
        Profile::Release => ("release", "plugins"),
    };
    let (target, script) = (machine::target(), tree().join("tests/build-plugins"));
    let mut build = Command::new(script);
    build.arg(target.join(place)).arg(name).env("PROFILE", profile).env("CARGO_TARGET_DIR", &target);
    must(build);
    target.join(place).join(format!("lamina-{name}.so"))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("make a directory");
    for entry in fs::read_dir(from).expect("list an example").flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().expect("lstat") {
            kind if kind.is_dir() && entry.file_name() == "target" => {}
            kind if kind.is_dir() => copy(&entry.path(), &target),
            _ => drop(fs::copy(entry.path(), target).expect("copy a file")),
        }
    }
}

/// The example in C, by its Makefile.
pub fn example_in_c(scratch: &Scratch) -> Result<PathBuf, Skip> {
    machine::need("cc")?;
    let make = machine::need("make")?;
    let place = scratch.make("plugin-c");
    copy(&tree().join("storage-core/examples/plugin-c"), &place);
    let _ = fs::remove_file(place.join("dircopy.so"));
    let mut build = Command::new(make);
    build.arg("-C").arg(&place).arg(format!("LAMINA_INCLUDE={}", tree().join("storage-core/include").display()));
    must(build);
    Ok(place.join("dircopy.so"))
}

/// The example in Rust, by cargo, with its path to the library changed. What it depends on is built once and kept.
pub fn example_in_rust(scratch: &Scratch) -> Result<PathBuf, Skip> {
    let cargo = machine::need("cargo")?;
    let place = scratch.make("plugin-rust");
    copy(&tree().join("storage-core/examples/plugin-rust"), &place);
    let manifest = fs::read_to_string(place.join("Cargo.toml")).expect("read a manifest");
    let core = format!("path = \"{}\"", tree().join("storage-core").display());
    assert!(manifest.contains("path = \"../..\""), "the example depends on the library by path: {manifest}");
    fs::write(place.join("Cargo.toml"), manifest.replace("path = \"../..\"", &core)).expect("write a manifest");
    // The versions that this tree was tested with.
    fs::copy(tree().join("Cargo.lock"), place.join("Cargo.lock")).expect("copy the lock file");
    let target = machine::target().join("outside");
    let mut build = Command::new(cargo);
    build
        .args(["build", "--quiet", "--offline", "--features", "plugin"])
        .current_dir(&place)
        .env("CARGO_TARGET_DIR", &target);
    // The toolchain that these tests were built with, whoever runs them.
    for (name, value) in [("RUSTUP_HOME", option_env!("RUSTUP_HOME")), ("CARGO_HOME", option_env!("CARGO_HOME"))] {
        if let Some(value) = value {
            build.env(name, value);
        }
    }
    must(build);
    let plugin = scratch.join("treecopy.so");
    fs::copy(target.join("debug/liblamina_driver_treecopy.so"), &plugin).expect("copy the plugin");
    Ok(plugin)
}

/// The example in C with a fault of `plugins/broken.c`.
pub fn broken(scratch: &Scratch, fault: &str) -> Result<PathBuf, Skip> {
    let cc = machine::need("cc")?;
    let plugin = scratch.make("broken").join(format!("{}.so", fault.to_lowercase()));
    let mut build = Command::new(cc);
    build.args(["-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-function", "-fPIC", "-shared", "-fvisibility=hidden"]);
    build.arg(format!("-DFAULT={fault}"));
    for include in ["storage-core/include", "storage-core/examples/plugin-c"] {
        build.arg("-I").arg(tree().join(include));
    }
    build.arg("-o").arg(&plugin).arg(tree().join("tests/integration/plugins/broken.c"));
    must(build);
    Ok(plugin)
}
