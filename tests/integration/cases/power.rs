//! A loss of power: the filesystem stops without flushing what it still had in memory, and is mounted again.

use std::path::Path;
use std::process::Command;

use integration::case::{Case, Skip, case};
use integration::store::{Store, id, must};
use integration::{Outcome, Scratch, archive, machine};

pub(crate) const CASES: &[Case] = &[
    case("power::what_is_there_is_whole::overlay", 120, |s| whole(s, "overlay")),
    case("power::what_is_there_is_whole::vfs", 120, |s| whole(s, "vfs")),
    case("power::strict_keeps_what_was_acknowledged::overlay", 120, |s| strict(s, "overlay")),
    case("power::strict_keeps_what_was_acknowledged::vfs", 120, |s| strict(s, "vfs")),
    case("power::without_durability_the_store_opens::overlay", 120, |s| opens(s, "overlay")),
];

/// A disk that can lose its power.
struct Disk<'s> {
    scratch: &'s Scratch,
    name: &'static str,
}

impl Disk<'_> {
    /// Stops the filesystem as it is on disk, log and all, and mounts it again.
    fn lose_power(&self) -> Result<(), Skip> {
        let place = self.scratch.join(self.name);
        let mut stop = Command::new(machine::need("xfs_io")?);
        stop.args(["-x", "-c", "shutdown"]).arg(&place);
        must(stop);
        for point in integration::invariants::mounts_below(&place).iter().rev() {
            let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
        }
        let mut unmount = Command::new("umount");
        unmount.arg(&place);
        must(unmount);
        self.scratch.mount_disk(self.name)
    }
}

fn prepare<'s>(scratch: &'s Scratch, driver: &'static str, durability: &str) -> Result<(Disk<'s>, Store), Skip> {
    machine::need("xfs_io")?;
    let place = scratch.small_disk("disk", 400 << 20, "xfs")?;
    let store = Store::at(&place.join("root"), &scratch.join("run"), driver).with(&["--durability", durability]);
    Ok((Disk { scratch, name: "disk" }, store))
}

/// Makes a chain of layers of `archive`, until the power goes.
fn work(store: &Store, archive: &Path, round: usize, layers: usize) -> Vec<String> {
    let mut parent: Option<String> = None;
    let mut made = Vec::new();
    for number in 0..layers {
        let layer = id(format!("round {round}, layer {number}"));
        store.import(&layer, parent.as_deref(), archive);
        made.push(layer.clone());
        parent = Some(layer);
    }
    made
}

fn assert_whole(store: &Store, archive: &Path, when: &str) -> Vec<String> {
    let ids = store.ids();
    let expected = std::fs::read(archive).expect("read an archive");
    for layer in &ids {
        assert!(store.diff(layer) == expected, "layer {layer} is there {when}, and is not what was imported");
    }
    ids
}

fn whole(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (disk, store) = prepare(scratch, driver, "layer")?;
    let archive = archive::small(scratch.path(), "small", 40, 30_000);
    let mut survived = 0;
    for round in 0..4 {
        work(&store, &archive, round, 2 + round % 2);
        disk.lose_power()?;
        survived += assert_whole(&store, &archive, "after a loss of power").len();
        store.ok(&["gc"]);
        assert_whole(&store, &archive, "after the next writer cleaned up");
    }
    assert!(survived > 0, "no layer survived any of the losses, so nothing was looked at");
    Ok(())
}

fn strict(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (disk, store) = prepare(scratch, driver, "strict")?;
    let archive = archive::small(scratch.path(), "small", 40, 30_000);
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        acknowledged.extend(work(&store, &archive, round, 1 + round));
        let name = format!("name-{round}");
        store.ok(&["add-names", "-n", &name, acknowledged.last().expect("a layer")]);
        disk.lose_power()?;
        let there = assert_whole(&store, &archive, "after a loss of power");
        for layer in &acknowledged {
            assert!(there.contains(layer), "layer {layer} was acknowledged and is gone");
        }
        let names = store.ok(&["get-names", acknowledged.last().expect("a layer")]);
        assert_eq!(names.trim(), name, "a name was acknowledged and is gone");
        let gone = acknowledged.pop().expect("a layer");
        store.delete(&gone);
        disk.lose_power()?;
        assert!(!store.ids().contains(&gone), "a deletion was acknowledged, and the layer is there again");
    }
    Ok(())
}

fn opens(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (disk, store) = prepare(scratch, driver, "none")?;
    let archive = archive::small(scratch.path(), "small", 40, 30_000);
    for round in 0..3 {
        work(&store, &archive, round, 2);
        disk.lose_power()?;
        store.ids();
        store.ok(&["gc"]);
        store.import(&id(format!("after {round}")), None, &archive);
    }
    Ok(())
}
