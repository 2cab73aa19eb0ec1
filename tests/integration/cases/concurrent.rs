//! Lamina and the reference at the same time on one root.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use integration::case::{Case, case};
use integration::store::{Store, id};
use integration::{Outcome, Scratch, archive, invariants, tree};

pub(crate) const CASES: &[Case] = &[
    case("concurrent::two_hundred_operations_each::overlay", 180, |s| together(s, "overlay", 200)),
    case("concurrent::two_hundred_operations_each::vfs", 180, |s| together(s, "vfs", 200)),
    case("concurrent::two_hundred_operations_each::btrfs", 180, |s| together(s, "btrfs", 200)),
    case("concurrent::each_uses_the_others_layers::overlay", 60, |s| crossed(s, "overlay")),
    case("concurrent::each_uses_the_others_layers::vfs", 60, |s| crossed(s, "vfs")),
    case("concurrent::each_uses_the_others_layers::btrfs", 60, |s| crossed(s, "btrfs")),
    case("concurrent::one_mounts_and_the_other_releases::overlay", 60, |s| hand_over(s, "overlay")),
    case("concurrent::one_mounts_and_the_other_releases::vfs", 60, |s| hand_over(s, "vfs")),
    case("concurrent::one_mounts_and_the_other_releases::btrfs", 60, |s| hand_over(s, "btrfs")),
    case("concurrent::sparse_members_of_the_reference::vfs", 60, |s| sparse(s, "vfs")),
];

/// Both do as many operations at the same time.
pub(crate) fn together(scratch: &Scratch, driver: &'static str, operations: usize) -> Outcome {
    let ours = Store::new(scratch, "store", driver);
    let peer = ours.peer()?;
    let archive = archive::small(scratch.path(), "small", 12, 900);
    ours.import(&id("base"), None, &archive);
    let (left, right) = thread::scope(|scope| {
        let left = scope.spawn(|| work(&ours, "ours", &archive, operations));
        let right = scope.spawn(|| work(&peer, "theirs", &archive, operations));
        (left.join(), right.join())
    });
    let there: BTreeSet<String> = [left, right]
        .into_iter()
        .flat_map(|kept| kept.unwrap_or_else(|failure| std::panic::resume_unwind(failure)))
        .chain([id("base")])
        .collect();
    let listed: BTreeSet<String> = ours.ids().into_iter().collect();
    assert_eq!(listed, there, "what Lamina lists is what was acknowledged");
    assert_eq!(ours.ids(), peer.ids(), "both list the same");
    for layer in &there {
        assert_eq!(ours.run(&["exists", layer]).output.status.code(), Some(0), "Lamina has {layer}");
        assert_eq!(peer.run(&["exists", layer]).output.status.code(), Some(0), "the reference has {layer}");
    }
    assert_eq!(ours.counts(), [], "no layer stays counted as mounted");
    invariants::assert_clean(&ours, "after all is done");
    Ok(())
}

/// Does a mixture of operations, each of which must succeed, and gives the layers that are there at the end.
fn work(store: &Store, who: &str, archive: &Path, operations: usize) -> Vec<String> {
    let base = id("base");
    let content = fs::read(archive).expect("read an archive");
    let mut kept = Vec::new();
    let mut done = 0;
    for round in 0.. {
        let (empty, full) = (id(format!("{who} empty {round}")), id(format!("{who} full {round}")));
        let mut steps: Vec<Box<dyn FnMut()>> = vec![
            Box::new(|| store.create(&empty, Some(&base))),
            Box::new(|| fs::write(store.mount(&empty).join(who), who).expect("write in a mounted layer")),
            Box::new(|| store.unmount(&empty)),
            Box::new(|| assert_eq!(store.changes(&empty), [format!("A /{who}")], "the change just made")),
            Box::new(|| store.import(&full, None, archive)),
            Box::new(|| assert!(store.diff(&full) == content, "a diff is the archive that was imported")),
            Box::new(|| drop(store.ok(&["layer", &full]))),
            Box::new(|| assert!(store.ids().contains(&full), "a layer just acknowledged is listed")),
            Box::new(|| drop(store.ok(&["set-names", "-n", &format!("{who}-{round}"), &empty]))),
        ];
        if round % 2 == 0 {
            steps.push(Box::new(|| store.delete(&full)));
        }
        for mut step in steps {
            step();
            done += 1;
        }
        kept.push(empty);
        if round % 2 == 1 {
            kept.push(full);
        }
        if done >= operations {
            break;
        }
    }
    kept
}

