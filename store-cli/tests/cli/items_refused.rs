//! Bad input for the verbs of images and containers: one clear line, the code of its kind, and nothing half-done.

use std::process::Stdio;

use crate::{Ended, Scratch, lamina};

fn furnished() -> Scratch {
    let scratch = Scratch::new();
    scratch.must(&["create-layer", "-i", "aaa"]);
    scratch.must(&["create-layer", "-i", "kid", "aaa"]);
    scratch.must(&["create-image", "-i", "img1", "-n", "one", "kid"]);
    scratch.must(&["create-image", "-i", "img2"]);
    scratch.must(&["create-container", "-i", "con1", "-n", "cn", "img1"]);
    scratch.must(&["create-container", "-i", "con2", ""]);
    scratch
}

/// All that the store says of itself, and every file in it.
fn everything(scratch: &Scratch) -> String {
    let lists = ["layers", "images", "containers"].map(|what| scratch.must(&[what, "-j"]));
    let find = crate::run(crate::plain("find").arg(scratch.path().join("store")).args(["-printf", "%P %y %s\\n"]));
    let own = |line: &&str| !line.contains("lamina-") && !line.contains(".lock");
    let mut files: Vec<&str> = find.out.lines().filter(own).collect();
    files.sort_unstable();
    lists.concat() + &files.join("\n")
}

