//! Containers with ids of their own: chosen by the store, disjoint, however many ask at once.

use std::fs;
use std::path::Path;
use std::process::Child;

use integration::case::{Case, Skip, case};
use integration::store::{Store, end, finish};
use integration::{Outcome, Scratch, archive, invariants};
use nix::mount::{MsFlags, mount};
use serde_json::Value;

use crate::id_maps::{container, image};

pub(crate) const CASES: &[Case] = &[
    case("id_maps_auto::twenty_at_once_share_no_id::overlay", 120, |s| at_once(s, "overlay")),
    case("id_maps_auto::twenty_at_once_share_no_id::vfs", 120, |s| at_once(s, "vfs")),
    case("id_maps_auto::too_few_ids_leave_nothing::overlay", 60, |s| too_few(s, "overlay")),
    case("id_maps_auto::too_few_ids_leave_nothing::vfs", 60, |s| too_few(s, "vfs")),
    case("id_maps_auto::owner_and_sizes_are_configured::overlay", 60, configured),
];

/// Gives `user` the ids that `text` says, for this case alone.
fn subordinate_ids(scratch: &Scratch, text: &str) -> Outcome {
    let file = scratch.join("subids");
    fs::write(&file, text).expect("write subordinate ids");
    for place in ["/etc/subuid", "/etc/subgid"] {
        if !Path::new(place).exists() {
            return Err(Skip(format!("{place} is missing: nothing can be bound there")));
        }
        let bound = mount(Some(&file), place, None::<&str>, MsFlags::MS_BIND, None::<&str>);
        bound.expect("bind a file of subordinate ids for this case");
    }
    Ok(())
}

/// The first host id and the size of the container's map of users; its map of groups must be the same.
fn range(store: &Store, id: &str) -> (u64, u64) {
    let record = container(store, id);
    assert_eq!(record["uidmap"], record["gidmap"], "{record}");
    let map = record["uidmap"].as_array().expect("a map");
    assert_eq!(map.len(), 1, "{record}");
    (map[0]["host_id"].as_u64().expect("an id"), map[0]["size"].as_u64().expect("a size"))
}

fn at_once(scratch: &Scratch, driver: &'static str) -> Outcome {
    subordinate_ids(scratch, "containers:500000:40000\n")?;
    let store = Store::new(scratch, "store", driver);
    image(&store, &archive::small(scratch.path(), "small", 3, 50));
    let names: Vec<String> = (0..20).map(|number| format!("box{number}")).collect();
    let children: Vec<Child> = names
        .iter()
        .map(|name| store.start(&["create-container", "--userns-auto=2000", "-i", name, "image"]))
        .collect();
    for child in children {
        let (status, text) = finish(child);
        assert!(status.success(), "one of twenty failed: {text}");
    }
    let mut ranges: Vec<(u64, u64)> = names.iter().map(|name| range(&store, name)).collect();
    ranges.sort_unstable();
    let wanted: Vec<(u64, u64)> = (0..20).map(|number| (500_000 + 2000 * number, 2000)).collect();
    assert_eq!(ranges, wanted, "twenty times 2000 of 40000 ids, each once");

    let refused = store.run(&["create-container", "--userns-auto=1", "-i", "late", "image"]);
    assert!(refused.stderr().contains("not enough unused IDs in user namespace"), "{}", refused.describe());
    store.ok(&["delete-container", "box7"]);
    store.ok(&["create-container", "--userns-auto=2000", "-i", "late", "image"]);
    assert!(wanted.contains(&range(&store, "late")), "ids that were given back are given out again");
    invariants::assert_clean(&store, "after twenty containers");
    Ok(())
}

fn too_few(scratch: &Scratch, driver: &'static str) -> Outcome {
    subordinate_ids(scratch, "containers:500000:1500\n")?;
    let store = Store::new(scratch, "store", driver);
    image(&store, &archive::small(scratch.path(), "small", 3, 50));
    let before = store.ids();
    let refused = store.run(&["create-container", "--userns-auto=1501", "-i", "box", "image"]);
    assert!(!refused.output.status.success(), "{}", refused.describe());
    assert!(refused.stderr().contains("not enough unused IDs in user namespace"), "{}", refused.describe());
    assert_eq!(store.ids(), before, "a layer was left");
    invariants::assert_clean(&store, "after a refusal");
    store.ok(&["create-container", "--userns-auto", "-i", "box", "image"]);
    assert_eq!(range(&store, "box"), (500_000, 1024), "without a size it is the least");
    Ok(())
}

/// `storage.conf` says whose ids are given out, and how many.
fn configured(scratch: &Scratch) -> Outcome {
    subordinate_ids(scratch, "containers:500000:65536\nfred:900000:65536\n")?;
    let store = Store::new(scratch, "store", "overlay");
    let made = scratch.make("made");
    archive::put(&made, "etc/passwd", "root:x:0:0::/:\nhigh:x:2999:7::/:\nnobody:x:65534:65534::/:\n");
    let file = scratch.join("made.tar");
    archive::pack(&made, &file, "pax");
    image(&store, &file);
    let text = format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n[storage.options]\n\
         root-auto-userns-user = \"fred\"\nauto-userns-min-size = 500\nauto-userns-max-size = 3000\n",
        store.root.display(),
        store.run.display()
    );
    let conf = scratch.join("storage.conf");
    fs::write(&conf, text).expect("write a storage.conf");
    let create = |name: &str, image: &str| {
        let mut command = std::process::Command::new(&store.bin);
        command.env("CONTAINERS_STORAGE_CONF", &conf).args(["create-container", "--userns-auto", "-i", name, image]);
        end(command)
    };
    let of_image = create("of-image", "image");
    assert!(of_image.output.status.success(), "{}", of_image.describe());
    assert_eq!(range(&store, "of-image"), (900_000, 3000), "fred's ids, as many as the image's accounts need");
    let of_nothing = create("of-nothing", "");
    assert!(of_nothing.output.status.success(), "{}", of_nothing.describe());
    assert_eq!(range(&store, "of-nothing"), (903_000, 500), "the least size that is configured");

    archive::put(&made, "etc/passwd", "root:x:0:0::/:\nhigh:x:3000:7::/:\n");
    archive::pack(&made, &file, "pax");
    store.import("higher", None, &file);
    store.ok(&["create-image", "-n", "too-high", "higher"]);
    let refused = create("too-large", "too-high");
    assert!(refused.stderr().contains("bigger than the maximum value"), "{}", refused.describe());
    let list: Value = serde_json::from_str(&store.ok(&["containers", "-j"])).expect("containers -j writes JSON");
    assert_eq!(list.as_array().map(Vec::len), Some(2), "{list}");
    Ok(())
}