pub(crate) fn crossed(scratch: &Scratch, driver: &'static str) -> Outcome {
    let ours = Store::new(scratch, "store", driver);
    let peer = ours.peer()?;
    let archive = archive::small(scratch.path(), "small", 30, 2000);
    let content = fs::read(&archive).expect("read an archive");
    for (maker, user, who) in [(&ours, &peer, "ours"), (&peer, &ours, "theirs")] {
        let (base, child) = (id(format!("{who} base")), id(format!("{who} child")));
        maker.import(&base, None, &archive);
        maker.create(&child, Some(&base));
        fs::write(maker.mount(&child).join("new"), "new").expect("write in a mounted layer");
        // The other finds it mounted, counts once more, and gives back.
        let path = user.mount(&child);
        assert_eq!(fs::read_to_string(path.join("new")).expect("read in a mounted layer"), "new");
        user.unmount(&child);
        assert_eq!(user.counts().iter().map(|(_, _, count)| *count).sum::<i64>(), 1, "the maker's mount is left");
        maker.unmount(&child);
        assert_eq!(user.counts(), []);

        let diff = user.diff(&base);
        let first = diff.iter().zip(&content).position(|(one, other)| one != other);
        let lengths = (diff.len(), content.len());
        assert!(diff == content, "the diff of a layer of {who}, by the other: {lengths:?} bytes, differs at {first:?}");
        assert_eq!(user.changes(&child), ["A /new"]);
        assert_eq!(maker.changes(&child), user.changes(&child));
        let mounted = tree::read(&user.mount(&base));
        user.unmount(&base);
        let mounted_by_maker = tree::read(&maker.mount(&base));
        maker.unmount(&base);
        tree::assert_same("a layer seen by either", &mounted, &mounted_by_maker);
        user.ok(&["set-names", "-n", &format!("named-by-the-other-{who}"), &base]);
        assert!(maker.ok(&["get-names", &base]).contains("named-by-the-other"));
        user.delete(&child);
        user.delete(&base);
        assert_eq!(maker.ids(), Vec::<String>::new(), "what the other deleted is gone");
    }
    invariants::assert_clean(&ours, "after all is done");
    Ok(())
}

/// In one mount namespace: the mount of either is seen, counted and ended by the other. (The reference binds the driver's
/// home on itself before it mounts; a mount made below that place earlier is hidden from then on.)
pub(crate) fn hand_over(scratch: &Scratch, driver: &'static str) -> Outcome {
    let ours = Store::new(scratch, "store", driver);
    let peer = ours.peer()?;
    let layer = id("layer");
    ours.import(&layer, None, &archive::small(scratch.path(), "small", 7, 100));
    for (first, second, who) in [(&ours, &peer, "Lamina"), (&peer, &ours, "the reference"), (&ours, &peer, "Lamina")] {
        let path = first.mount(&layer);
        assert!(path.join("dir0/small-0").exists(), "what {who} mounted is there");
        second.ids();
        assert!(path.join("dir0/small-0").exists(), "what {who} mounted is there after the other looked");
        let again = second.mount(&layer);
        assert_eq!(again, path, "both see the layer at one place");
        assert!(again.join("dir0/small-0").exists(), "what {who} mounted is there for the other");
        first.unmount(&layer);
        assert!(path.join("dir0/small-0").exists(), "one of two released, it is still there");
        second.unmount(&layer);
        invariants::assert_clean(&ours, &format!("after {who} mounted and the other released last"));
        assert_eq!(ours.counts(), [], "nothing is counted");
    }
    Ok(())
}

/// What the reference keeps of an archive with sparse members doesn't give the archive back. Lamina gives what the
/// reference gives, its check names the layer, and the tree is right.
fn sparse(scratch: &Scratch, driver: &'static str) -> Outcome {
    let ours = Store::new(scratch, "store", driver);
    let peer = ours.peer()?;
    let made = scratch.make("made");
    archive::put(&made, "plain", "plain");
    archive::sparse_file(&made.join("hollow"));
    let file = scratch.join("sparse.tar");
    archive::pack(&made, &file, "pax");
    let (by_peer, by_us) = (id("by the reference"), id("by Lamina"));
    peer.import(&by_peer, None, &file);
    ours.import(&by_us, None, &file);
    let (given, content) = (peer.diff(&by_peer), fs::read(&file).expect("read an archive"));
    assert!(ours.diff(&by_peer) == given, "both give the same");
    assert!(ours.diff(&by_us) == content && peer.diff(&by_us) == content, "what Lamina keeps gives the archive back");
    let check = ours.run(&["check"]);
    let named = String::from_utf8_lossy(&check.output.stdout).contains(&by_peer);
    assert_eq!(named, given != content, "check tells just what is wrong: {}", check.describe());
    let (theirs, same) = (tree::read(&ours.mount(&by_peer)), tree::read(&ours.mount(&by_us)));
    tree::assert_same_below_root("a layer with a sparse file", &theirs, &same);
    Ok(())
}
