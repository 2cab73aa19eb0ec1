//! What is understood, what isn't, and where the answer goes.

use crate::{Scratch, lamina, plain, run};

/// Every verb that works, by its first name.
const VERBS: &[&str] = &[
    "tour",
    "drivers",
    "create-layer",
    "import-layer",
    "delete",
    "delete-layer",
    "changes",
    "diffsize",
    "diff",
    "applydiff",
    "exists",
    "layer",
    "list-layer-data",
    "get-layer-data",
    "set-layer-data",
    "layers",
    "storage-layers",
    "metadata",
    "set-metadata",
    "mount",
    "unmount",
    "mounted",
    "get-names",
    "add-names",
    "remove-names",
    "set-names",
    "gc",
    "shutdown",
    "status",
    "unshare",
    "version",
    "config",
    "wipe",
    "images",
    "images-by-digest",
    "image",
    "create-image",
    "delete-image",
    "list-image-data",
    "get-image-data",
    "get-image-data-size",
    "get-image-data-digest",
    "set-image-data",
    "get-image-dir",
    "get-image-run-dir",
    "containers",
    "container",
    "create-container",
    "delete-container",
    "list-container-data",
    "get-container-data",
    "get-container-data-size",
    "get-container-data-digest",
    "set-container-data",
    "get-container-dir",
    "get-container-run-dir",
    "layer-parent-owners",
    "container-parent-owners",
    "check",
    "repair",
    "copy",
    "dedup",
    "load",
    "save",
    "conformance",
    "audit",
];

/// Every other name.
const ALIASES: &[&str] = &[
    "createlayer",
    "importlayer",
    "deletelayer",
    "diff-size",
    "apply-diff",
    "listlayerdata",
    "getlayerdata",
    "setlayerdata",
    "setmetadata",
    "umount",
    "getnames",
    "addnames",
    "removenames",
    "setnames",
    "createimage",
    "deleteimage",
    "listimagedata",
    "getimagedata",
    "getimagedatasize",
    "getimagedatadigest",
    "setimagedata",
    "getimagedir",
    "getimagerundir",
    "createcontainer",
    "deletecontainer",
    "listcontainerdata",
    "getcontainerdata",
    "getcontainerdatasize",
    "getcontainerdatadigest",
    "setcontainerdata",
    "getcontainerdir",
    "getcontainerrundir",
];

fn without_store(args: &[&str]) -> crate::Ended {
    run(plain(lamina()).args(args))
}

#[test]
fn every_name_of_a_verb_has_help_on_standard_output() {
    let overview = without_store(&["--help"]);
    assert_eq!(overview.code, Some(0));
    let commands = overview.out.split_once("\nCommands:\n\n").and_then(|(_, rest)| rest.split_once("\n\n"));
    let commands = commands.expect("a list of commands").0.lines().filter_map(|line| line.split_whitespace().next());
    let (mut listed, mut verbs) = (commands.collect::<Vec<_>>(), VERBS.to_vec());
    listed.sort_unstable();
    verbs.sort_unstable();
    assert_eq!(listed, verbs, "VERBS names what works");
    for name in VERBS.iter().chain(ALIASES) {
        for help in [&[*name, "--help"][..], &[name, "-h"], &["help", name]] {
            let ended = without_store(help);
            assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{help:?}");
            assert!(ended.out.starts_with(&format!("Usage: lamina {name} ")), "{help:?}: {}", ended.out);
        }
    }
}

#[test]
fn a_line_that_is_not_understood_is_answered_where_the_reference_answers() {
    for (args, code, out) in [
        (&[][..], 1, "Usage: lamina command"),
        (&["nosuch"], 1, "nosuch: unrecognized command.\n"),
        (&["layer"], 1, "layer: more arguments required.\nUsage: lamina layer "),
        (&["layers", "a", "b"], 1, "layers: too many arguments ([a b]).\nUsage: lamina layers "),
        (&["list-layer-data", "kid", "-j"], 1, "list-layer-data: too many arguments ([kid -j])."),
        (&["--nosuch", "layers"], 1, "flag provided but not defined: --nosuch while parsing arguments (1)\nUsage: "),
        (&["layers", "-x"], 125, ""),
        (&["layers", "-jt"], 125, ""),
        (&["create-layer", "--name"], 125, ""),
        (&["layers", "--json=maybe"], 125, ""),
        (&["--durability=much", "layers"], 2, ""),
        (&["--lock-timeout", "soon", "layers"], 2, ""),
    ] {
        let ended = without_store(args);
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert!(ended.out.starts_with(out), "{args:?}: {ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{args:?} has one line that says why: {ended:?}");
        assert!(ended.err.starts_with("lamina: "), "{args:?}: {ended:?}");
    }
}

#[test]
fn flags_stand_before_and_after_the_verb() {
    let scratch = Scratch::new();
    let (graph, run_root) =
        (scratch.path().join("g").display().to_string(), scratch.path().join("r").display().to_string());
    let before =
        without_store(&["-g", &graph, "-R", &run_root, "-s", "vfs", "create-layer", "-n", "one", "--name=two"]);
    assert_eq!(before.code, Some(0), "{before:?}");
    let run_flag = format!("--run={run_root}");
    let after = without_store(&["layers", "-q", "--graph", &graph, &run_flag, "--storage-driver=vfs"]);
    assert_eq!(before.out, format!("{}\tone\n\ttwo\n", after.out));
}

#[test]
fn the_environment_names_driver_and_options() {
    let scratch = Scratch::new();
    let mut command = plain(lamina());
    command.arg("-g").arg(scratch.path().join("g")).arg("-R").arg(scratch.path().join("r"));
    let ended = run(command.env("STORAGE_DRIVER", "nosuch").arg("layers"));
    assert_eq!(ended.code, Some(26), "{ended:?}");
    let ended = run(command.env("STORAGE_DRIVER", "vfs").env("STORAGE_OPTS", "novalue"));
    assert_eq!(ended.code, Some(2), "{ended:?}");
}

#[test]
fn version_and_status_have_the_streams_of_the_reference() {
    let version = without_store(&["version"]);
    assert_eq!(
        (version.out.as_str(), version.err.as_str()),
        ("", concat!("Version: ", env!("CARGO_PKG_VERSION"), "\n"))
    );
    let json = without_store(&["version", "-j"]);
    assert_eq!(json.out, concat!("[[\"Version\",\"", env!("CARGO_PKG_VERSION"), "\"]]\n"));
    let status = Scratch::new().lamina(&["status"]);
    assert!(
        status.err.starts_with("Root: ") && status.err.contains("\nDriver Name: vfs\nDriver Options: []\n"),
        "{status:?}"
    );
    assert_eq!(status.out, "");
}
