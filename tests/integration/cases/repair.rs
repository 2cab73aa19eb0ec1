//! Each kind of damage: `check` names it, `repair` or `gc` mends it, and what is sound stays as it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use integration::case::{Case, case};
use integration::store::{Store, id, must};
use integration::tree::Tree;
use integration::{Outcome, Scratch, archive, machine, tree};
use serde_json::Value;

use crate::check::{assert_clean, kinds};

macro_rules! damage_cases {
    ($($name:literal = $damage:expr;)*) => {
        &[
            $(
                case(concat!("repair::", $name, "::overlay"), 120, |s| one(s, "overlay", &$damage)),
                case(concat!("repair::", $name, "::vfs"), 120, |s| one(s, "vfs", &$damage)),
            )*
            case("repair::a_record_without_files_is_forgotten::overlay", 60, |s| one(s, "overlay", &NO_PLACE_NOR_LINK)),
            case("repair::a_record_without_files_is_forgotten::vfs", 60, |s| one(s, "vfs", &NO_PLACE)),
            case("repair::a_record_without_files_is_forgotten::btrfs", 60, |s| one(s, "btrfs", &NO_PLACE)),
            case("repair::a_lost_link_is_made_again::overlay", 60, |s| one(s, "overlay", &LINK)),
            case("repair::an_emptied_link_file_is_made_again::overlay", 60, |s| one(s, "overlay", &LINK_FILE)),
            case("repair::lost_mount_directories_are_made_again::overlay", 60, |s| one(s, "overlay", &MOUNT_DIRECTORIES)),
            case("repair::a_lost_lower_file_costs_the_layer::overlay", 60, |s| one(s, "overlay", &LOWER)),
            case("repair::a_stale_link_is_collected::overlay", 60, |s| one(s, "overlay", &STALE_LINK)),
            case("repair::a_leaked_mount_is_collected::overlay", 60, |s| one(s, "overlay", &LEAKED_MOUNT)),
            case("repair::a_count_without_a_mount_is_corrected::overlay", 60, |s| {
                machine::all_processes()?;
                one(s, "overlay", &LOST_MOUNT)
            }),
            case("repair::a_leaked_mount_in_use_stays::overlay", 60, |s| leaked_and_used(s, "overlay")),
            case("repair::images_and_containers_of_podman::overlay", 180, |s| podman(s, "overlay")),
            case("repair::images_and_containers_of_podman::vfs", 180, |s| podman(s, "vfs")),
            case("repair::images_and_containers_of_podman::btrfs", 180, |s| podman(s, "btrfs")),
            case("repair::lost_records_are_known_again::overlay", 120, |s| lost_records(s, "overlay")),
            case("repair::lost_records_are_known_again::vfs", 120, |s| lost_records(s, "vfs")),
            case("repair::lost_records_are_known_again::btrfs", 120, |s| lost_records(s, "btrfs")),
        ]
    };
}

pub(crate) const CASES: &[Case] = damage_cases! {
    "a_missing_file_costs_the_layer" = MISSING_FILE;
    "an_altered_file_costs_the_layer" = ALTERED_FILE;
    "a_file_more_costs_the_layer" = EXTRA_FILE;
    "an_altered_mode_costs_the_layer" = ALTERED_MODE;
    "a_lost_tar_split_of_our_own_is_made_again" = TAR_SPLIT;
    "a_lost_tar_split_of_another_tool_costs_the_layer" = FOREIGN_TAR_SPLIT;
    "an_unknown_parent_costs_the_layer" = UNKNOWN_PARENT;
    "a_circle_of_parents_costs_the_layers" = CIRCLE;
    "lost_big_data_costs_the_layer" = LAYER_DATA;
    "a_damaged_record_is_set_aside" = DAMAGED_RECORD;
    "a_damaged_record_of_a_layer_is_made_again" = DAMAGED_LAYER;
    "a_second_record_of_an_id_is_set_aside" = DUPLICATE;
    "an_orphan_directory_is_collected" = ORPHAN;
    "orphan_parts_are_collected" = ORPHAN_PARTS;
    "an_orphan_directory_of_an_image_is_collected" = ORPHAN_IMAGE;
    "a_stale_temporary_directory_is_collected" = STALE_TEMPORARY;
    "a_half_written_file_is_collected" = LEFT_FILE;
};

