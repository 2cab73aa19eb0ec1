//! Layers whose owners are kept under maps.

use storage_core::driver::{Driver, LayerRef, MountOptions, OwnerMaps, Plan, Refusals, Start};
use storage_core::idmap::{Maps, Namespace, parse_map};
use storage_core::{Kind, Task};
use storage_driver_btrfs::Ways;

use crate::harness::{Store, chain, kind, request, shell, with_disk, with_store};

fn maps(text: &str) -> Maps {
    Maps::new(parse_map(text).unwrap(), Vec::new()).unwrap()
}

fn make(store: &mut Store, layer: &LayerRef, maps: &Maps, parent_maps: &Maps) -> storage_core::Result<()> {
    let start = Start::OnParent(layer.parent_ref());
    let plan = Plan { maps: maps.clone(), parent_maps: parent_maps.clone(), ..Plan::new(start) };
    let mut staged = store.shared(|driver, held| driver.begin(held, &plan))?;
    staged.fill(&Task::new("fill"))?;
    store.commit(staged, layer.id.as_str())
}

#[test]
fn a_copy_has_the_owners_that_its_maps_ask_for() {
    with_store(Ways::of_process(), |store| {
        let (one, other) = (maps("0:1000:100"), maps("0:5000:50,50:7000:50"));
        let a = chain(&["a"]);
        make(store, &a, &one, &Maps::NONE).unwrap();
        let home = store.home.join("subvolumes");
        assert_eq!(shell(&home, "stat -c '%a %u:%g' a"), "555 1000:1000\n");
        shell(
            &home.join("a"),
            "mkdir d; echo x >d/f; chmod 4755 d/f; chown 1000:1000 d; chown 1001:1060 d/f; chmod u+s d/f",
        );
        let b = chain(&["b", "a"]);
        make(store, &b, &other, &one).unwrap();
        assert_eq!(
            shell(&home.join("b"), "stat -c '%n %a %u:%g' . d d/f"),
            ". 555 5000:5000\nd 755 5000:5000\nd/f 4755 5001:7010\n"
        );
        let owners = OwnerMaps { layer: other.clone(), base: one.clone(), ..OwnerMaps::default() };
        let count = |store: &mut Store, owners: &OwnerMaps| {
            let compared = store.shared(|driver, held| driver.compare(held, &b, Some(&a), owners)).unwrap();
            let mut count = 0;
            let each = &mut |_| {
                count += 1;
                Ok(())
            };
            compared.changes(&Task::new("compare"), each).unwrap();
            count
        };
        assert_eq!((count(store, &owners), count(store, &OwnerMaps::default())), (0, 2));
        let narrow = make(store, &chain(&["c", "a"]), &maps("0:5000:5"), &one);
        assert_eq!(kind(narrow), Some(Kind::InvalidMappings));
        assert!(!home.join("c").exists() && store.leftovers() == 0);
    });
}

#[test]
fn the_option_for_refused_owners_reaches_the_extraction() {
    with_disk("1G", |place| {
        for (value, refusals) in [("true", Refusals::Ignored), ("false", Refusals::Fail)] {
            let given = request(place, &[("ignore_chown_errors", value)]);
            let mut store = Store::with_request(&given, Ways::of_process());
            let staged = store.shared(|driver, held| driver.begin(held, &Plan::new(Start::OnParent(None)))).unwrap();
            assert_eq!(staged.refusals(), refusals);
            assert!(staged.maps().is_empty());
        }
    });
}

#[test]
fn a_directory_is_not_shown_with_other_owners() {
    with_store(Ways::of_process(), |store| {
        let a = store.make(&["a"], "");
        let options =
            MountOptions { namespace: Some(Namespace::of(&maps("0:1000:10")).unwrap()), ..MountOptions::default() };
        let refused = store.locks.mounting(&mut store.key, |held| store.driver.mount(held, &a, &options)).unwrap();
        assert_eq!(kind(refused), Some(Kind::NotSupported));
    });
}
