//! Layers whose owners are kept under maps, and mounts that show owners through maps.

use storage_core::archive::Change;
use storage_core::driver::{Capability, Driver, Extent, Home, LayerRef, MountOptions, OwnerMaps, Plan, Request, Start};
use storage_core::idmap::{Maps, Namespace, parse_map};
use storage_core::mount::Features;
use storage_core::{Kind, Task};

use crate::harness::{
    Store, chain, fd_path, id, kind, request, shell_in, shell_output, with_request, with_store, with_store_in,
};

const TELL: &str = "find . -printf '%p %U:%G %m %n\\n' | sort; cat d/f";
const TREE: &str = "mkdir d; echo one >d/f; ln d/f d/g; ln -s f d/l; chown 5:6 d/f; chown -h 7:8 d/l; chmod 4755 d/f; \
    mkdir gone; echo x >gone/y; chown 3:3 gone";

fn maps(text: &str) -> Maps {
    Maps::new(parse_map(text).unwrap(), Vec::new()).unwrap()
}

fn through(maps: &Maps) -> MountOptions {
    MountOptions { namespace: Some(Namespace::of(maps).unwrap()), ..MountOptions::default() }
}

fn make(store: &mut Store, layer: &LayerRef, maps: &Maps, parent_maps: &Maps) -> storage_core::Result<()> {
    let start = Start::OnParent(layer.parent_ref());
    let plan = Plan { maps: maps.clone(), parent_maps: parent_maps.clone(), ..Plan::new(start) };
    let mut staged = store.begin_as(&plan)?;
    staged.fill(&Task::new("fill"))?;
    store.commit(staged, layer.id.as_str())
}

fn differences(store: &mut Store, layer: &LayerRef, base: &LayerRef, owners: &OwnerMaps) -> Vec<String> {
    let compared = store.shared(|driver, held| driver.compare(held, layer, Some(base), owners)).unwrap();
    let mut lines = Vec::new();
    let each = &mut |change: Change| {
        lines.push(change.to_string());
        Ok(())
    };
    compared.changes(&Task::new("compare"), each).unwrap();
    lines
}

#[test]
fn a_layer_with_other_maps_than_its_parent_has_the_whole_tree_under_new_owners_below_its_changes() {
    for features in [Features::of_kernel(), Features::NONE] {
        with_store(features, "metacopy=on", |store| {
            store.make(&["a"], TREE);
            let b = store.make(&["b", "a"], "");
            store.edit(&b, "rm -r gone; echo two >e; chown 1:1 e");
            let map = maps("0:1000:10");
            let c = chain(&["c", "b", "a"]);
            make(store, &c, &map, &Maps::NONE).unwrap();
            let inside =
                "find . -mindepth 1 -type d -printf '%p %U:%G %m\\n' -o -mindepth 1 -printf '%p %U:%G %m %n\\n' | sort";
            let expected = "./d 1000:1000 755\n./d/f 1005:1006 4755 2\n./d/g 1005:1006 4755 2\n./d/l 1007:1008 777 1\n./e 1001:1001 644 1\n";
            let layer = store.home.join("c");
            assert_eq!(shell_output(&layer.join("diff1"), inside), expected);
            assert_eq!(
                shell_output(&layer, "ls -A diff; stat -c '%a %u:%g' diff diff1"),
                "555 1000:1000\n555 1000:1000\n"
            );
            assert_eq!(shell_output(&layer, "stat -c '%n %u' . work merged"), ". 1000\nwork 1000\nmerged 1000\n");
            assert_eq!(shell_output(&fd_path(store.view(&c).unwrap().root()), inside), expected);
            let merged = store.mount(&c, &MountOptions::default()).unwrap();
            assert_eq!(shell_output(&merged, inside), expected);
            drop(store.unmount(&c, Extent::One).unwrap());
            let owners = OwnerMaps { layer: map.clone(), base: Maps::NONE, ..OwnerMaps::default() };
            assert_eq!(differences(store, &c, &b, &owners), Vec::<String>::new());
            store.edit(&c, "chown 1002 e");
            assert_eq!(differences(store, &c, &b, &owners), ["C /e"]);
            // A layer on it with the same maps stands on it as on any other.
            let d = chain(&["d", "c", "b", "a"]);
            make(store, &d, &map, &map).unwrap();
            assert!(!store.home.join("d/diff1").exists());
            assert_eq!(shell_output(&store.home.join("d"), "stat -c '%a %u:%g' diff"), "555 1000:1000\n");
        });
    }
}

