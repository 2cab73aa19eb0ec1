//! storage.conf as the command reads it, beside what the reference's programs read.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::{Ended, Scratch, is_root, lamina, need, plain, run, skip};

/// A configuration whose store is in `scratch`.
fn conf(scratch: &Scratch, rest: &str) -> String {
    let path = scratch.path().join("storage.conf");
    let root = scratch.path().display();
    let text = format!("[storage]\ngraphroot = \"{root}/graph\"\nrunroot = \"{root}/run\"\n{rest}");
    std::fs::write(&path, text).expect("write a file");
    path.display().to_string()
}

/// `lamina`, with `conf` for its only file.
fn with(conf: &str) -> Command {
    let mut command = plain(lamina());
    command.env("CONTAINERS_STORAGE_CONF", conf);
    command
}

fn json(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.out).expect("JSON")
}

#[test]
fn a_store_is_opened_as_the_file_says() {
    let scratch = Scratch::new();
    let conf = conf(&scratch, "driver = \"vfs\"\n[storage.options]\nmountopt = \"nodev\"\nsize = \"\"\n");
    let made = run(with(&conf).args(["create-layer", "-i", "aaa"]));
    assert_eq!((made.code, made.err.as_str()), (Some(0), ""), "options for others don't hurt: {made:?}");
    assert!(scratch.path().join("graph/vfs-layers/layers.json").exists(), "the layer is in the root of the file");
    let status = run(with(&conf).args(["status"]));
    assert!(status.err.contains("\nDriver Name: vfs\nDriver Options: []\n"), "{status:?}");
}

#[test]
fn config_tells_what_is_configured_and_who_said_so() {
    let scratch = Scratch::new();
    let file = conf(
        &scratch,
        "[storage.options]\nauto-userns-min-size = 2048\n[storage.options.overlay]\nmountopt = \"nodev\"\n",
    );
    let told = json(&run(with(&file).env("STORAGE_DRIVER", "overlay").arg("config")));
    assert_eq!(told["root"], scratch.path().join("graph").display().to_string());
    assert_eq!((&told["driver"], &told["driver-options"][0]), (&"overlay".into(), &"overlay.mountopt=nodev".into()));
    assert_eq!((&told["auto_userns_min_size"], told.get("auto_userns_max_size")), (&2048.into(), None));
    let sources = &told["sources"];
    assert_eq!(sources["storage.driver"], "$STORAGE_DRIVER");
    assert_eq!(sources["storage.options.overlay.mountopt"], format!("{file}:7"));
    assert_eq!(told["files"], Value::from(vec![file.clone()]));
    let flags = json(&run(with(&file).args(["-g", "/g", "-s", "vfs", "config"])));
    assert_eq!((&flags["root"], &flags["driver"]), (&"/g".into(), &"vfs".into()));
    assert_eq!(
        flags["runroot"],
        scratch.path().join("run").display().to_string(),
        "a root that wasn't given is the file's"
    );
    assert_eq!((flags.get("driver-options"), &flags["sources"]["storage.graphroot"]), (None, &"given".into()));
    let alone = json(&run(plain(lamina()).args(["config", &file])));
    assert_eq!((alone["root"].as_str(), &alone["files"]), (told["root"].as_str(), &told["files"]));
    assert!(!scratch.path().join("graph").exists(), "no store is opened");
}

