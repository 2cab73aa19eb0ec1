//! Exit codes, and what is said on standard error.

use std::process::Stdio;

use storage_core::lockfile::{Access, LockFile, Mode, Wait};

use crate::{Ended, Scratch, lamina, need};

#[test]
fn a_failure_has_one_line_and_the_code_of_its_kind() {
    let scratch = Scratch::new();
    scratch.must(&["create-layer", "-i", "aaa", "-n", "base"]);
    scratch.must(&["create-layer", "-i", "kid", "aaa"]);
    let (damaged, path) =
        (scratch.path().join("damaged.tar"), scratch.path().join("damaged.tar").display().to_string());
    std::fs::write(&damaged, "this is no archive, although it is long enough to be taken for the beginning of one")
        .expect("write");
    for (line, code, words) in [
        (&["layer", "nosuch"][..], 3, "layer not known"),
        (&["diff", "-f", "/dev/null", "nosuch"], 3, "layer not known"),
        (&["mount", "nosuch"], 3, "layer not known while mounting nosuch"),
        (&["create-layer", "nosuch"], 4, "parent of layer not known"),
        (&["create-layer", "-i", "aaa"], 5, "that ID is already in use"),
        (&["create-layer", "-n", "base"], 6, "that name is already in use"),
        (&["delete-layer", "aaa"], 7, "layer has children"),
        (&["delete", "aaa"], 7, "layer has children"),
        (&["unmount", "--if-mounted", "kid"], 10, "layer is not mounted"),
        (&["create-layer", "-i", "../x"], 14, "not a valid identifier"),
        (&["create-layer", "-i", "a/b"], 14, "not a valid identifier"),
        (&["import-layer", "-f", &path], 15, "invalid tar archive"),
        (&["import-layer", "-f", "/nosuch"], 23, "no such file or directory"),
        (&["set-metadata", "aaa"], 2, "no new metadata provided"),
    ] {
        let before = scratch.must(&["layers", "-j"]);
        let ended = scratch.lamina(line);
        assert_eq!(ended.code, Some(code), "{line:?}: {ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{line:?}: {ended:?}");
        assert!(ended.err.starts_with("lamina: ") && ended.err.contains(words), "{line:?}: {ended:?}");
        assert_eq!(scratch.must(&["layers", "-j"]), before, "{line:?} changed the store");
    }
}

#[test]
fn of_several_failures_the_first_gives_the_code() {
    let scratch = Scratch::new();
    scratch.must(&["create-layer", "-i", "aaa"]);
    scratch.must(&["create-layer", "-i", "kid", "aaa"]);
    let ended = scratch.lamina(&["delete-layer", "aaa", "nosuch", "kid"]);
    assert_eq!((ended.code, ended.err.lines().count()), (Some(7), 2), "{ended:?}");
    assert_eq!(scratch.must(&["layers", "-q"]), "aaa\n", "what could be deleted is");
}

#[test]
fn an_empty_store_lists_as_the_reference_encodes_it() {
    let scratch = Scratch::new();
    assert_eq!(scratch.must(&["layers", "-j"]), "null\n");
    assert_eq!(scratch.must(&["storage-layers", "-j"]), "[]\n");
    assert_eq!(scratch.must(&["layers"]), "");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let scratch = Scratch::new();
    scratch.must(&["create-layer"]);
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    drop(reader);
    let mut command = scratch.on(lamina(), "store");
    let output = command.arg("layers").stdout(writer).stderr(Stdio::piped()).output().expect("run");
    let ended = Ended::of(&output);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}

#[test]
fn a_terminal_gets_no_archive() {
    let Some(script) = need("a_terminal_gets_no_archive", "script") else { return };
    let scratch = Scratch::new();
    scratch.must(&["create-layer", "-i", "aaa"]);
    let root = scratch.path().join("store").display().to_string();
    let line = format!("{} -g {root}/graph -R {root}/run -s vfs diff aaa", lamina());
    let ended = crate::run(crate::plain(script).args(["-qec", &line, "/dev/null"]));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.out.contains("standard output is a terminal; write into a file or a pipe"), "{ended:?}");
}

#[test]
fn a_wait_for_a_lock_ends_when_it_is_told_to_and_names_the_holder() {
    let scratch = Scratch::new();
    scratch.must(&["create-layer", "-i", "aaa"]);
    let path = scratch.path().join("store/graph/vfs-layers/layers.lock");
    let hold = LockFile::new(path, Access::ReadWrite).acquire(Mode::Shared, &Wait::forever()).expect("lock");
    let ended = scratch.lamina(&["--lock-timeout", "200ms", "add-names", "-n", "x", "aaa"]);
    assert_eq!(ended.code, Some(18), "{ended:?}");
    assert!(ended.err.contains(&format!("process {}", std::process::id())), "the holder is named: {ended:?}");
    assert_eq!(scratch.must(&["get-names", "aaa"]), "", "reading records waits for nobody");
    drop(hold);
    scratch.must(&["--lock-timeout", "5s", "add-names", "-n", "x", "aaa"]);
}