#[test]
fn each_mistake_has_one_line_and_its_code_and_changes_nothing() {
    let scratch = furnished();
    let text = scratch.path().join("text").display().to_string();
    std::fs::write(&text, "x").expect("write");
    scratch.must(&["set-image-data", "-f", &text, "img1", "key"]);
    let long = "k".repeat(300);
    let before = everything(&scratch);
    for (line, code, words) in [
        (&["image", "nosuch"][..], 30, "image not known"),
        (&["image", "img"], 30, "2 images have an id that begins with \"img\""),
        (&["image", ""], 30, "image not known"),
        (&["container", "nosuch"], 31, "container not known"),
        (&["container", "con"], 31, "2 containers have an id that begins with \"con\""),
        (&["images-by-digest", "sha256:abc"], 2, "invalid checksum digest format"),
        (&["images-by-digest", ""], 2, "invalid checksum digest format"),
        (&["create-image", "-i", "img1", "kid"], 5, "that ID is already in use"),
        (&["create-image", "-n", "one", "kid"], 6, "image img1 is called \"one\""),
        (&["create-image", "-n", "", "kid"], 2, "name"),
        (&["create-image", "-i", "../x", "kid"], 14, "not a valid identifier"),
        (&["create-image", "-i", "images.json", "kid"], 14, "not a valid identifier"),
        (&["create-image", "-d", "md5:00", "kid"], 2, "invalid checksum digest format"),
        (&["create-image", "nosuch"], 3, "layer not known"),
        (&["create-image", "-f", "/nosuch", "kid"], 23, "no such file or directory"),
        (&["create-container", "-i", "con1", "img1"], 5, "that ID is already in use"),
        (&["create-container", "-n", "cn", "img1"], 6, "container con1 is called \"cn\""),
        (&["create-container", "-i", "a/b", "img1"], 14, "not a valid identifier"),
        (&["create-container", "nosuch"], 30, "image not known"),
        (&["create-container", "img"], 30, "2 images"),
        (&["create-container", "kid"], 30, "image not known"),
        (&["create-container", "-f", "/nosuch", "img1"], 23, "no such file or directory"),
        (&["create-layer", "con1"], 4, "parent of layer not known"),
        (&["delete-image", "img1"], 32, "image is in use by a container"),
        (&["delete-image", "nosuch"], 30, "image not known"),
        (&["delete-image", "-t", "img"], 30, "2 images"),
        (&["delete-image", "kid"], 30, "image not known"),
        (&["delete-container", "img1"], 31, "container not known"),
        (&["delete-container", "con"], 31, "2 containers"),
        (&["delete", "nosuch"], 34, "identifier is not a layer, image, or container"),
        (&["delete-layer", "kid"], 7, "layer has children"),
        (&["list-image-data", "nosuch"], 30, "image not known"),
        (&["list-container-data", "img1"], 31, "container not known"),
        (&["get-image-data", "img1", "nosuch"], 23, "has no data called \"nosuch\""),
        (&["get-image-data", "img1", "../images.json"], 23, "has no data called"),
        (&["get-image-data", "-f", "/nosuch/x", "img1", "key"], 23, "no such file or directory"),
        (&["get-container-data", "con1", "key"], 23, "no such file or directory"),
        (&["get-image-data-size", "img1", "nosuch"], 35, "size is not known"),
        (&["get-container-data-size", "con1", "nosuch"], 35, "size is not known"),
        (&["get-image-data-digest", "img1", "nosuch"], 36, "could not compute digest of item"),
        (&["get-container-data-digest", "con1", "nosuch"], 36, "could not compute digest of item"),
        (&["set-image-data", "-f", "/nosuch", "img1", "x"], 23, "no such file or directory"),
        (&["set-image-data", "-f", "/", "img1", "x"], 24, "directory"),
        (&["set-image-data", "-f", &text, "nosuch", "x"], 30, "image not known"),
        (&["set-image-data", "-f", &text, "img1", ""], 13, "not a valid name for a big data item"),
        (&["set-image-data", "-f", &text, "img1", "a/"], 13, "not a valid name for a big data item"),
        (&["set-image-data", "-f", &text, "img1", ".."], 13, "not a valid name for a big data item"),
        (&["set-container-data", "-f", &text, "con1", "userdata"], 13, "not a valid name for a big data item"),
        (&["set-container-data", "-f", &text, "con1", &long], 13, "not a valid name for a big data item"),
        (&["set-container-data", "-f", &text, "nosuch", "x"], 31, "container not known"),
        (&["get-image-dir", "nosuch"], 30, "image not known"),
        (&["get-image-dir", "../../x"], 30, "image not known"),
        (&["get-image-run-dir", "localhost/no:such"], 30, "image not known"),
        (&["get-container-dir", "../x"], 31, "container not known"),
        (&["get-container-run-dir", ""], 31, "container not known"),
        (&["mount", "-r", "img2"], 3, "image img2 has no layer"),
        (&["mount", "-r", "nosuch"], 3, "layer not known"),
        (&["unmount", "nosuch"], 3, "layer not known"),
        (&["unmount", "--if-mounted", "con1"], 10, "layer is not mounted"),
        (&["unmount", "--if-mounted", "img1"], 10, "layer is not mounted"),
        (&["metadata", "nosuch"], 34, "identifier is not a layer, image, or container"),
        (&["set-metadata", "-m", "x", "nosuch"], 34, "identifier is not a layer, image, or container"),
        (&["get-names", "nosuch"], 3, "layer not known"),
        (&["add-names", "-n", "", "img1"], 2, "name"),
        (&["changes", "img1"], 3, "layer not known"),
        (&["diffsize", "nosuch"], 3, "layer not known"),
    ] {
        let ended = scratch.lamina(line);
        assert_eq!(ended.code, Some(code), "{line:?}: {ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{line:?}: {ended:?}");
        assert!(ended.err.starts_with("lamina: ") && ended.err.contains(words), "{line:?}: {ended:?}");
        assert_eq!(everything(&scratch), before, "{line:?} changed the store");
    }
    assert!(!scratch.path().join("store/x").exists() && !scratch.path().join("x").exists());
}

