//! Mounts at a layer's mount point, and their end.

use std::path::Path;

use storage_core::driver::{Capability, Extent, MountOptions, Plan, Start};
use storage_core::idmap::{IdMap, Maps, Namespace};
use storage_core::mount::is_mount_root;
use storage_core::{Kind, Result};

use crate::suite::bench::{Bench, has};
use crate::suite::check::{Checked, Step, must, refused, same, same_lines, skip};
use crate::suite::store::{Held, Store, task};
use crate::suite::tree::Tree;
use crate::suite::{Case, Need, case};

const MOUNTS: &[Need] = &[Need::Has(Capability::KernelMounts)];

pub(super) const CASES: &[Case] = &[
    case(
        "mounting::what_is_written_stays",
        "A mount shows the layer and takes changes, which are there in the next mount and in a view.",
        &[],
        stays,
    ),
    case(
        "mounting::it_is_where_it_is_said_to_be",
        "A layer is mounted at its mount point, and counts as mounted exactly while the kernel has it there.",
        &[],
        where_said,
    ),
    case(
        "mounting::releasing_what_is_not_mounted",
        "Releasing a layer that isn't mounted is no error, and releases nothing.",
        &[],
        nothing_mounted,
    ),
    case("mounting::twice", "A layer that is mounted isn't mounted again on top of itself.", MOUNTS, twice),
    case(
        "mounting::for_reading",
        "Nobody writes through a mount for reading, and it leaves no trace.",
        MOUNTS,
        read_only,
    ),
    case(
        "mounting::options_are_taken_or_refused",
        "An option of every mount is honoured where there are mounts; one that nobody knows is refused, and nothing is \
         mounted then.",
        &[],
        options,
    ),
    case(
        "mounting::one_or_all",
        "One release takes one of several mounts on top of each other, or all.",
        MOUNTS,
        extents,
    ),
    case(
        "mounting::one_in_use_stays_when_only_unused_ones_are_meant",
        "A mount that somebody works in is not taken away when only unused ones are meant.",
        MOUNTS,
        unused,
    ),
    case(
        "mounting::a_mounted_layer_is_neither_removed_nor_replaced",
        "A layer that is mounted can't be removed or replaced, and is as it was.",
        MOUNTS,
        busy,
    ),
    case(
        "mounting::a_family_at_once",
        "A layer, its child and its child's child are mounted at the same time.",
        &[],
        family,
    ),
    case(
        "mounting::a_released_mount_goes_on_for_who_has_it_open",
        "A file that is open in a mount can be read after the mount was released.",
        &[],
        open_file,
    ),
    case(
        "mounting::volatile",
        "A mount that may lose what is written when the machine stops keeps it otherwise, and can be made again.",
        &[],
        volatile,
    ),
    case(
        "mounting::with_mapped_owners",
        "A mount through maps shows the owners of all layers below as they are in the container.",
        &[Need::Root, Need::Has(Capability::IdMappedMounts)],
        mapped,
    ),
    case(
        "mounting::mapped_owners_are_refused_where_they_are_not_declared",
        "Mapped owners are refused before a driver is asked that doesn't have them, and nothing is mounted.",
        &[Need::Root, Need::Lacks(Capability::IdMappedMounts)],
        mapped_refused,
    ),
    case(
        "mounting::what_a_driver_retires_it_can_make_again",
        "After the driver has taken away what it keeps mounted, nothing of it is left, and layers can be mounted again.",
        &[],
        retires,
    ),
];

fn stays(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], super::create::some_tree)?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    store.edit(&b, |tree| {
        same("the file below", tree.read("f")?, "one".to_owned())?;
        tree.write("f", "two")?;
        tree.write("new", "new")
    })?;
    let check = |tree: &Tree| same("what is there", (tree.read("f")?, tree.read("new")?), ("two".into(), "new".into()));
    check(&store.tree(&b)?)?;
    store.edit(&b, check)?;
    let c = store.make(&["c", "b", "a"], |_| Ok(()))?;
    check(&store.tree(&c)?)
}

fn where_said(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "one"))?;
    let kernel = has(&store, Capability::KernelMounts);
    same("what it says of its mounts", store.gate().has_kernel_mounts(), kernel)?;
    must(!store.is_mounted(&a)?, "it is mounted from the beginning")?;
    let place = store.mount(&a)?;
    let found = (store.is_mounted(&a)?, is_mount_root(&place)?, place.join("f").exists());
    let point = store.gate().mount_point(&a.id, a.home)?;
    let detached = store.unmount(&a, Extent::One)?;
    same("the place", &place, &point)?;
    same("mounted, a mount, and shown", found, (kernel, kernel, true))?;
    same("whether there was a mount", detached.any(), kernel)?;
    must(!store.is_mounted(&a)? && !is_mount_root(&place)?, "it is mounted after it was released")
}

