//! What the reference has and this version hasn't is refused by name, and nothing is touched.

use crate::{Scratch, lamina, run};

/// Verbs of the reference that wait for a later version.
const VERBS: &[&str] = &["create-storage-layer", "createstoragelayer", "applydiff-using-staging-dir"];

/// Flags that wait for a later version, each in a line that would work without it.
const FLAGS: &[&[&str]] = &[&["diff", "-b", "x"], &["diff", "--xz", "x"]];

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
