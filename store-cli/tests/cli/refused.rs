//! What the reference has and this version hasn't is refused by name, and nothing is touched.

use crate::{Scratch, lamina, run};

/// Verbs of the reference that wait for a later version.
const VERBS: &[&str] = &[
    "copy",
    "create-storage-layer",
    "createstoragelayer",
    "applydiff-using-staging-dir",
    "layer-parent-owners",
    "images",
    "images-by-digest",
    "image",
    "create-image",
    "createimage",
    "delete-image",
    "deleteimage",
    "list-image-data",
    "listimagedata",
    "get-image-data",
    "getimagedata",
    "get-image-data-size",
    "getimagedatasize",
    "get-image-data-digest",
    "getimagedatadigest",
    "set-image-data",
    "setimagedata",
    "get-image-dir",
    "getimagedir",
    "get-image-run-dir",
    "getimagerundir",
    "containers",
    "container",
    "container-parent-owners",
    "create-container",
    "createcontainer",
    "delete-container",
    "deletecontainer",
    "list-container-data",
    "listcontainerdata",
    "get-container-data",
    "getcontainerdata",
    "get-container-data-size",
    "getcontainerdatasize",
    "get-container-data-digest",
    "getcontainerdatadigest",
    "set-container-data",
    "setcontainerdata",
    "get-container-dir",
    "getcontainerdir",
    "get-container-run-dir",
    "getcontainerrundir",
];

/// Flags that wait for a later version, each in a line that would work without it.
const FLAGS: &[&[&str]] = &[
    &["--image-store", "/x", "layers"],
    &["layers", "--image-store=/x"],
    &["--transient-store", "layers"],
    &["create-layer", "--uidmap", "0:1:1"],
    &["create-layer", "--gidmap=0:1:1"],
    &["create-layer", "--subuidmap", "u"],
    &["create-layer", "--subgidmap", "g"],
    &["create-layer", "--hostuidmap"],
    &["create-layer", "--hostgidmap"],
    &["import-layer", "--uidmap", "0:1:1"],
    &["import-layer", "--gidmap=0:1:1"],
    &["import-layer", "--subuidmap", "u"],
    &["import-layer", "--subgidmap", "g"],
    &["import-layer", "--hostuidmap"],
    &["import-layer", "--hostgidmap"],
    &["exists", "-i", "x"],
    &["exists", "--container", "x"],
    &["mount", "-r", "x"],
    &["mount", "--read-only", "x"],
    &["diff", "-b", "x"],
    &["diff", "--xz", "x"],
    &["config", "/etc/nosuch.conf"],
];

#[test]
fn verbs_and_flags_without_their_subject_are_refused_before_anything_is_touched() {
    let scratch = Scratch::new();
    let verbs = VERBS.iter().map(|verb| vec![*verb]);
    for line in verbs.chain(FLAGS.iter().map(|line| line.to_vec())) {
        let ended = run(scratch.on(lamina(), "store").args(&line));
        assert_eq!((ended.code, ended.out.as_str()), (Some(12), ""), "{line:?}: {ended:?}");
        assert!(ended.err.ends_with(": not supported\n") && ended.err.lines().count() == 1, "{line:?}: {ended:?}");
        assert!(!scratch.path().join("store").exists(), "{line:?} made something");
    }
}

#[test]
fn a_refused_switch_that_is_off_is_no_matter() {
    let scratch = Scratch::new();
    scratch.must(&["create-layer", "--hostuidmap=false", "--uidmap="]);
    scratch.must(&["--transient-store=false", "layers"]);
}
