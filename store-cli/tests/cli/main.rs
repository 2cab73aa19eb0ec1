//! The command as its users meet it: what it reads, what it prints, how it ends.

mod account;
mod command_line;
mod config;
mod endings;
mod items;
mod items_refused;
mod load;
mod peer;
mod peer_items;
mod podman_user;
mod refused;
mod tour;
mod user;
mod work;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A directory with a store of its own, for one test.
pub(crate) struct Scratch {
    directory: tempfile::TempDir,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Scratch { directory: tempfile::Builder::new().prefix("lamina-cli-").tempdir().expect("make a directory") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// `program`, on the store `name` of this directory, with the copying driver.
    pub(crate) fn on(&self, program: impl AsRef<OsStr>, name: &str) -> Command {
        let mut command = plain(program);
        command.arg("-g").arg(self.path().join(name).join("graph"));
        command.arg("-R").arg(self.path().join(name).join("run")).args(["-s", "vfs"]);
        command
    }

    /// Runs `lamina` on the one store that most tests have.
    pub(crate) fn lamina(&self, args: &[&str]) -> Ended {
        run(self.on(lamina(), "store").args(args))
    }

    /// The same, where anything but success is a failure of the test.
    pub(crate) fn must(&self, args: &[&str]) -> String {
        let ended = self.lamina(args);
        assert_eq!(ended.code, Some(0), "lamina {args:?}: {ended:?}");
        ended.out
    }

    /// A tar archive with two files and a link.
    pub(crate) fn archive(&self) -> PathBuf {
        let tree = self.path().join("tree");
        std::fs::create_dir_all(tree.join("d")).expect("make a directory");
        std::fs::write(tree.join("d/f"), "hello\n").expect("write a file");
        std::fs::write(tree.join("g"), "there\n".repeat(20_000)).expect("write a file");
        std::os::unix::fs::symlink("f", tree.join("d/l")).expect("make a link");
        let tar = self.path().join("layer.tar");
        let status = Command::new("tar")
            .arg("-C")
            .arg(&tree)
            .arg("-cf")
            .arg(&tar)
            .args(["--owner=0", "--group=0", "."])
            .status();
        assert!(status.expect("run tar").success());
        tar
    }
}

/// The command under test.
pub(crate) fn lamina() -> &'static str {
    env!("CARGO_BIN_EXE_lamina")
}

/// A command without what the caller's environment would add.
pub(crate) fn plain(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in ["STORAGE_DRIVER", "STORAGE_OPTS", "CONTAINERS_STORAGE_CONF", "CONTAINERS_STORAGE_CONF_OVERRIDE"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

pub(crate) fn run(command: &mut Command) -> Ended {
    Ended::of(&command.output().expect("run the command"))
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// A program of this machine; without it the test says that it is skipped, and why.
pub(crate) fn need(test: &str, program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|place| place.join(program)).find(|file| file.is_file());
    if found.is_none() {
        skip(test, &format!("{program} is not installed"));
    }
    found
}

/// The tests that CI may skip, with the reason behind a hash.
const MAY_SKIP: &[&str] =
    &["config_has_the_fields_of_the_reference # the reference of Debian's package has no such command"];

/// Says that a test is skipped where it can be seen even when the test harness keeps what tests print. In CI it
/// fails.
pub(crate) fn skip(test: &str, reason: &str) {
    writeln!(std::io::stderr(), "SKIP {test}: {reason}").expect("write to standard error");
    let may = MAY_SKIP.iter().any(|line| line.split(" # ").next() == Some(test));
    let forbidden = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(may || !forbidden, "in CI {test} has to be tried: {reason}");
}

/// Whether this runs as root.
pub(crate) fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}