/// One kind of damage, done to the layer `victim`, on which `above` stands.
struct Damage {
    spoil: fn(&Fixture),
    /// The kinds that `check` names, besides those that follow from them.
    kinds: &'static [&'static str],
    /// Whether it takes more than a quick look.
    full: bool,
    /// What mends it.
    verb: &'static str,
    /// The layers that are gone afterwards.
    lost: &'static [&'static str],
    /// The layers whose records are made again, with less in them.
    remade: &'static [&'static str],
}

const MISSING_FILE: Damage = Damage {
    spoil: |f| fs::remove_file(f.file()).expect("remove a file"),
    kinds: &["layer-modified", "layer-digest"],
    full: true,
    verb: "repair",
    lost: &["victim", "above"],
    remade: &[],
};
const ALTERED_FILE: Damage = Damage {
    spoil: |f| {
        let time = fs::metadata(f.file()).and_then(|metadata| metadata.modified()).expect("a time");
        let length = fs::read(f.file()).expect("read a file").len();
        fs::write(f.file(), vec![b'!'; length]).expect("alter a file");
        // Neither size nor time tell it.
        fs::File::options().write(true).open(f.file()).and_then(|file| file.set_modified(time)).expect("set a time");
    },
    ..MISSING_FILE
};
const EXTRA_FILE: Damage = Damage {
    spoil: |f| fs::write(f.file().with_file_name("extra"), "x").expect("add a file"),
    kinds: &["layer-modified"],
    ..MISSING_FILE
};
const ALTERED_MODE: Damage = Damage {
    spoil: |f| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(f.file(), fs::Permissions::from_mode(0o4711)).expect("chmod");
    },
    ..EXTRA_FILE
};
const TAR_SPLIT: Damage = Damage {
    spoil: |f| fs::remove_file(f.split("ours")).expect("remove a tar-split"),
    kinds: &["tar-split-missing"],
    full: false,
    verb: "repair",
    lost: &[],
    remade: &[],
};
const FOREIGN_TAR_SPLIT: Damage = Damage {
    spoil: |f| fs::write(f.split("victim"), "").expect("empty a tar-split"),
    lost: &["victim", "above"],
    ..TAR_SPLIT
};
const UNKNOWN_PARENT: Damage = Damage {
    spoil: |f| f.edit("victim", |record| record["parent"] = id("nobody").into()),
    kinds: &["parent-missing", "parent-missing"],
    full: false,
    verb: "repair",
    lost: &["victim", "above"],
    remade: &[],
};
const CIRCLE: Damage =
    Damage { spoil: |f| f.edit("victim", |record| record["parent"] = id("above").into()), ..UNKNOWN_PARENT };