#[test]
fn too_few_and_too_many_arguments_are_told_before_anything_is_touched() {
    let scratch = Scratch::new();
    let mut lines: Vec<(Vec<String>, &str)> = Vec::new();
    let mut add = |verb: &str, count: usize, words| {
        let args = std::iter::once(verb.to_owned()).chain(std::iter::repeat_n("x".to_owned(), count));
        lines.push((args.collect(), words));
    };
    let (few, many) = ("more arguments required", "too many arguments");
    for kind in ["image", "container"] {
        for (verb, least, most) in [
            (format!("{kind}s"), 0, 0),
            (kind.to_owned(), 1, usize::MAX),
            (format!("create-{kind}"), usize::from(kind == "container"), 1),
            (format!("delete-{kind}"), 1, usize::MAX),
            (format!("list-{kind}-data"), 1, 1),
            (format!("get-{kind}-data"), 2, 2),
            (format!("get-{kind}-data-size"), 2, 2),
            (format!("get-{kind}-data-digest"), 2, 2),
            (format!("set-{kind}-data"), 2, 2),
            (format!("get-{kind}-dir"), 1, 1),
            (format!("get-{kind}-run-dir"), 1, 1),
        ] {
            if least > 0 {
                add(&verb, least - 1, few);
            }
            if most < usize::MAX {
                add(&verb, most + 1, many);
            }
        }
    }
    add("images-by-digest", 0, few);
    add("images-by-digest", 2, many);
    for (line, words) in lines {
        let args: Vec<&str> = line.iter().map(String::as_str).collect();
        let ended = scratch.lamina(&args);
        assert_eq!(ended.code, Some(1), "{line:?}: {ended:?}");
        assert!(ended.err.contains(words) && ended.err.lines().count() == 1, "{line:?}: {ended:?}");
        assert!(ended.out.contains(&format!("Usage: lamina {}", line[0])), "{line:?}: {ended:?}");
    }
    assert!(!scratch.path().join("store").exists(), "something was made");
}

#[test]
fn flags_of_other_verbs_are_unknown() {
    let scratch = Scratch::new();
    for line in [
        &["images", "-t"][..],
        &["containers", "-q"],
        &["create-image", "--volatile"],
        &["create-container", "-d", "x", ""],
        &["get-image-data-size", "-j", "x", "y"],
        &["get-container-dir", "-j", "x"],
        &["delete-container", "-t", "x"],
        &["create-image", "-n"],
    ] {
        let ended = scratch.lamina(line);
        assert_eq!((ended.code, ended.err.lines().count()), (Some(125), 1), "{line:?}: {ended:?}");
    }
}

#[test]
fn of_several_the_good_ones_are_answered_and_the_first_failure_counts() {
    let scratch = furnished();
    let ended = scratch.lamina(&["container", "con1", "nosuch", "con2"]);
    assert_eq!((ended.code, ended.err.lines().count()), (Some(31), 1), "{ended:?}");
    assert!(ended.out.contains("ID: con1\n") && ended.out.contains("ID: con2\n"), "{ended:?}");
    let ended = scratch.lamina(&["delete-image", "-j", "img1", "nosuch", "img2"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(32), ""), "{ended:?}");
    assert!(ended.out.starts_with("{\"img1\":{\"error\":\"") && ended.out.contains("\"img2\":{}"), "{ended:?}");
    assert_eq!(scratch.must(&["images", "-q"]), "img1\n");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let scratch = furnished();
    for line in [
        &["images"][..],
        &["images", "-j"],
        &["image", "img1"],
        &["containers"],
        &["container", "-j", "con1"],
        &["get-image-dir", "img1"],
        &["layers", "-t"],
    ] {
        let (reader, writer) = std::io::pipe().expect("make a pipe");
        drop(reader);
        let mut command = scratch.on(lamina(), "store");
        let output = command.args(line).stdout(writer).stderr(Stdio::piped()).output().expect("run");
        let ended = Ended::of(&output);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{line:?}");
    }
}

#[test]
fn damage_in_one_table_keeps_nobody_from_the_others() {
    let scratch = furnished();
    let path = scratch.path().join("store/graph/vfs-images/images.json");
    let text = std::fs::read_to_string(&path).expect("read");
    std::fs::write(&path, text.replacen("{\"id\":\"img1\"", "{\"id\":[1]", 1)).expect("write");
    assert_eq!(scratch.must(&["images", "-q"]), "img2\n", "a record that can't be understood is hidden");
    std::fs::write(&path, "").expect("write");
    let ended = scratch.lamina(&["images"]);
    assert_eq!((ended.code, ended.err.lines().count()), (Some(17), 1), "{ended:?}");
    assert!(ended.err.contains("vfs-images/images.json"), "{ended:?}");
}
