//! A root on a filesystem whose files can change without the kernel's knowledge, as on a network: here one in user space.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use integration::case::{Case, case};
use integration::store::{Store, finish, id, must};
use integration::{Outcome, Scratch, Skip, archive, invariants, machine, tree};

pub(crate) const CASES: &[Case] = &[
    case("network::layers_images_and_containers::vfs", 120, work),
    case("network::two_at_once::vfs", 180, two),
    case("network::the_reference_in_turns::vfs", 120, turns),
    case("network::overlay_is_refused_with_a_reason::overlay", 60, overlay),
];

/// A directory on a filesystem of its own in user space.
fn remote(scratch: &Scratch) -> Result<PathBuf, Skip> {
    let program = machine::need("fuse-overlayfs")?;
    if !std::path::Path::new("/dev/fuse").exists() {
        return Err(Skip("/dev/fuse is missing".to_owned()));
    }
    let [lower, upper, work, merged] = ["lower", "upper", "work", "remote"].map(|name| scratch.make(name));
    let options = format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    let mounted = Command::new(program).args(["-o", &options]).arg(&merged).output().expect("run fuse-overlayfs");
    if mounted.status.success() {
        return Ok(merged);
    }
    Err(Skip(format!("fuse-overlayfs can't mount: {}", String::from_utf8_lossy(&mounted.stderr).trim())))
}

fn store(scratch: &Scratch) -> Result<Store, Skip> {
    let place = remote(scratch)?;
    Ok(Store::at(&place.join("root"), &scratch.join("run"), "vfs"))
}

fn work(scratch: &Scratch) -> Outcome {
    let store = store(scratch)?;
    let (base, child) = (id("base"), id("child"));
    let small = archive::small(scratch.path(), "small", 20, 3000);
    store.import(&base, None, &small);
    assert_eq!(store.diff(&base), fs::read(&small).expect("read an archive"), "the diff is the archive");
    store.create(&child, Some(&base));
    fs::write(store.mount(&child).join("written"), "x").expect("write in a layer");
    store.unmount(&child);
    assert_eq!(store.changes(&child), ["A /written"]);
    store.ok(&["create-image", "-i", "img", "-n", "image", &base]);
    store.ok(&["create-container", "-i", "con", "image"]);
    assert!(store.ok(&["mount", "con"]).trim_end().len() > 1);
    store.ok(&["unmount", "con"]);
    if !store.is_peer() {
        store.ok(&["check"]);
        store.ok(&["gc"]);
    }
    store.ok(&["delete-container", "con"]);
    store.ok(&["delete-image", "image"]);
    // The image's layer went with it, but for what stands on it.
    for layer in [child, base].into_iter().filter(|layer| store.ids().contains(layer)) {
        store.delete(&layer);
    }
    assert!(store.ids().is_empty());
    invariants::assert_clean(&store, "on a remote filesystem");
    Ok(())
}

fn two(scratch: &Scratch) -> Outcome {
    let store = store(scratch)?;
    let small = archive::small(scratch.path(), "small", 5, 300);
    let file = small.to_str().expect("a printable path");
    let base = id("base");
    store.import(&base, None, &small);
    for round in 0..15 {
        let names = ["one", "two"].map(|who| id(format!("{who} {round}")));
        let children =
            names.each_ref().map(|name| store.start(&["import-layer", "-i", name.as_str(), "-f", file, &base]));
        for child in children {
            let (status, errors) = finish(child);
            assert!(status.success(), "round {round}: {errors}");
        }
        let all = store.ids();
        assert!(names.iter().all(|name| all.contains(name)), "round {round}: a record is lost");
        assert_eq!(all.len(), 3 + round, "one layer of each round before stays");
        store.delete(&names[0]);
    }
    invariants::assert_clean(&store, "after two at once");
    Ok(())
}

fn turns(scratch: &Scratch) -> Outcome {
    let ours = store(scratch)?;
    let peer = ours.peer()?;
    let small = archive::small(scratch.path(), "small", 5, 300);
    let base = id("base");
    ours.import(&base, None, &small);
    for round in 0..5 {
        let (by_us, by_them) = (id(format!("ours {round}")), id(format!("theirs {round}")));
        ours.create(&by_us, Some(&base));
        peer.create(&by_them, Some(&by_us));
        fs::write(ours.mount(&by_them).join("written"), "x").expect("write in a layer");
        ours.unmount(&by_them);
        assert_eq!(peer.changes(&by_them), ["A /written"]);
        assert_eq!(ours.ids(), peer.ids(), "both list the same");
        ours.delete(&by_them);
        peer.delete(&by_us);
    }
    assert_eq!(ours.ids(), [base]);
    Ok(())
}

fn overlay(scratch: &Scratch) -> Outcome {
    if machine::stand_in() {
        return Err(Skip("it is Lamina's answer".to_owned()));
    }
    let place = remote(scratch)?;
    let before = tree::listing(&place);
    let store = Store::at(&place.join("root"), &scratch.join("run"), "overlay");
    let refused = store.run(&["create-layer"]);
    assert!(!refused.output.status.success(), "{}", refused.describe());
    assert_eq!(refused.stderr().lines().count(), 1, "one clear line: {}", refused.describe());
    assert_eq!(tree::listing(&place), before, "nothing stays of the trial");
    let mut survey = Command::new(&store.bin);
    survey.arg("-g").arg(&store.root).arg("-R").arg(&store.run).arg("drivers");
    assert!(must(survey).contains("vfs      works here"));
    Ok(())
}