fn nothing_mounted(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |_| Ok(()))?;
    for extent in [Extent::One, Extent::All, Extent::Unused] {
        must(!store.unmount(&a, extent)?.any(), "there was something to release")?;
    }
    store.edit(&a, |_| Ok(()))?;
    must(!store.unmount(&a, Extent::One)?.any(), "a second release found something")
}

/// Runs `body` while the layer is mounted, and releases it whatever comes of that.
fn while_mounted<T>(
    store: &mut Store,
    layer: &storage_core::driver::LayerRef,
    options: &MountOptions,
    body: impl FnOnce(&mut Store, &Path) -> Checked<T>,
) -> Checked<T> {
    let place = store.mount_as(layer, options)?;
    let done = body(store, &place);
    drop(store.unmount(layer, Extent::All)?);
    done
}

fn twice(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |_| Ok(()))?;
    while_mounted(&mut store, &a, &MountOptions::default(), |store, _| {
        refused("a second mount", store.mount(&a), &[Kind::Busy])?;
        drop(store.unmount(&a, Extent::One)?);
        must(!store.is_mounted(&a)?, "there were two")
    })
}

fn read_only(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], |tree| tree.write("below", ""))?;
    let b = store.make(&["b", "a"], |tree| tree.write("f", "one"))?;
    let before = store.listing(&b)?;
    let by_flag = MountOptions { read_only: true, ..MountOptions::default() };
    let by_option = MountOptions { options: vec!["ro".to_owned()], ..MountOptions::default() };
    for options in [by_flag, by_option] {
        if !options.options.is_empty() && !takes(&mut store, &b, &options)? {
            continue;
        }
        while_mounted(&mut store, &b, &options, |_, place| {
            for name in ["f", "below", "new"] {
                let refused = std::fs::write(place.join(name), "x").err().and_then(|error| error.raw_os_error());
                same("writing", refused, Some(libc::EROFS))?;
            }
            same_lines("what it shows", &Tree::at(place).listing()?, &before)
        })?;
    }
    store.edit(&b, |tree| tree.write("f", "two"))?;
    same("a mount for writing after", store.tree(&b)?.read("f")?, "two".to_owned())
}

/// Whether the layer can be mounted so at all.
fn takes(store: &mut Store, layer: &storage_core::driver::LayerRef, options: &MountOptions) -> Result<bool> {
    match store.mount_as(layer, options) {
        Ok(_) => store.unmount(layer, Extent::All).map(|_| true),
        Err(error) if error.kind() == Kind::NotSupported => Ok(false),
        Err(error) => Err(error),
    }
}

fn options(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "one"))?;
    let with = |option: &str| MountOptions { options: vec![option.to_owned()], ..MountOptions::default() };
    let has_mounts = has(&store, Capability::KernelMounts);
    while_mounted(&mut store, &a, &with("nodev"), |_, place| {
        let flags = rustix::fs::statvfs(place).step("statvfs", place)?.f_flag;
        let nodev = flags.contains(rustix::fs::StatVfsMountFlags::NODEV);
        must(nodev || !has_mounts, "nodev is not honoured")
    })?;
    let mounted = store.mount_as(&a, &with("no-such-option=1"));
    must(mounted.is_err(), "an option that nobody knows was taken")?;
    must(!store.is_mounted(&a)?, "a mount that failed is there")?;
    store.edit(&a, |tree| same("the file", tree.read("f")?, "one".to_owned()))
}

/// Mounts the mount at `place` on itself.
fn bind(place: &Path) -> Checked {
    let nothing = None::<&Path>;
    nix::mount::mount(Some(place), place, nothing, nix::mount::MsFlags::MS_BIND, nothing).step("mount(bind)", place)
}

fn extents(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |_| Ok(()))?;
    while_mounted(&mut store, &a, &MountOptions::default(), |store, place| {
        bind(place)?;
        must(store.unmount(&a, Extent::One)?.any(), "there was nothing to release")?;
        must(store.is_mounted(&a)?, "one release took both")?;
        bind(place)?;
        bind(place)?;
        must(store.unmount(&a, Extent::All)?.any(), "there was nothing to release")?;
        must(!store.is_mounted(&a)?, "a mount is left after all were released")?;
        store.mount(&a)?;
        bind(place)?;
        drop(store.unmount(&a, Extent::Unused)?);
        must(!store.is_mounted(&a)?, "an unused mount is left")
    })
}

fn unused(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "one"))?;
    while_mounted(&mut store, &a, &MountOptions::default(), |store, place| {
        let open = std::fs::File::open(place.join("f")).step("open", place)?;
        refused("releasing what is in use", store.unmount(&a, Extent::Unused), &[Kind::Busy])?;
        must(store.is_mounted(&a)?, "it was released though it is in use")?;
        drop(open);
        drop(store.unmount(&a, Extent::Unused)?);
        must(!store.is_mounted(&a)?, "it was not released though it is unused")
    })
}

