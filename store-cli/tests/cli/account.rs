//! An account of this machine that only its own processes see: with a home, a runtime directory and ranges of ids.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};

use crate::{Ended, Scratch, is_root, lamina, need, plain, run, skip};

/// The id of the account, and of its group: in no range that a machine gives to people.
pub(crate) const ID: u32 = 59_321;
/// Its first range of ids.
pub(crate) const RANGE: &str = "1900000000";

/// Makes the account in a mount namespace of its own, says so, and stays until its input ends.
const SETUP: &str = r#"
cd "$1"
{ cat /etc/passwd; echo "tester:x:$2:$2::$1/home:/bin/sh"; } >passwd
{ cat /etc/group; echo "tester:x:$2:"; } >group
echo "tester:$3:65536" | tee subuid >subgid
for file in passwd group subuid subgid; do mount --bind $file /etc/$file; done
mount -t tmpfs tmpfs /dev/shm
echo ready
read -r end || true
"#;

/// The account. Its pause process, when it has one, ends with it.
pub(crate) struct Account {
    scratch: Scratch,
    holder: Child,
    /// The holder ends when this is dropped.
    input: Option<ChildStdin>,
}

impl Account {
    /// Makes the account; without the tools or the rights it says that `test` is skipped, and why.
    pub(crate) fn make(test: &str) -> Option<Self> {
        for program in ["unshare", "nsenter", "setpriv", "findmnt"] {
            need(test, program)?;
        }
        if !is_root() {
            skip(test, "only root can become another user");
            return None;
        }
        for file in ["passwd", "group", "subuid", "subgid"] {
            if !Path::new("/etc").join(file).exists() {
                skip(test, &format!("/etc/{file} is missing: install uidmap"));
                return None;
            }
        }
        let scratch = Scratch::new();
        std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
        for name in ["home", "run"] {
            let place = scratch.path().join(name);
            std::fs::create_dir(&place).expect("make a directory");
            chown(&place, Some(ID), Some(ID)).expect("chown");
            std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o700)).expect("chmod");
        }
        // By a process of its own: a test that forks while a file is open for writing makes it busy for all.
        let copied = plain("cp").arg(lamina()).arg(scratch.path().join("lamina")).status();
        assert!(copied.expect("run cp").success());
        let mut holder = plain("unshare")
            .args(["-m", "--propagation", "private", "sh", "-euc", SETUP, "sh"])
            .arg(scratch.path())
            .args([ID.to_string().as_str(), RANGE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("run unshare");
        let mut said = String::new();
        BufReader::new(holder.stdout.take().expect("its output")).read_line(&mut said).expect("read");
        let input = holder.stdin.take();
        if said.trim() != "ready" {
            drop(input);
            let ended = Ended::of(&holder.wait_with_output().expect("wait"));
            skip(test, &format!("no account can be made: {said}{}", ended.err.trim()));
            return None;
        }
        Some(Account { scratch, holder, input })
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.scratch.path().join("home")
    }

    pub(crate) fn runtime(&self) -> PathBuf {
        self.scratch.path().join("run")
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.runtime().join("libpod/tmp/pause.pid")
    }

    /// Puts `text` where podman names its pause process.
    pub(crate) fn claim(&self, text: &str) {
        let file = self.pid_file();
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("make a directory");
        std::fs::write(&file, text).expect("write a file");
        chown(&file, Some(ID), Some(ID)).expect("chown");
    }

    /// Runs a script as root, where the account is known.
    pub(crate) fn as_root(&self, script: &str) -> Ended {
        run(plain("nsenter").args(["-m", "-t", &self.holder.id().to_string(), "sh", "-euc", script]))
    }

    /// Runs a script as the user, at home. It calls the command under test `lamina`.
    pub(crate) fn shell(&self, script: &str) -> Ended {
        let (home, runtime) = (self.home(), self.runtime());
        let path = std::env::var("PATH").unwrap_or_default();
        run(plain("nsenter")
            .args(["-m", "-t", &self.holder.id().to_string(), "setpriv"])
            .args([format!("--reuid={ID}"), format!("--regid={ID}"), "--clear-groups".to_owned()])
            .args(["sh", "-euc", &format!("cd \"$HOME\"\n{script}")])
            .env("HOME", &home)
            .env("XDG_RUNTIME_DIR", &runtime)
            .env("TMPDIR", &home)
            .env("PATH", format!("{}:{path}", self.scratch.path().display()))
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("CONTAINERS_STORAGE_CONF"))
    }

    /// Changes a file of `/etc`, as the account sees it.
    pub(crate) fn write_etc(&self, name: &str, text: &str) {
        std::fs::write(self.scratch.path().join(name), text).expect("write a file");
    }

    /// Ends the pause processes that the account's podman started.
    pub(crate) fn end_pause_process(&self) {
        let unnamed = self.home().join(format!("podman-run-{ID}/libpod/tmp/pause.pid"));
        for file in [self.pid_file(), unnamed] {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let Ok(pid) = text.trim().parse::<i32>() else { continue };
            let lives = || {
                let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                status.contains(&format!("Uid:\t{ID}\t")) && !status.contains("State:\tZ")
            };
            if !lives() {
                continue;
            }
            let number = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(number, nix::sys::signal::Signal::SIGKILL).expect("kill");
            // Killed is not yet dead.
            for _ in 0..1000 {
                if !lives() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.end_pause_process();
        drop(self.input.take());
        let _ = self.holder.wait();
    }
}