const NO_PLACE: Damage = Damage {
    spoil: |f| fs::remove_dir_all(f.store.layer_dir(&id("above"))).expect("remove a tree"),
    kinds: &["place-missing"],
    full: false,
    verb: "repair",
    lost: &["above"],
    remade: &[],
};
/// The short link of the layer leads nowhere then.
const NO_PLACE_NOR_LINK: Damage = Damage { kinds: &["place-missing", "stale-link"], ..NO_PLACE };
const LAYER_DATA: Damage = Damage {
    spoil: |f| {
        let file = f.store.root.join("data");
        fs::write(&file, "x").expect("write");
        f.store.ok(&["set-layer-data", "-f", file.to_str().expect("a printable path"), &id("above"), "key"]);
        fs::remove_file(f.store.layers_dir().join(id("above")).join("key")).expect("remove data");
        fs::remove_file(file).expect("clean up");
    },
    kinds: &["layer-data-missing"],
    ..NO_PLACE
};
const DAMAGED_RECORD: Damage = Damage {
    spoil: |f| {
        f.records(|records| records.push(serde_json::json!({"id": 7, "names": ["keep me"]})));
    },
    kinds: &["record-damaged"],
    full: false,
    verb: "repair",
    lost: &[],
    remade: &[],
};
/// The layer on the one whose record is damaged is not lost with it.
const DAMAGED_LAYER: Damage = Damage {
    spoil: |f| f.edit("victim", |record| record["names"] = 7.into()),
    kinds: &["record-damaged", "parent-missing"],
    remade: &["victim"],
    ..DAMAGED_RECORD
};
const DUPLICATE: Damage = Damage {
    spoil: |f| {
        f.records(|records| {
            let again = records[0].clone();
            records.push(again);
            records.last_mut().expect("a record")["metadata"] = "keep me".into();
        });
    },
    kinds: &["duplicate-id"],
    ..DAMAGED_RECORD
};
const ORPHAN: Damage = Damage {
    spoil: |f| {
        let place = f.store.layer_dir(&id("orphan"));
        fs::create_dir_all(place.join("diff/deep")).expect("make a directory");
    },
    kinds: &["layer-unaccounted"],
    full: false,
    verb: "gc",
    lost: &[],
    remade: &[],
};
const ORPHAN_PARTS: Damage = Damage {
    spoil: |f| {
        fs::write(f.split("orphan"), "x").expect("write");
        fs::create_dir(f.store.layers_dir().join(id("other orphan"))).expect("mkdir");
    },
    kinds: &["orphan-parts", "orphan-parts"],
    ..ORPHAN
};
const ORPHAN_IMAGE: Damage = Damage {
    spoil: |f| {
        for kind in ["images", "containers"] {
            let home = f.store.root.join(format!("{}-{kind}", f.store.driver));
            fs::create_dir_all(home.join(id("orphan")).join("userdata")).expect("mkdir");
        }
    },
    kinds: &["orphan-directory", "orphan-directory"],
    ..ORPHAN
};
const STALE_TEMPORARY: Damage = Damage {
    spoil: |f| {
        let dead = f.store.home().join("tempdirs/temp-dir-1/0-addition");
        fs::create_dir_all(dead).expect("mkdir");
        fs::create_dir_all(f.store.layers_dir().join("tmp/temp-dir-2")).expect("mkdir");
    },
    kinds: &["stale-temporary", "stale-temporary"],
    ..ORPHAN
};
const LEFT_FILE: Damage = Damage {
    spoil: |f| {
        let left = f.store.layers_dir().join(".tmp-layers.json1234");
        fs::write(&left, "[").expect("write");
        archive::set_time(&left, 1_000_000_000, 0);
    },
    kinds: &["left-file"],
    ..ORPHAN
};
const LINK: Damage = Damage {
    spoil: |f| fs::remove_file(f.link("victim")).expect("remove a link"),
    kinds: &["layer-links"],
    full: false,
    verb: "repair",
    lost: &[],
    remade: &[],
};
const LINK_FILE: Damage = Damage {
    spoil: |f| {
        fs::remove_file(f.link("victim")).expect("remove a link");
        fs::write(f.store.layer_dir(&id("victim")).join("link"), "").expect("empty a file");
    },
    kinds: &["layer-links", "layer-links"],
    ..LINK
};
const MOUNT_DIRECTORIES: Damage = Damage {
    spoil: |f| {
        fs::remove_dir(f.store.layer_dir(&id("above")).join("merged")).expect("rmdir");
        fs::remove_dir_all(f.store.layer_dir(&id("above")).join("work")).expect("rmdir");
        fs::remove_dir_all(f.store.layer_dir(&id("victim")).join("work")).expect("rmdir");
    },
    kinds: &["layer-links", "layer-links"],
    ..LINK
};
const LOWER: Damage = Damage {
    spoil: |f| fs::remove_file(f.store.layer_dir(&id("above")).join("lower")).expect("remove a file"),
    kinds: &["layer-broken"],
    lost: &["above"],
    ..LINK
};
const STALE_LINK: Damage = Damage {
    spoil: |f| {
        let target = format!("../{}/diff", id("nobody"));
        std::os::unix::fs::symlink(target, f.store.home().join("l/ABCDEFGHIJKLMNOPQRSTUVWXYZ")).expect("symlink");
    },
    kinds: &["stale-link"],
    ..ORPHAN
};
const LEAKED_MOUNT: Damage = Damage {
    spoil: |f| {
        f.store.mount(&id("above"));
        fs::write(f.store.run_layers_dir().join("mountpoints.json"), "[]").expect("forget a count");
    },
    kinds: &["mount-uncounted"],
    ..ORPHAN
};
const LOST_MOUNT: Damage = Damage {
    spoil: |f| {
        let path = f.store.mount(&id("above"));
        nix::mount::umount2(&path, nix::mount::MntFlags::MNT_DETACH).expect("unmount");
    },
    kinds: &["count-unmounted"],
    ..ORPHAN
};

/// A store with a sound chain of layers and one to be damaged.
pub(crate) struct Fixture {
    store: Store,
}

const SOUND: [&str; 3] = ["sound", "child of sound", "ours"];