fn busy(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "one"))?;
    let mut staged = store.begin(&Plan::new(Start::Replacing { layer: a.clone(), empty: false }))?;
    while_mounted(&mut store, &a, &MountOptions::default(), |store, place| {
        refused("removing a mounted layer", store.remove(&a), &[Kind::Busy])?;
        let replaced = store.exclusive(|driver| driver.replace(&mut *staged, &a.id));
        refused("replacing a mounted layer", replaced, &[Kind::Busy, Kind::Changed])?;
        same("the mount", Tree::at(place).read("f")?, "one".to_owned())
    })?;
    drop(staged);
    same("the layer", store.tree(&a)?.read("f")?, "one".to_owned())?;
    store.delete(&a)?;
    store.must_be_clean()
}

fn family(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], super::create::some_tree)?;
    let b = store.make(&["b", "a"], |tree| tree.remove_if_there("s"))?;
    let c = store.make(&["c", "b", "a"], |tree| tree.write("own", ""))?;
    let places = [store.mount(&a)?, store.mount(&b)?, store.mount(&c)?];
    let found = places.each_ref().map(|place| Tree::at(place).read("d/e/deep"));
    for layer in [&b, &a, &c] {
        drop(store.unmount(layer, Extent::One)?);
    }
    for text in found {
        same("what each shows", text?, "deep".to_owned())?;
    }
    for layer in [&a, &b, &c] {
        must(!store.is_mounted(layer)?, "one is left")?;
    }
    Ok(())
}

fn open_file(bench: &Bench) -> Checked {
    use std::io::Read;
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "one"))?;
    let place = store.mount(&a)?;
    let opened = std::fs::File::open(place.join("f"));
    drop(store.unmount(&a, Extent::One)?);
    let mut text = String::new();
    opened.step("open", &place)?.read_to_string(&mut text).step("read", &place)?;
    same("the file", text, "one".to_owned())
}

fn volatile(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |_| Ok(()))?;
    let options = MountOptions { volatile: true, ..MountOptions::default() };
    let declared = has(&store, Capability::Volatile);
    for number in 0..3 {
        while_mounted(&mut store, &a, &options, |_, place| {
            let mounts = storage_core::mount::mounts_here()?;
            let own = mounts.iter().find(|mount| mount.mount_point == place);
            let told = own.is_some_and(|mount| {
                mount.super_options.split(',').any(|option| option == "volatile" || option == "fsync=volatile")
            });
            same("whether the kernel was told", told, declared)?;
            same("what is there", Tree::at(place).names(".")?.len(), number)?;
            Tree::at(place).write(&format!("f{number}"), "text")
        })?;
    }
    store.edit(&a, |tree| same("what is there", tree.names(".")?.len(), 3))
}

/// 0 inside is 100000 outside, and so on.
fn container() -> Maps {
    let map = vec![IdMap { container_id: 0, host_id: 100_000, size: 65_536 }];
    Maps { uids: map.clone(), gids: map }
}

fn mapped(bench: &Bench) -> Checked {
    use std::os::unix::fs::MetadataExt;
    let mut store = bench.store()?;
    store.make(&["a"], |tree| {
        tree.write("f", "one")?;
        tree.owner("f", 5, 6)?;
        tree.write("root", "")
    })?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    let namespace = Some(Namespace::of(&container())?);
    let options = MountOptions { namespace, ..MountOptions::default() };
    while_mounted(&mut store, &b, &options, |_, place| {
        let tree = Tree::at(place);
        let owner = |name: &str| tree.stat(name).map(|found| (found.uid(), found.gid()));
        same("a file", owner("f")?, (100_005, 100_006))?;
        same("a file of root's", owner("root")?, (100_000, 100_000))
    })?;
    let view = store.tree(&chain_of(&b)?)?;
    same("the parent as it is kept", view.stat("f")?.uid(), 5)
}

/// The parent of a layer.
fn chain_of(layer: &storage_core::driver::LayerRef) -> Checked<storage_core::driver::LayerRef> {
    layer.parent_ref().map_or_else(|| skip("it has no parent"), Ok)
}

fn mapped_refused(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |_| Ok(()))?;
    let namespace = Some(Namespace::of(&container())?);
    let options = MountOptions { namespace, ..MountOptions::default() };
    refused("mapped owners", store.mount_as(&a, &options), &[Kind::NotSupported])?;
    must(!store.is_mounted(&a)?, "it was mounted all the same")?;
    store.edit(&a, |_| Ok(()))
}

fn retires(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "one"))?;
    store.edit(&a, |_| Ok(()))?;
    drop(store.retire()?);
    let home = store.request.home.clone();
    let left = storage_core::mount::mounts_here()?.into_iter().filter(|mount| mount.mount_point.starts_with(&home));
    same("mounts in the home", left.map(|mount| mount.mount_point).collect::<Vec<_>>(), Vec::new())?;
    drop(store.retire()?);
    store.edit(&a, |tree| same("the file", tree.read("f")?, "one".to_owned()))?;
    let trash = store.replace(&a, Held::Something, |tree| tree.write("g", ""))?;
    Ok(trash.reclaim(&task())?)
}
