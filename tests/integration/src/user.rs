//! An account of the machine that only the case's own processes see: with a home and ranges of ids.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};

use crate::case::Skip;
use crate::machine;
use crate::scratch::Scratch;
use crate::store::{Ended, end};

/// The id of the account, and of its group: in no range that a machine gives to people.
const ID: u32 = 59_321;
/// Its ranges of ids.
const RANGE: &str = "tester:1900000000:65536\n";

/// The account, with the command under test as `lamina` in its path.
#[derive(Debug)]
pub struct User {
    place: PathBuf,
}

impl User {
    /// Makes the account, at a place that every user can reach.
    pub fn new(scratch: &Scratch) -> Result<Self, Skip> {
        for program in ["setpriv", "newuidmap"] {
            machine::need(program)?;
        }
        let place = scratch.for_everybody()?;
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).expect("chmod");
        let etc = place.join("etc");
        fs::create_dir_all(&etc).expect("make a directory");
        for (name, line) in [
            ("passwd", format!("tester:x:{ID}:{ID}::{}:/bin/sh\n", place.join("home").display())),
            ("group", format!("tester:x:{ID}:\n")),
            ("subuid", RANGE.to_owned()),
            ("subgid", RANGE.to_owned()),
        ] {
            let (real, own) = (Path::new("/etc").join(name), etc.join(name));
            let Ok(before) = fs::read_to_string(&real) else {
                return Err(Skip(format!("{} is missing", real.display())));
            };
            fs::write(&own, before + &line).expect("write an account");
            mount(Some(&own), &real, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("show an account");
        }
        let user = User { place };
        fs::create_dir_all(user.home()).expect("make a home");
        chown(user.home(), Some(ID), Some(ID)).expect("chown");
        fs::create_dir_all(user.place.join("bin")).expect("make a directory");
        let bin = machine::lamina().expect("the supervisor found a command to test");
        fs::copy(bin, user.place.join("bin/lamina")).expect("copy the command");
        Ok(user)
    }

    /// The home of the account.
    pub fn home(&self) -> PathBuf {
        self.place.join("home")
    }

    /// A path that every user can reach.
    pub fn join(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// Runs a script as the user, at home; it ends at the first command that fails.
    pub fn run(&self, script: &str) -> Ended {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={ID}"), format!("--regid={ID}"), "--clear-groups".to_owned()]);
        command.args(["sh", "-euc", script]).current_dir(self.home()).stdin(Stdio::null());
        command.env("HOME", self.home()).env("TMPDIR", self.home());
        command.env("PATH", format!("{}:{path}", self.place.join("bin").display()));
        for name in ["XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "CONTAINERS_STORAGE_CONF", "STORAGE_OPTS"] {
            command.env_remove(name);
        }
        end(command)
    }

    /// Runs a script that must succeed; gives what it wrote on standard output.
    #[track_caller]
    pub fn ok(&self, script: &str) -> String {
        let ended = self.run(script);
        assert!(ended.output.status.success(), "a user's script failed: {}", ended.describe());
        String::from_utf8_lossy(&ended.output.stdout).into_owned()
    }
}

/// Lets everybody read what is below `dir`.
pub fn readable_for_everybody(dir: &Path) {
    let metadata = fs::symlink_metadata(dir).expect("lstat");
    if metadata.is_symlink() {
        return;
    }
    let mode = metadata.permissions().mode();
    let mode = mode | 0o444 | if metadata.is_dir() || mode & 0o100 != 0 { 0o111 } else { 0 };
    fs::set_permissions(dir, fs::Permissions::from_mode(mode)).expect("chmod");
    if metadata.is_dir() {
        for entry in fs::read_dir(dir).expect("list a directory") {
            readable_for_everybody(&entry.expect("list a directory").path());
        }
    }
}
