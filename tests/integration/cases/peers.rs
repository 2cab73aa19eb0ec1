//! The root of a podman that is in use.

use std::fs;
use std::process::Command;

use integration::case::{Case, case};
use integration::store::{Store, id, must};
use integration::{Outcome, Scratch, archive, invariants, machine, tree};

pub(crate) const CASES: &[Case] = &[
    case("peers::podman_on_the_same_root::overlay", 120, |s| podman(s, "overlay")),
    case("peers::podman_on_the_same_root::vfs", 120, |s| podman(s, "vfs")),
    case("peers::podman_on_the_same_root::btrfs", 120, |s| podman(s, "btrfs")),
];

fn podman(scratch: &Scratch, driver: &'static str) -> Outcome {
    let program = machine::need("podman")?;
    // podman takes no run root whose path is longer than 50 characters.
    let place = scratch.for_everybody()?;
    let store = Store::at(&place.join("root"), &place.join("run"), driver);
    let podman = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("--root").arg(&store.root).arg("--runroot").arg(&store.run);
        command.args(["--storage-driver", driver, "--cgroup-manager", "cgroupfs"]).args(args);
        must(command)
    };
    let made = scratch.make("made");
    archive::one_of_everything(&made);
    // podman's version of the reference knows no times before 1970.
    fs::remove_file(made.join("times/before-the-epoch")).expect("remove a file");
    let file = scratch.join("image.tar");
    archive::pack(&made, &file, "pax");
    podman(&["import", file.to_str().expect("a printable path"), "localhost/made:1"]);

    let layers = store.ids();
    assert_eq!(layers.len(), 1, "Lamina lists the image's layer");
    let layer = &layers[0];
    assert!(store.diff(layer) == fs::read(&file).expect("read an archive"), "its diff is the archive");
    let mounted = tree::read(&store.mount(layer));
    store.unmount(layer);
    tree::assert_same_below_root(
        "podman's layer as Lamina mounts it, and what was packed",
        &mounted,
        &tree::read(&made),
    );

    let container = podman(&["create", "--name", "box", "localhost/made:1", "/bin/none"]);
    assert!(!container.trim().is_empty(), "podman made a container");
    let path = podman(&["mount", "box"]);
    fs::write(std::path::Path::new(path.trim()).join("written-by-podman"), "x").expect("write in podman's container");
    let all = store.ids();
    let top = all.iter().find(|id| *id != layer).expect("the container has a layer");
    assert!(store.changes(top).contains(&"A /written-by-podman".to_owned()), "Lamina sees what the container wrote");
    podman(&["unmount", "box"]);

    let own = id("child of podman's layer");
    store.create(&own, Some(layer));
    fs::write(store.mount(&own).join("written-by-lamina"), "x").expect("write in a mounted layer");
    store.unmount(&own);
    let refused = store.run(&["delete-layer", top]);
    assert!(!refused.output.status.success(), "a container's layer can't be deleted: {}", refused.describe());
    store.delete(&own);

    podman(&["rm", "box"]);
    podman(&["rmi", "localhost/made:1"]);
    assert_eq!(store.ids(), Vec::<String>::new(), "what podman deleted is gone for Lamina");
    invariants::assert_clean(&store, "after podman is done");
    Ok(())
}