#[test]
fn a_base_layer_belongs_to_the_root_of_its_maps_and_an_owner_outside_them_makes_no_layer() {
    with_store(Features::of_kernel(), "", |store| {
        make(store, &chain(&["a"]), &maps("0:1000:10"), &Maps::NONE).unwrap();
        assert_eq!(
            shell_output(&store.home, "stat -c '%a %u:%g' a a/diff a/empty"),
            "700 1000:1000\n555 1000:1000\n700 1000:1000\n"
        );
        store.make(&["b"], "echo x >f; chown 50 f");
        let narrow = make(store, &chain(&["c", "b"]), &maps("0:1000:10"), &Maps::NONE);
        assert_eq!(kind(narrow), Some(Kind::InvalidMappings));
        assert!(!store.home.join("c").exists() && crate::harness::is_clean(store));
    });
}

#[test]
fn a_mount_shows_owners_through_maps_and_nothing_is_copied() {
    let with = Features::of_kernel();
    for features in [with, Features::given(true, false), Features::NONE] {
        with_store(features, "", |store| {
            assert!(store.driver.capabilities().has(Capability::IdMappedMounts), "{features:?}");
            store.make(&["a"], TREE);
            store.make(&["b", "a"], "echo two >e; chown 1:1 e");
            let c = store.make(&["c", "b", "a"], "");
            let merged = store.mount(&c, &through(&maps("0:1000:10"))).unwrap();
            let seen = ". 1000:1000 555 4\n./d 1000:1000 755 1\n./d/f 1005:1006 4755 2\n./d/g 1005:1006 4755 2\n\
                ./d/l 1007:1008 777 1\n./e 1001:1001 644 1\n./gone 1003:1003 755 1\n./gone/y 1000:1000 644 1\none\n";
            let told = shell_output(&merged, TELL);
            let owners = |text: &str| {
                text.lines().map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
            };
            assert_eq!(owners(&told), owners(seen), "{features:?}");
            assert_eq!(shell_output(&store.home.join("c/diff"), "ls -A | wc -l"), "0\n", "something was copied");
            // A container's root makes files as the host's user 1000.
            shell_in(&merged, "touch new; chown 1000:1000 new; chown 1002 e");
            drop(store.unmount(&c, Extent::One).unwrap());
            assert_eq!(
                shell_output(&store.home.join("c/diff"), "stat -c '%n %u' . e new"),
                ". 1000\ne 1002\nnew 1000\n"
            );
            assert_eq!(shell_output(&store.home.join("b/diff"), "stat -c %u e"), "1\n");
            let again = store.mount(&c, &through(&maps("0:1000:10"))).unwrap();
            assert_eq!(shell_output(&again, "stat -c '%n %u' . d e new"), ". 1000\nd 1000\ne 1002\nnew 1000\n");
            drop(store.unmount(&c, Extent::One).unwrap());
            let read_only = MountOptions { read_only: true, ..through(&maps("0:1000:10")) };
            let again = store.mount(&c, &read_only).unwrap();
            assert_eq!(shell_output(&again, "stat -c '%n %u' . d e new"), ". 1000\nd 1000\ne 1002\nnew 1000\n");
            drop(store.unmount(&c, Extent::One).unwrap());
        });
    }
}

#[test]
fn a_base_layer_and_one_of_an_additional_store_are_mounted_with_mapped_owners() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("add")).unwrap();
    with_store_in(&dir.path().join("add"), Features::of_kernel(), "", |store| {
        store.make(&["a"], "echo one >f; chown 5 f");
    });
    let given = Request { additional_homes: vec![dir.path().join("add/overlay")], ..request(dir.path(), "") };
    let mount = "mount --bind add add; mount -o remount,bind,ro add";
    with_request(dir.path(), Features::of_kernel(), given, mount, |store| {
        let a = LayerRef { id: id("a"), home: Home::Additional(0), ancestors: Vec::new() };
        let mut c = LayerRef::own(id("c"), [id("a")]);
        c.ancestors[0].home = a.home;
        make(store, &c, &Maps::NONE, &Maps::NONE).unwrap();
        let own = store.make(&["o"], "");
        for (layer, seen) in [(&a, "1000\n1005\n"), (&c, "1000\n1005\n"), (&own, "1000\n")] {
            let merged = store.mount(layer, &through(&maps("0:1000:10"))).unwrap();
            assert_eq!(shell_output(&merged, "stat -c %u . *f* 2>/dev/null || true"), seen);
            drop(store.unmount(layer, Extent::One).unwrap());
        }
    });
}

#[test]
fn maps_are_refused_where_they_were_found_not_to_work() {
    let dir = tempfile::tempdir().unwrap();
    let remembered = "mkdir run; touch run/idmapped-lower-dir-false";
    with_request(dir.path(), Features::of_kernel(), request(dir.path(), ""), remembered, |store| {
        let a = store.make(&["a"], "");
        assert!(!store.driver.capabilities().has(Capability::IdMappedMounts));
        assert_eq!(kind(store.mount(&a, &through(&maps("0:1000:10")))), Some(Kind::NotSupported));
        // Maps of everything to itself change nothing.
        store.mount(&a, &through(&maps("0:0:4294967295"))).unwrap();
        drop(store.unmount(&a, Extent::One).unwrap());
    });
}
