//! A chain of 500 layers.

use std::fs;
use std::path::PathBuf;

use integration::archive::RawTar;
use integration::case::{Case, case};
use integration::store::{Store, id};
use integration::{Outcome, Scratch, Skip, invariants, machine};

pub(crate) const CASES: &[Case] = &[
    case("chain::five_hundred_layers::overlay", 600, |s| chain(s, "overlay")),
    case("chain::five_hundred_layers::vfs", 600, |s| chain(s, "vfs")),
    case("chain::five_hundred_layers::btrfs", 600, |s| chain(s, "btrfs")),
];

const DEPTH: usize = 500;

fn chain(scratch: &Scratch, driver: &'static str) -> Outcome {
    if machine::stand_in() && driver == "overlay" {
        return Err(Skip("the reference refuses chains deeper than 128".to_owned()));
    }
    let store = Store::new(scratch, "store", driver);
    let layer = |number: usize| id(format!("layer {number}"));
    // Of another size in every layer: vfs can only tell a change by size and time, as the reference does.
    let shared = |number: usize| "x".repeat(number + 1);
    let archive = |number: usize| -> PathBuf {
        let tar = RawTar::new().file(&format!("only-{number}"), "here").file("shared", &shared(number));
        tar.write(&scratch.join("layer.tar"))
    };
    for number in 0..DEPTH {
        let parent = number.checked_sub(1).map(layer);
        store.import(&layer(number), parent.as_deref(), &archive(number));
    }
    assert_eq!(store.ids().len(), DEPTH, "all are listed");
    let top = layer(DEPTH - 1);
    let root = store.mount(&top);
    assert_eq!(fs::read_dir(&root).expect("list the mounted chain").count(), DEPTH + 1, "every layer adds a file");
    assert_eq!(fs::read_to_string(root.join("shared")).expect("read"), shared(DEPTH - 1), "the topmost wins");
    assert_eq!(fs::read_to_string(root.join("only-0")).expect("read"), "here", "the lowest is seen");
    fs::write(root.join("written"), "w").expect("write in the mounted chain");
    store.unmount(&top);
    let changes = store.changes(&top);
    assert_eq!(changes, [format!("A /only-{}", DEPTH - 1), "A /written".to_owned(), "C /shared".to_owned()]);
    for number in [0, 1, DEPTH / 2, DEPTH - 2] {
        assert_eq!(store.diff(&layer(number)), fs::read(archive(number)).expect("read"), "the diff of layer {number}");
    }
    for number in (0..DEPTH).rev() {
        store.delete(&layer(number));
    }
    assert_eq!(store.ids(), Vec::<String>::new(), "all are deleted");
    invariants::assert_clean(&store, "after the chain is gone");
    Ok(())
}