impl Fixture {
    fn make(scratch: &Scratch, driver: &'static str) -> Self {
        let store = Store::new(scratch, "store", driver);
        let everything = scratch.make("everything");
        archive::one_of_everything(&everything);
        let file = scratch.join("everything.tar");
        archive::pack(&everything, &file, "pax");
        store.import(&id("sound"), None, &file);
        let hiding = archive::RawTar::new().directory("etc/").file("etc/.wh.passwd", "").file("etc/new", "new");
        store.import(&id("child of sound"), Some(&id("sound")), &hiding.write(&scratch.join("hiding.tar")));
        store.import(&id("victim"), None, &archive::small(scratch.path(), "small", 9, 500));
        store.create(&id("above"), Some(&id("victim")));
        // The kernel marks what it mounts.
        store.mount(&id("above"));
        store.unmount(&id("above"));
        // An archive that Lamina packed: it can be packed again from the files.
        store.create(&id("written"), Some(&id("sound")));
        archive::put(&store.mount(&id("written")), "etc/written", "x");
        store.unmount(&id("written"));
        store.diff_to(&id("written"), &scratch.join("written.tar"));
        store.delete(&id("written"));
        store.import(&id("ours"), Some(&id("sound")), &scratch.join("written.tar"));
        Fixture { store }
    }

    /// A file of the victim.
    fn file(&self) -> PathBuf {
        let place = self.store.layer_dir(&id("victim"));
        let root = if self.store.driver == "overlay" { place.join("diff") } else { place };
        root.join("dir1/small-1")
    }

    fn split(&self, name: &str) -> PathBuf {
        self.store.layers_dir().join(format!("{}.tar-split.gz", id(name)))
    }

    fn link(&self, name: &str) -> PathBuf {
        let link = fs::read_to_string(self.store.layer_dir(&id(name)).join("link")).expect("read a link file");
        self.store.home().join("l").join(link)
    }

    fn records(&self, edit: impl FnOnce(&mut Vec<Value>)) {
        let file = self.store.layers_dir().join("layers.json");
        let mut records: Vec<Value> = serde_json::from_slice(&fs::read(&file).expect("read")).expect("JSON");
        edit(&mut records);
        fs::write(&file, serde_json::to_vec(&records).expect("JSON")).expect("write");
    }

    fn edit(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        self.records(|records| edit(records.iter_mut().find(|record| record["id"] == id(name)).expect("a record")));
    }

    /// Everything of the layers `names`: record, archive and tree.
    fn sight(&self, names: &[&str]) -> BTreeMap<String, (Value, Vec<u8>, Tree)> {
        let one = |name: &&str| {
            let layer = id(name);
            let record = self.store.layers().into_iter().find(|record| record["id"] == layer).expect("a record");
            let place = self.store.layer_dir(&layer);
            let place = if self.store.driver == "overlay" { place.join("diff") } else { place };
            ((*name).to_owned(), (record, self.store.diff(&layer), tree::read(&place)))
        };
        names.iter().map(one).collect()
    }
}

fn one(scratch: &Scratch, driver: &'static str, damage: &Damage) -> Outcome {
    let fixture = Fixture::make(scratch, driver);
    let store = &fixture.store;
    assert_clean(store, "before the damage");
    let sound: Vec<&str> =
        SOUND.iter().chain(&["victim", "above"]).copied().filter(|name| !damage.lost.contains(name)).collect();
    let before = fixture.sight(&sound);
    (damage.spoil)(&fixture);

    assert_eq!(kinds(store, &["check"]), damage.kinds, "what a full check names");
    let quick: &[&str] = if damage.full { &[] } else { damage.kinds };
    assert_eq!(kinds(store, &["check", "-q"]), quick, "what a quick check names");
    assert!(store.ids().contains(&id("sound")), "the rest of the store is usable");
    store.ok(&[damage.verb]);
    assert_clean(store, "after it is mended");
    let mut before = before;
    let mut after = fixture.sight(&sound);
    for name in damage.remade {
        for sight in [&mut before, &mut after] {
            let (record, ..) = sight.get_mut(*name).expect("a layer");
            *record = record["diff-digest"].clone();
        }
    }
    let mut names: Vec<String> = sound.iter().map(id).collect();
    names.sort();
    assert_eq!(store.ids(), names, "what is left");
    assert!(after == before, "a sound layer changed");
    Ok(())
}

/// A mount that somebody works in is not taken from under them.
fn leaked_and_used(scratch: &Scratch, driver: &'static str) -> Outcome {
    let fixture = Fixture::make(scratch, driver);
    let path = fixture.store.mount(&id("above"));
    fs::write(fixture.store.run_layers_dir().join("mountpoints.json"), "[]").expect("forget a count");
    let used = fs::File::create(path.join("in use")).expect("a file");
    fixture.store.ok(&["gc"]);
    assert!(path.join("in use").exists(), "gc took a mount that is in use");
    assert_eq!(kinds(&fixture.store, &["check", "-q"]), ["mount-uncounted"]);
    drop(used);
    fixture.store.ok(&["gc"]);
    assert!(!path.join("in use").exists(), "gc left a mount that nobody uses");
    assert_clean(&fixture.store, "after the last user is gone");
    Ok(())
}

