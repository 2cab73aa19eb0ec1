//! Images and containers, where the command does on purpose what the reference doesn't.

use crate::Scratch;

/// A store with two layers, an image on the upper one, and a container of it.
fn furnished() -> Scratch {
    let scratch = Scratch::new();
    scratch.must(&["create-layer", "-i", "aaa"]);
    scratch.must(&["create-layer", "-i", "kid", "-n", "top", "aaa"]);
    scratch.must(&["create-image", "-i", "img", "-n", "image", "kid"]);
    scratch.must(&["create-container", "-i", "con", "-n", "container", "img"]);
    scratch
}

#[test]
fn filters_of_exists_count_in_every_answer() {
    let scratch = furnished();
    for (line, code, out) in [
        (&["exists", "-i", "image", "con"][..], 1, "con: false\nimage: true\n"),
        (&["exists", "-c", "-j", "image", "con"], 1, "{\"con\":true,\"image\":false}\n"),
        (&["exists", "-l", "top", "kid"], 0, "kid: true\ntop: true\n"),
        (&["exists", "-i", "-c", "con"], 1, "con: false\n"),
        (&["exists", "-l", "img"], 1, "img: false\n"),
        (&["exists", "top", "image", "container", "no"], 1, "container: true\nimage: true\nno: false\ntop: true\n"),
    ] {
        let ended = scratch.lamina(line);
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), out), "{line:?}: {ended:?}");
    }
}

#[test]
fn containers_and_images_are_mounted_by_any_of_their_names() {
    let scratch = furnished();
    let path = scratch.must(&["mount", "con"]);
    assert_eq!(scratch.must(&["mount", "container"]), path, "one container has one place");
    for name in ["con", "container", "co"] {
        assert_eq!(scratch.must(&["mounted", name]), format!("{name} mounted\n"));
    }
    assert_eq!(scratch.must(&["unmount", "container"]), "", "one of two mounts is left");
    assert_eq!(scratch.must(&["unmount", path.trim_end()]), format!("{} mountpoint unmounted\n", path.trim_end()));
    assert_eq!(scratch.must(&["mounted", "con"]), "");

    let refused = scratch.lamina(&["mount", "image"]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(3), "\n"), "{refused:?}");
    assert!(refused.err.contains("mount it with --ro"), "{refused:?}");
    let shown = scratch.must(&["mount", "--ro", "image"]);
    assert!(shown.ends_with("/kid\n"), "the top layer is shown: {shown}");
    assert_eq!(scratch.must(&["mounted", "image", "img", "kid"]), "image mounted\nimg mounted\nkid mounted\n");
    assert_eq!(scratch.must(&["unmount", "image"]), "");
    assert_eq!(scratch.must(&["mounted", "kid"]), "");
}

#[test]
fn mount_options_reach_the_driver() {
    let scratch = furnished();
    for line in [&["mount", "-o", "nosuchoption", "con"][..], &["mount", "-r", "-o", "rw", "image"]] {
        let ended = scratch.lamina(line);
        assert_eq!((ended.code, ended.out.as_str()), (Some(12), "\n"), "{line:?}: {ended:?}");
    }
    assert_eq!(scratch.must(&["mounted", "con", "kid"]), "");
}

#[test]
fn diffs_take_containers() {
    let scratch = furnished();
    let place = scratch.must(&["mount", "con"]);
    std::fs::write(std::path::Path::new(place.trim_end()).join("new"), "12345").expect("write");
    scratch.must(&["unmount", "con"]);
    assert_eq!(scratch.must(&["changes", "container"]), "Add \"/new\"\n");
    assert_eq!(scratch.must(&["changes", "con", "aaa"]), "Add \"/new\"\n");
    assert_eq!(scratch.must(&["diffsize", "con"]), "5\n");
    let tar = scratch.path().join("con.tar").display().to_string();
    scratch.must(&["diff", "-u", "-f", &tar, "container"]);
    scratch.must(&["create-container", "-i", "second", "img"]);
    scratch.must(&["applydiff", "-f", &tar, "second"]);
    assert_eq!(scratch.must(&["changes", "second"]), "Add \"/new\"\n");
    assert!(scratch.must(&["container", "con"]).contains("\nSize: 5\n"));
}

