//! An ordinary user: root of a namespace of their own.

use std::os::unix::fs::{PermissionsExt, chown};

use crate::{Ended, Scratch, is_root, lamina, need, plain, run, skip};

/// A user that owns nothing and has no ranges of ids.
const NOBODY: u32 = 65534;

/// Runs `lamina` as an ordinary user, with a home in `scratch`. None when this machine can't.
fn as_user(test: &str, scratch: &Scratch, args: &[&str]) -> Option<Ended> {
    let setpriv = need(test, "setpriv")?;
    if !is_root() {
        skip(test, "only root can become another user");
        return None;
    }
    let home = scratch.path().join("home");
    if !home.exists() {
        std::fs::create_dir(&home).expect("make a directory");
        chown(&home, Some(NOBODY), Some(NOBODY)).expect("chown");
        std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
        // By a process of its own: a test that forks while a file is open for writing makes it busy for all.
        let copied = std::process::Command::new("cp").arg(lamina()).arg(home.join("lamina")).status();
        assert!(copied.expect("run cp").success());
    }
    let mut command = plain(setpriv);
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(home.join("lamina"));
    let ended = run(command
        .args(args)
        .env("HOME", &home)
        .env("TMPDIR", &home)
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_DATA_HOME")
        .current_dir(&home));
    if ended.err.contains("unshare(CLONE_NEWUSER") {
        skip(test, ended.err.trim());
        return None;
    }
    Some(ended)
}

#[test]
fn a_user_has_a_store_at_home() {
    let test = "a_user_has_a_store_at_home";
    let scratch = Scratch::new();
    let run_root = scratch.path().join("home/run").display().to_string();
    let line = ["-R", &run_root, "-s", "vfs", "create-layer", "-i", "aaa"];
    let Some(made) = as_user(test, &scratch, &line) else { return };
    assert_eq!(made.code, Some(0), "{made:?}");
    let record = scratch.path().join("home/.local/share/containers/storage/vfs-layers/layers.json");
    assert!(record.exists(), "the record is in the user's own root");
    let config = as_user(test, &scratch, &["-R", &run_root, "config"]).expect("it worked before");
    assert!(config.out.contains("home/.local/share/containers/storage"), "{config:?}");
}

#[test]
fn a_user_has_a_configuration_at_home() {
    let test = "a_user_has_a_configuration_at_home";
    let scratch = Scratch::new();
    let Some(_) = as_user(test, &scratch, &["version"]) else { return };
    let place = scratch.path().join("home/.config/containers");
    std::fs::create_dir_all(&place).expect("make a directory");
    let text = "[storage]\ndriver = \"vfs\"\ngraphroot = \"$HOME/s/$UID\"\nrunroot = \"${HOME}/r\"\nnosuch = 1\n";
    std::fs::write(place.join("storage.conf"), text).expect("write a file");
    let Some(made) = as_user(test, &scratch, &["create-layer", "-i", "aaa"]) else { return };
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(scratch.path().join("home/s/65534/vfs-layers/layers.json").exists(), "the user's id is the one outside");
    assert!(scratch.path().join("home/r/vfs-layers").exists(), "the run root is the file's");
    let lines: Vec<&str> = made.err.lines().collect();
    assert!(lines.len() == 1 && lines[0].contains("unknown key storage.nosuch"), "told once: {lines:?}");
}

#[test]
fn unshare_runs_a_command_as_root_of_the_namespace() {
    let test = "unshare_runs_a_command_as_root_of_the_namespace";
    let scratch = Scratch::new();
    let Some(ended) = as_user(test, &scratch, &["unshare", "sh", "-c", "id -u; exit 7"]) else { return };
    assert_eq!((ended.code, ended.out.as_str()), (Some(7), "0\n"), "{ended:?}");
    let refused = run(plain(lamina()).args(["unshare", "true"]));
    if is_root() {
        assert_eq!(refused.code, Some(12), "root needs no namespace: {refused:?}");
    }
}

#[test]
fn a_mount_that_would_end_with_the_command_is_refused() {
    let test = "a_mount_that_would_end_with_the_command_is_refused";
    let scratch = Scratch::new();
    let (graph, run_root) = (scratch.path().join("home/g"), scratch.path().join("home/r"));
    let roots =
        ["-g", &graph.display().to_string(), "-R", &run_root.display().to_string(), "-s", "overlay"].map(str::to_owned);
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    let with = |rest: &[&str]| as_user(test, &scratch, &[&roots, rest].concat());
    let Some(made) = with(&["create-layer", "-i", "aaa"]) else { return };
    if made.code == Some(25) {
        return skip(test, made.err.trim());
    }
    assert_eq!(made.code, Some(0), "{made:?}");
    let mounted = with(&["mount", "aaa"]).expect("it worked before");
    assert_eq!(mounted.code, Some(12), "{mounted:?}");
    let command = scratch.path().join("home/lamina").display().to_string();
    let script = format!("{command} {0} mount aaa && {command} {0} unmount --if-mounted aaa", roots.join(" "));
    let inside = as_user(test, &scratch, &["unshare", "sh", "-ec", &script]).expect("it worked before");
    assert_eq!(inside.code, Some(0), "{inside:?}");
}
