//! What others change while an archive is on its way is neither lost nor built upon by mistake.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Stdio};

use integration::case::{Case, case};
use integration::store::{Store, finish, id};
use integration::{Outcome, Scratch, archive, invariants};

pub(crate) const CASES: &[Case] = &[
    case("meanwhile::a_parents_name_goes_to_another_layer::overlay", 60, |s| parent_renamed(s, "overlay")),
    case("meanwhile::a_parents_name_goes_to_another_layer::vfs", 60, |s| parent_renamed(s, "vfs")),
    case("meanwhile::a_parents_name_goes_to_another_layer::btrfs", 60, |s| parent_renamed(s, "btrfs")),
    case("meanwhile::names_and_metadata_change::overlay", 60, |s| properties(s, "overlay")),
    case("meanwhile::names_and_metadata_change::vfs", 60, |s| properties(s, "vfs")),
    case("meanwhile::names_and_metadata_change::btrfs", 60, |s| properties(s, "btrfs")),
    case("meanwhile::somebody_writes_through_a_mount::overlay", 60, |s| written(s, "overlay")),
    case("meanwhile::somebody_writes_through_a_mount::vfs", 60, |s| written(s, "vfs")),
    case("meanwhile::somebody_writes_through_a_mount::btrfs", 60, |s| written(s, "btrfs")),
];

/// A verb that reads an archive from a pipe, of which the first half has come.
struct Halfway {
    child: Child,
    pipe: fs::File,
    rest: Vec<u8>,
}

impl Halfway {
    fn start(scratch: &Scratch, store: &Store, verb: &[&str]) -> Self {
        let content = fs::read(archive::small(scratch.path(), "meanwhile", 20, 20_000)).expect("read an archive");
        let path = scratch.join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("make a pipe");
        let mut command = store.command();
        command.arg(verb[0]).arg("-f").arg(&path).args(&verb[1..]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("start it");
        let mut pipe = fs::OpenOptions::new().write(true).open(&path).expect("open the pipe");
        let half = content.len() / 2;
        pipe.write_all(&content[..half]).expect("write half of an archive");
        Halfway { child, pipe, rest: content[half..].to_vec() }
    }

    /// Lets the rest come; whether the verb succeeded, and what it said.
    fn finish(mut self) -> (bool, String) {
        self.pipe.write_all(&self.rest).expect("write the other half");
        drop(self.pipe);
        let (status, errors) = finish(self.child);
        (status.success(), errors)
    }
}

pub(crate) fn parent_renamed(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    let (first, second, child) = (id("first"), id("second"), id("child"));
    store.import(&first, None, &archive::small(scratch.path(), "one", 3, 100));
    store.create(&second, None);
    store.ok(&["set-names", "-n", "base", &first]);
    let import = Halfway::start(scratch, &store, &["import-layer", "-i", &child, "base"]);
    store.ok(&["set-names", "-n", "base", &second]);
    let (succeeded, errors) = import.finish();
    assert!(succeeded, "the parent is still there: {errors}");
    assert_eq!(store.record(&child)["parent"], first.as_str(), "a layer's parent is what it was made on");
    let refused = store.run(&["delete-layer", &first]);
    assert!(!refused.output.status.success(), "the parent of a layer was deleted");
    Ok(())
}

pub(crate) fn properties(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    let (layer, other) = (id("layer"), id("other"));
    store.create(&layer, None);
    store.create(&other, None);
    store.ok(&["set-names", "-n", "moving", &layer]);
    let apply = Halfway::start(scratch, &store, &["applydiff", &layer]);
    store.ok(&["set-names", "-n", "moving", &other]);
    store.ok(&["add-names", "-n", "new", &layer]);
    store.ok(&["set-metadata", "-m", "new metadata", &layer]);
    let (succeeded, errors) = apply.finish();
    assert!(succeeded, "names are no content: {errors}");
    assert_eq!(store.ok(&["get-names", &layer]), "new\n", "a change that was acknowledged is lost");
    assert_eq!(store.ok(&["get-names", &other]), "moving\n", "a name was taken back");
    assert_eq!(store.record(&layer)["metadata"], "new metadata");
    assert!(store.changes(&layer).len() >= 20, "the archive is there");
    Ok(())
}

pub(crate) fn written(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    for (round, filled) in [false, true].into_iter().enumerate() {
        let layer = id(format!("layer {round}"));
        if filled {
            store.import(&layer, None, &archive::small(scratch.path(), "first", 3, 100));
        } else {
            store.create(&layer, None);
        }
        let apply = Halfway::start(scratch, &store, &["applydiff", &layer]);
        fs::write(store.mount(&layer).join("precious"), "x").expect("write through a mount");
        store.unmount(&layer);
        let (succeeded, errors) = apply.finish();
        assert!(!succeeded, "what was written meanwhile would be lost");
        assert_eq!(errors.lines().count(), 1, "one clear line: {errors}");
        assert_eq!(fs::read_to_string(store.mount(&layer).join("precious")).expect("read it again"), "x");
        store.unmount(&layer);
        fs::remove_file(scratch.join("pipe")).expect("take the pipe away");
    }
    invariants::assert_clean(&store, "after the refusals");
    Ok(())
}
