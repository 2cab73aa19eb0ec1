//! What workers do to layers.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use storage_core::archive::Compression;
use storage_core::driver::MountOptions;
use storage_core::error::OsContext;
use storage_core::locks::ThreadKey;
use storage_core::store::{DiffOptions, NewLayer, Release, Store};
use storage_core::{Kind, LayerId, Result, Task};

use super::notes::Notes;
use super::order::{Deed, Order};

/// The layer at the bottom.
pub(super) const BASE: &str = "base";
/// The layer that everybody mounts and reads.
pub(super) const COMMON: &str = "common";
/// How much is in the largest file of the base layer: more than a driver may move while it holds a lock.
const LARGE: usize = 4 << 20;

pub(super) fn quiet_task() -> Task {
    Task::new("audit")
}

pub(super) fn new_layer(name: &str, parent: Option<&str>) -> NewLayer {
    NewLayer { parent: parent.map(str::to_owned), names: vec![name.to_owned()], ..NewLayer::default() }
}

/// A layer of a known id: half-made ones have no name.
fn numbered(number: u64, parent: &str) -> Result<NewLayer> {
    let id = LayerId::for_new(&format!("{:064x}", 0xaaaa_0000 + number))?;
    Ok(NewLayer { id: Some(id), parent: Some(parent.to_owned()), ..NewLayer::default() })
}

/// A layer with files, one on it that is changed, and the archive of the first.
pub(super) fn prepare(order: &Order, store: &Store, key: &mut ThreadKey) -> Result<()> {
    store.create_layer(key, &new_layer(BASE, None), &quiet_task())?;
    in_mounted(store, key, BASE, |root| {
        put(root, "large", &pattern(LARGE))?;
        (0..20).try_for_each(|number| put(root, &format!("dir/file-{number}"), &pattern(1000 + number)))
    })?;
    let mut archive = File::create(order.archive()).os("create", order.archive())?;
    diff(store, key, BASE, &mut archive)?;
    store.create_layer(key, &new_layer(COMMON, Some(BASE)), &quiet_task())?;
    in_mounted(store, key, COMMON, |root| {
        put(root, "dir/file-3", b"changed")?;
        put(root, "new/file", b"added")
    })
}

/// Mounts a layer, writes in it, and gives the mount back.
pub(super) fn in_mounted(
    store: &Store,
    key: &mut ThreadKey,
    layer: &str,
    write: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let root = store.mount(key, layer, &MountOptions::default())?;
    let written = write(&root);
    store.unmount(key, layer, Release::One)?;
    written
}

pub(super) fn put(root: &Path, name: &str, content: &[u8]) -> Result<()> {
    let path = root.join(name);
    let parent = path.parent().unwrap_or(root);
    fs::create_dir_all(parent).os("mkdir", parent)?;
    fs::write(&path, content).os("write", &path)
}

/// Bytes that no filesystem takes for a hole or packs.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

pub(super) fn diff(store: &Store, key: &mut ThreadKey, layer: &str, out: &mut (dyn Write + Send)) -> Result<()> {
    let options = DiffOptions { compression: Some(Compression::None) };
    store.diff(key, layer, None, options, out, &quiet_task())
}

/// What a victim does. Whoever kills it looks at what is left.
pub(super) fn deed(order: &Order, deed: Deed, store: &Store, key: &mut ThreadKey) -> Result<()> {
    let archive = || File::open(order.archive()).os("open", order.archive());
    let task = quiet_task();
    match deed {
        Deed::Mount => store.mount(key, COMMON, &MountOptions::default()).map(drop),
        Deed::Unmount => {
            store.mount(key, COMMON, &MountOptions::default())?;
            store.unmount(key, COMMON, Release::IfMounted).map(drop)
        }
        Deed::Diff => diff(store, key, COMMON, &mut io::sink()),
        Deed::Create => store.create_layer(key, &numbered(order.number, COMMON)?, &task).map(drop),
        Deed::Import => store.import_layer(key, &numbered(order.number, BASE)?, archive()?, &task).map(drop),
        Deed::Apply => {
            let layer = store.create_layer(key, &numbered(order.number, BASE)?, &task)?;
            store.apply_diff(key, &layer.id, archive()?, &task).map(drop)
        }
        Deed::Delete => {
            let layer = store.create_layer(key, &numbered(order.number, BASE)?, &task)?;
            store.mount(key, &layer.id, &MountOptions::default())?;
            store.delete_layer(key, &layer.id, &task)
        }
    }
}

/// One thread of the crowd: each round another order of operations, on the common layer and on layers of its own.
pub(super) fn crowd(order: &Order, thread: u64, store: &Store, key: &mut ThreadKey, notes: &Notes) -> Result<()> {
    let task = quiet_task();
    for round in 0..order.rounds {
        let own = numbered(0x1_0000 * (order.number + 1) + 0x8000 * thread + round, BASE)?;
        let id = own.id.as_ref().map(ToString::to_string).unwrap_or_default();
        store.mount(key, COMMON, &MountOptions::default())?;
        if (round + thread).is_multiple_of(2) {
            diff(store, key, COMMON, &mut io::sink())?;
        } else {
            store.changes(key, COMMON, None, &task, &mut |_| Ok(()))?;
            store.diff_size(key, COMMON, None, &task)?;
        }
        store.create_layer(key, &own, &task)?;
        store.mount(key, &id, &MountOptions::default())?;
        if store.unmount(key, &id, Release::One)? {
            notes.wrong("unmount one", "the only mount was given back, and the layer is still mounted");
        }
        let again = store.unmount(key, &id, Release::IfMounted).map_err(|error| error.kind());
        if again != Err(Kind::LayerNotMounted) {
            notes.wrong("unmount if mounted", format!("a mount that isn't there was given back: {again:?}"));
        }
        if round.is_multiple_of(3) {
            store.mount(key, &id, &MountOptions::default())?;
            store.unmount(key, &id, Release::Force)?;
        }
        store.driver_layers(key)?;
        store.delete_layer(key, &id, &task)?;
        if store.unmount(key, COMMON, Release::IfMounted).is_err() {
            notes.wrong("unmount if mounted", "a mount that was counted for this thread was not there any more");
        }
    }
    Ok(())
}