/// Empty and broken files of records.
fn lost_records(scratch: &Scratch, driver: &'static str) -> Outcome {
    let fixture = Fixture::make(scratch, driver);
    let store = &fixture.store;
    let file = store.layers_dir().join("layers.json");
    let whole = fs::read(&file).expect("read layers.json");
    let before = store.layers();
    let trees = |store: &Store| -> Vec<Tree> {
        before.iter().map(|r| tree::read(&store.layer_dir(r["id"].as_str().expect("an id")))).collect()
    };
    let trees_before = trees(store);
    for (number, broken) in [&b""[..], &whole[..whole.len() / 2], b"{\"no\": \"array\"}"].into_iter().enumerate() {
        fs::write(&file, broken).expect("break layers.json");
        assert_eq!(kinds(store, &["check", "-q"]), ["records-unreadable"]);
        assert!(!store.run(&["gc"]).output.status.success(), "gc works on what it can't know");
        store.ok(&["repair"]);
        let kept = store.layers_dir().join(format!("layers.json.damaged-lamina-{}", number + 1));
        assert_eq!(fs::read(&kept).expect("the broken file is kept"), broken);
        assert_clean(store, "after layers.json is made again");
        store.ok(&["gc"]);
        assert!(trees(store) == trees_before, "a layer's tree changed");
        let part = |record: &Value| {
            let own = if driver == "overlay" { ["id", "parent", "diff-digest", "diff-size"] } else { ["id"; 4] };
            own.map(|key| record[key].clone())
        };
        let after: Vec<_> = store.layers().iter().map(part).collect();
        assert_eq!(after, before.iter().map(part).collect::<Vec<_>>(), "records that were made again");
        fs::write(&file, &whole).expect("restore layers.json");
    }
    Ok(())
}

/// Images and containers as podman makes them.
fn podman(scratch: &Scratch, driver: &'static str) -> Outcome {
    let program = machine::need("podman")?;
    let place = scratch.for_everybody()?;
    let store = Store::at(&place.join("root"), &place.join("run"), driver);
    let podman = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("--root").arg(&store.root).arg("--runroot").arg(&store.run);
        command.args(["--storage-driver", driver, "--cgroup-manager", "cgroupfs"]).args(args);
        must(command)
    };
    let file = archive::small(scratch.path(), "small", 20, 3000);
    let import = |name: &str| podman(&["import", file.to_str().expect("a printable path"), name]).trim().to_owned();
    let _ = import("localhost/one:1");
    podman(&["create", "--name", "box", "localhost/one:1", "/bin/none"]);
    let path = podman(&["mount", "box"]);
    fs::write(Path::new(path.trim()).join("written"), "x").expect("write");
    assert_clean(&store, "with podman's container mounted");
    podman(&["unmount", "box"]);
    assert_clean(&store, "podman's store");

    let images = store.root.join(format!("{driver}-images"));
    let image = podman(&["image", "inspect", "--format", "{{.Id}}", "localhost/one:1"]).trim().to_owned();
    let records = fs::read(images.join("images.json")).expect("read images.json");
    fs::write(images.join("images.json"), "").expect("empty images.json");
    assert_eq!(kinds(&store, &["check", "-q"]), ["records-unreadable"]);
    store.ok(&["repair"]);
    assert_clean(&store, "after images.json is made again");
    let listed = podman(&["images", "-a", "--no-trunc", "--format", "{{.Id}}"]);
    assert!(listed.contains(&image), "podman knows the image again: {listed}");
    fs::write(images.join("images.json"), records).expect("restore images.json");

    let manifest = images.join(&image).join("manifest");
    let content = fs::read(&manifest).expect("read a manifest");
    fs::write(&manifest, &content[1..]).expect("shorten a manifest");
    assert_eq!(kinds(&store, &["check", "-q"]), ["image-data-size", "inherited"]);
    fs::remove_file(&manifest).expect("remove a manifest");
    assert_eq!(kinds(&store, &["check", "-q"]), ["image-data-missing", "inherited"]);
    let refused = store.run(&["check", "-q", "-r"]);
    assert!(!refused.output.status.success(), "an image that a container needs was deleted: {}", refused.describe());
    store.ok(&["check", "-q", "-f"]);
    assert_clean(&store, "after image and container are deleted");
    assert_eq!(store.ids(), Vec::<String>::new());
    Ok(())
}
