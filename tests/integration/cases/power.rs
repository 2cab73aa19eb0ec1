//! A loss of power: the filesystem stops without flushing what it still had in memory, and is mounted again.

use std::path::Path;
use std::process::Command;

use integration::case::{Case, Skip, case};
use integration::store::{Store, id, must};
use integration::{Outcome, Scratch, archive, machine};

pub(crate) const CASES: &[Case] = &[
    case("power::what_is_there_is_whole::overlay", 120, |s| whole(s, "overlay")),
    case("power::what_is_there_is_whole::vfs", 120, |s| whole(s, "vfs")),
    case("power::what_is_there_is_whole::btrfs", 120, |s| whole(s, "btrfs")),
    case("power::strict_keeps_what_was_acknowledged::overlay", 120, |s| strict(s, "overlay")),
    case("power::strict_keeps_what_was_acknowledged::vfs", 120, |s| strict(s, "vfs")),
    case("power::strict_keeps_what_was_acknowledged::btrfs", 120, |s| strict(s, "btrfs")),
    case("power::without_durability_the_store_opens::overlay", 120, |s| opens(s, "overlay")),
];

/// A disk that can lose its power.
struct Disk<'s> {
    scratch: &'s Scratch,
    name: &'static str,
    kind: &'static str,
}

impl Disk<'_> {
    /// Stops the filesystem as it is on disk, log and all, and mounts it again.
    fn lose_power(&self) -> Result<(), Skip> {
        let place = self.scratch.join(self.name);
        if self.kind == "btrfs" {
            return self.go_back(&place);
        }
        let mut stop = Command::new(machine::need("xfs_io")?);
        stop.args(["-x", "-c", "shutdown"]).arg(&place);
        must(stop);
        unmount(&place);
        self.scratch.mount_disk(self.name)
    }

    /// Does the same to a btrfs, which this kernel can't stop: keeps what is on disk now, and forgets what an unmount writes.
    fn go_back(&self, place: &Path) -> Result<(), Skip> {
        let (image, kept) = (self.scratch.join(format!("{}.img", self.name)), self.scratch.join("kept.img"));
        let mut copy = Command::new("cp");
        copy.arg("--reflink=always").args([&image, &kept]);
        must(copy);
        unmount(place);
        std::fs::rename(&kept, &image).expect("take the disk back");
        self.scratch.mount_disk(self.name)
    }
}

fn unmount(place: &Path) {
    for point in integration::invariants::mounts_below(place).iter().rev() {
        let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
    }
    let mut unmount = Command::new("umount");
    unmount.arg(place);
    must(unmount);
}

fn prepare<'s>(scratch: &'s Scratch, driver: &'static str, durability: &str) -> Result<(Disk<'s>, Store), Skip> {
    machine::need("xfs_io")?;
    let kind = if driver == "btrfs" { "btrfs" } else { "xfs" };
    let place = scratch.small_disk("disk", 400 << 20, kind)?;
    let store = Store::at(&place.join("root"), &scratch.join("run"), driver).with(&["--durability", durability]);
    Ok((Disk { scratch, name: "disk", kind }, store))
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
    let records = store.layers();
    let text = |record: &serde_json::Value, key: &str| record[key].as_str().unwrap_or_default().to_owned();
    // A container's own layer was made of no archive.
    let of_archives = records.iter().filter(|record| !text(record, "diff-digest").is_empty());
    let ids: Vec<String> = of_archives.map(|record| text(record, "id")).collect();
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
    let data = scratch.join("data");
    for round in 0..3 {
        let layers = work(&store, &archive, round, 1 + round);
        let top = layers.last().expect("a layer");
        let (image, name) = (id(format!("image {round}")), format!("name-{round}"));
        store.ok(&["add-names", "-n", &name, top]);
        store.ok(&["create-image", "-i", &image, top]);
        std::fs::write(&data, format!("{round}").repeat(5000)).expect("write an item of data");
        store.ok(&["set-image-data", "-f", data.to_str().expect("a printable path"), &image, "manifest"]);
        store.ok(&["create-container", "-n", "box", &image]);
        disk.lose_power()?;
        let there = assert_whole(&store, &archive, "after a loss of power");
        for layer in &layers {
            assert!(there.contains(layer), "layer {layer} was acknowledged and is gone");
        }
        assert_eq!(store.ok(&["get-names", top]).trim(), name, "a name was acknowledged and is gone");
        let item = store.ok(&["get-image-data", &image, "manifest"]);
        assert!(item.as_bytes() == std::fs::read(&data).expect("read it"), "data was acknowledged and is gone");
        store.ok(&["delete-container", "box"]);
        store.ok(&["delete-image", &image]);
        disk.lose_power()?;
        let there = store.ids();
        let back = layers.iter().find(|layer| there.contains(layer));
        assert_eq!(back, None, "a deletion was acknowledged, and the layer is there again");
        assert!(!store.run(&["image", &image]).output.status.success(), "a deleted image is there again");
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