#[test]
fn a_flag_shuts_out_the_options_of_the_file() {
    let scratch = Scratch::new();
    let conf = conf(&scratch, "driver = \"nosuch\"\n[storage.options]\nmountopt = \"nodev\"\n");
    let ended = run(with(&conf).args(["layers"]));
    assert_eq!(ended.code, Some(26), "the file's driver counts: {ended:?}");
    let ended = run(with(&conf).args(["-s", "vfs", "create-layer"]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(scratch.path().join("graph/vfs-layers").exists(), "roots are still the file's");
}

#[test]
fn the_first_driver_of_the_list_that_works_is_taken() {
    let scratch = Scratch::new();
    let conf = conf(&scratch, "driver_priority = [\"nosuch\", \"vfs\", \"overlay\"]\n");
    let ended = run(with(&conf).args(["create-layer", "-i", "aaa"]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(scratch.path().join("graph/vfs").exists(), "the copying driver is taken when it is listed");
    std::fs::write(&conf, std::fs::read_to_string(&conf).expect("read").replace("\"vfs\", ", "")).expect("write");
    let layers = run(with(&conf).args(["layers", "-q"]));
    assert_eq!(layers.out, "aaa\n", "the driver that is on the root stays: {layers:?}");
}

#[test]
fn an_unknown_key_is_warned_of_once_and_a_broken_file_is_an_error() {
    let scratch = Scratch::new();
    let file = conf(&scratch, "driver = \"vfs\"\ngraphrot = \"/x\"\n[storage.options]\nremap-user = \"containers\"\n");
    let warning = format!("lamina: warning: {file} line 5: unknown key storage.graphrot, ignored\n");
    for line in [&["layers"][..], &["config"], &["config", &file], &["-s", "vfs", "layers"]] {
        let ended = run(with(&file).args(line));
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), warning.as_str()), "{line:?}");
    }
    std::fs::write(&file, "[storage\n").expect("write a file");
    for line in [&["layers"][..], &["config"], &["config", &file]] {
        let ended = run(with(&file).args(line));
        assert_eq!(ended.code, Some(2), "{line:?}: {ended:?}");
        assert!(ended.err.starts_with(&format!("lamina: read configuration {file}: line 1: ")), "{ended:?}");
    }
    for line in [&["version"][..], &["--help"]] {
        assert_eq!(run(with(&file).args(line)).code, Some(0), "{line:?} needs no configuration");
    }
    let ended = run(scratch.on(lamina(), "own").env("CONTAINERS_STORAGE_CONF", &file).arg("layers"));
    assert_eq!(ended.code, Some(0), "with both roots no file is read: {ended:?}");
    let ended = run(plain(lamina()).args(["config", "/nosuch.conf"]));
    assert_eq!(ended.code, Some(23), "{ended:?}");
}

#[test]
fn stores_that_cannot_be_obeyed_are_refused_when_one_is_opened() {
    let scratch = Scratch::new();
    for (rest, word) in [
        ("imagestore = \"/i\"\n", "storage.imagestore"),
        ("transient_store = true\n", "storage.transient_store"),
        ("[storage.options]\nadditionalimagestores = [\"/a\"]\n", "storage.options.additionalimagestores"),
        ("[storage.options]\nadditionallayerstores = [\"/l\"]\n", "additional layer stores (/l)"),
    ] {
        let file = conf(&scratch, &format!("driver = \"vfs\"\n{rest}"));
        let ended = run(with(&file).arg("layers"));
        assert_eq!(ended.code, Some(12), "{ended:?}");
        assert!(ended.err.contains(word) && ended.err.contains(&file), "{ended:?}");
        assert!(!scratch.path().join("graph").exists(), "{rest}: something was made");
        json(&run(with(&file).arg("config")));
    }
}

/// What is compared with the reference's programs.
const COMPARED: &str = "driver = \"vfs\"\ntransient_store = true\n[storage.options]\nmountopt = \"nodev\"\n\
    root-auto-userns-user = \"containers\"\nauto-userns-min-size = 2048\nauto-userns-max-size = 4096\n\
    disable-volatile = true\nremap-user = \"\"\npull_options = {use_hard_links = \"true\"}\n\
    [storage.options.vfs]\nignore_chown_errors = \"false\"\n";

#[test]
fn config_has_the_fields_of_the_reference() {
    let test = "config_has_the_fields_of_the_reference";
    let Some(peer) = need(test, "containers-storage") else { return };
    let scratch = Scratch::new();
    let file = conf(&scratch, COMPARED);
    let theirs = run(scratch.on(&peer, "store").args(["config", &file]));
    if theirs.out.contains("unrecognized command") {
        return skip(test, "this version of containers-storage has no config command");
    }
    let (ours, theirs) = (json(&run(plain(lamina()).args(["config", &file]))), json(&theirs));
    for (name, value) in theirs.as_object().expect("an object") {
        // The vfs driver has no mounts: Lamina doesn't hand it options for them.
        if ours.get(name).is_some() && name != "driver-options" {
            assert_eq!(&ours[name], value, "{name}");
        }
    }
    for name in ["runroot", "root", "driver", "PullOptions"] {
        assert!(theirs.get(name).is_some(), "the reference calls {name} otherwise");
    }
}

/// What `podman info` says of its store when `file` is its configuration.
fn told_by_podman(podman: &Path, scratch: &Scratch, file: &str) -> Ended {
    let place = |name: &str| scratch.path().join(name);
    // The overlay driver makes its home a mount, which must end with podman.
    let mut command = plain("unshare");
    command.arg("-m").arg(podman);
    command.arg("--tmpdir").arg(place("tmp")).arg("--network-config-dir").arg(place("net"));
    command.args(["--cgroup-manager=cgroupfs", "--events-backend=file", "info", "--format", "{{json .Store}}"]);
    run(command.env("CONTAINERS_STORAGE_CONF", file).env("HOME", place("home")))
}

#[test]
fn podman_and_lamina_understand_one_file_alike() {
    let test = "podman_and_lamina_understand_one_file_alike";
    let Some(podman) = need(test, "podman") else { return };
    if !is_root() {
        return skip(test, "podman needs namespaces of its own for an ordinary user");
    }
    for (driver, rest) in [
        ("vfs", "[storage.options.vfs]\nignore_chown_errors = \"false\"\n"),
        ("overlay", "[storage.options]\nmountopt = \"nodev\"\nskip_mount_home = \"true\"\n"),
        ("overlay", "[storage.options]\nmountopt = \"nodev\"\n[storage.options.overlay]\nmountopt = \"metacopy=on\"\n"),
    ] {
        let scratch = Scratch::new();
        let file = conf(&scratch, &format!("driver = \"{driver}\"\n{rest}"));
        let theirs = told_by_podman(&podman, &scratch, &file);
        if theirs.code != Some(0) {
            return skip(test, &format!("podman info fails here: {}", theirs.err.trim()));
        }
        let (ours, theirs) = (json(&run(with(&file).arg("config"))), json(&theirs));
        assert_eq!(theirs["configFile"], file, "podman read the file");
        assert_eq!((&ours["root"], &ours["runroot"]), (&theirs["graphRoot"], &theirs["runRoot"]));
        assert_eq!(ours["driver"], theirs["graphDriverName"]);
        let options = ours["driver-options"].as_array().cloned().unwrap_or_default();
        let options: Vec<(&str, &str)> =
            options.iter().filter_map(|option| option.as_str().and_then(|option| option.split_once('='))).collect();
        let known = theirs["graphOptions"].as_object().expect("an object");
        assert_eq!(options.len(), known.len(), "{options:?} and {known:?}");
        assert!(options.iter().all(|(key, value)| known.get(*key).is_some_and(|theirs| theirs == value)), "{known:?}");
    }
}
