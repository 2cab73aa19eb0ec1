//! Limits.

use storage_core::driver::{Driver, Home, MountOptions, Plan, Start};
use storage_core::{Kind, Task};
use storage_driver_btrfs::Ways;

use crate::harness::{Store, chain, id, kind, request, shell, with_disk, with_store};

const FILL: &str = "dd if=/dev/zero of=big bs=1M count=40 conv=fsync 2>&1 || true; true";

fn limited(store: &mut Store, names: &[&str], size: &str) -> storage_core::Result<()> {
    let mut plan = Plan::new(Start::OnParent(chain(names).parent_ref()));
    plan.options = vec![("size".into(), size.into())];
    let mut staged = store.shared(|driver, held| driver.begin(held, &plan))?;
    staged.fill(&Task::new("fill"))?;
    store.commit(staged, names[0])
}

#[test]
fn a_write_beyond_the_limit_fails_in_the_layer_and_nowhere_else() {
    with_store(Ways::of_process(), |store| {
        let a = store.make(&["a"], "echo one >f");
        limited(store, &["b", "a"], "16M").unwrap();
        let (b, c) = (chain(&["b", "a"]), store.make(&["c", "a"], ""));
        assert_eq!(shell(&store.home, "cat quotas/b; stat -c ' %a' quotas/b"), "16777216 644\n");
        let refused = store.edit(&b, FILL);
        assert!(refused.contains("Disk quota exceeded"), "{refused}");
        assert_eq!(store.edit(&b, "cat f; [ $(stat -c %s big) -lt 17000000 ] && echo short"), "one\nshort\n");
        for other in [&a, &c] {
            assert!(!store.edit(other, FILL).contains("exceeded"));
        }
    });
}

#[test]
fn a_limit_goes_with_its_layer_and_comes_with_its_replacement() {
    with_store(Ways::of_process(), |store| {
        store.make(&["a"], "");
        limited(store, &["b", "a"], "16M").unwrap();
        let b = chain(&["b", "a"]);
        let mut staged = store.stage(Start::Replacing { layer: b.clone(), empty: false }, "echo x >n").unwrap();
        store.exclusive(|_, held| staged.replace(held, &b.id)).unwrap().reclaim(&Task::new("t")).unwrap();
        assert!(store.edit(&b, FILL).contains("Disk quota exceeded"), "the new content has the limit");
        // Somebody turned quotas off and on.
        shell(&store.home, "btrfs quota disable .; btrfs quota enable .");
        assert!(!store.edit(&b, FILL).contains("exceeded"), "the limit is forgotten");
        let mount = MountOptions::default();
        store.locks.mounting(&mut store.key, |held| store.driver.mount(held, &b, &mount)).unwrap().unwrap();
        assert!(store.edit(&b, "rm big; sync -f .; btrfs quota rescan -w . >&2;".to_owned().as_str()).is_empty());
        assert!(store.edit(&b, FILL).contains("Disk quota exceeded"), "a mount puts it back");
        store
            .exclusive(|driver, held| driver.remove(held, &b.id, Home::Own))
            .unwrap()
            .reclaim(&Task::new("t"))
            .unwrap();
        assert_eq!(shell(&store.home, "ls quotas"), "");
    });
}

#[test]
fn nothing_is_counted_unless_it_is_asked_for() {
    with_store(Ways::of_process(), |store| {
        store.make(&["a"], "");
        store.make(&["b", "a"], "");
        let asked = "btrfs qgroup show . >/dev/null 2>&1 && echo on || echo off; ls";
        assert_eq!(shell(&store.home, asked), "off\nsubvolumes\ntempdirs\n");
        limited(store, &["c", "a"], "16M").unwrap();
        assert!(store.home.join("quotas/c").exists());
    });
}

#[test]
fn limits_come_from_the_options_too_and_are_never_too_small() {
    with_disk("1G", |place| {
        let mut store =
            Store::with_request(&request(place, &[("min_space", "8M"), ("size", "16M")]), Ways::of_process());
        store.make(&["a"], "");
        assert_eq!(shell(&store.home, "cat quotas/a"), "16777216");
        assert_eq!(kind(limited(&mut store, &["b", "a"], "1M")), Some(Kind::Usage));
        assert!(!store.shared(|driver, held| driver.exists(held, &id("b"), Home::Own)).unwrap());
        let mut plan = Plan::new(Start::OnParent(None));
        plan.writable = false;
        let mut staged = store.shared(|driver, held| driver.begin(held, &plan)).unwrap();
        staged.fill(&Task::new("fill")).unwrap();
        store.commit(staged, "image").unwrap();
        assert!(!store.home.join("quotas/image").exists(), "an image's layer has no limit");
        assert_eq!(store.leftovers(), 0);
    });
}