#[test]
fn delete_takes_the_container_first_leaves_an_images_layers_and_breaks_nothing() {
    let scratch = furnished();
    scratch.must(&["add-names", "-n", "same", "top"]);
    scratch.must(&["add-names", "-n", "same", "image"]);
    scratch.must(&["add-names", "-n", "same", "container"]);
    for (name, code) in [("aaa", 7), ("kid", 7), ("img", 32)] {
        let refused = scratch.lamina(&["delete", name]);
        assert_eq!(refused.code, Some(code), "{refused:?}");
    }
    scratch.must(&["delete", "same"]);
    assert_eq!(scratch.must(&["containers"]), "");
    assert_eq!(scratch.must(&["layers", "-q"]), "aaa\nkid\n");
    assert_eq!(scratch.lamina(&["delete", "kid"]).code, Some(8), "an image needs it");
    scratch.must(&["delete", "same"]);
    assert_eq!((scratch.must(&["images"]), scratch.must(&["layers", "-q"])), (String::new(), "aaa\nkid\n".to_owned()));
    scratch.must(&["delete", "same", "aaa"]);
    assert_eq!(scratch.must(&["layers"]), "");
}

#[test]
fn a_whole_name_goes_before_the_beginning_of_an_id() {
    let scratch = Scratch::new();
    scratch.must(&["create-container", "-i", "abcdef", ""]);
    scratch.must(&["create-layer", "-i", "abc"]);
    scratch.must(&["create-layer", "-i", "imagine"]);
    scratch.must(&["create-image", "-i", "x", "-n", "imag", "imagine"]);
    assert_eq!(scratch.must(&["get-names", "imag"]), "imag\n", "not those of layer imagine");
    assert!(scratch.must(&["mount", "abc"]).ends_with("/abc\n"), "the layer, not the container abcdef");
    assert_eq!(scratch.must(&["mounted", "abc", "abcdef"]), "abc mounted\n");
    scratch.must(&["unmount", "abc"]);
    scratch.must(&["delete", "abc"]);
    assert_eq!(scratch.must(&["containers"]), "abcdef\n");
}

#[test]
fn what_a_trial_names_is_what_goes() {
    let scratch = furnished();
    scratch.must(&["delete-container", "con"]);
    let trial = scratch.lamina(&["delete-image", "-t", "image"]);
    assert_eq!((trial.code, trial.out.as_str()), (Some(0), ""), "{trial:?}");
    assert_eq!(scratch.must(&["layers", "-q"]), "aaa\nkid\n", "a trial deletes nothing");
    let real = scratch.lamina(&["delete-image", "image"]);
    assert_eq!((real.code, real.err.as_str()), (Some(0), trial.err.as_str()));
    assert_eq!(real.err, "image: kid\nimage: aaa\n");
    assert_eq!(scratch.must(&["layers"]), "");
}

#[test]
fn directories_go_with_their_owner() {
    let scratch = furnished();
    for (kind, id) in [("image", "img"), ("container", "con")] {
        let made = ["dir", "run-dir"].map(|what| {
            let path = scratch.must(&[&format!("get-{kind}-{what}"), kind]);
            std::path::PathBuf::from(path.trim_end())
        });
        for path in &made {
            assert!(path.is_dir() && path.ends_with(format!("vfs-{kind}s/{id}/userdata")), "{}", path.display());
            std::fs::write(path.join("f"), "x").expect("write");
        }
        if kind == "container" {
            scratch.must(&["delete-container", "con"]);
            scratch.must(&["delete-image", "img"]);
            assert!(!made.iter().any(|path| path.exists()));
        }
    }
    assert!(!scratch.path().join("store/graph/vfs-images/img").exists());
    assert!(!scratch.path().join("store/run/vfs-images/img").exists());
}

#[test]
fn wipe_takes_everything() {
    let scratch = furnished();
    scratch.must(&["create-container", "--volatile", "-i", "quick", "image"]);
    assert!(scratch.must(&["container", "-j", "quick"]).contains("\"Volatile\":true"));
    scratch.must(&["wipe"]);
    for what in ["layers", "images", "containers"] {
        assert_eq!(scratch.must(&[what]), "", "{what} are left");
    }
    assert_eq!(scratch.must(&["images", "-j"]), "null\n");
    assert_eq!(scratch.must(&["containers", "-j"]), "[]\n");
}
