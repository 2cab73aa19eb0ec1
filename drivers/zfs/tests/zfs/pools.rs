//! Pools that can't be written to, and places that are none.

use storage_core::Kind;
use storage_core::driver::{Driver, Home, Start};
use storage_core::mount::Features;
use storage_driver_zfs::{DESCRIPTOR, Zfs};

use crate::harness::{Store, chain, id, kind, request, shell, task, try_shell};

/// A pool of its own on a file, which goes when this does.
struct Pool(String);

impl Pool {
    fn new(name: &str) -> Self {
        let name = format!("lamina-{name}-{}", std::process::id());
        shell("/", &format!("truncate -s 64M /tmp/{name}.img; zpool create -m /{name} {name} /tmp/{name}.img"));
        Pool(name)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = try_shell("/", &format!("zpool destroy -f {0}; rm -f /tmp/{0}.img", self.0));
    }
}

#[test]
fn on_a_full_pool_errors_are_clear_nothing_is_lost_and_layers_can_be_removed() {
    let pool = Pool::new("full");
    let mut store = Store::at(&pool.0, Features::of_kernel(), &[]);
    let a = store.make(&["a"], "echo one >f");
    store.make(&["b", "a"], "dd if=/dev/zero of=big bs=1M count=16 status=none");
    let (full, _, _) = try_shell(format!("/{}", pool.0), "dd if=/dev/zero of=fill bs=128k status=none; sync");
    assert!(!full, "the pool can't be filled");
    shell(
        format!("/{}", pool.0),
        "for i in $(seq 20); do head -c 4000 /dev/zero >fill.$i || break; done 2>/dev/null; sync",
    );
    let refused =
        store.stage(Start::OnParent(Some(a.clone())), "head -c 2000000 /dev/zero >x 2>/dev/null || exit 0; exit 1");
    match refused {
        Ok(staged) => drop(staged),
        Err(error) => assert_eq!(error.kind(), Kind::NoSpace, "{error}"),
    }
    assert_eq!(store.list(), ["a", "b"]);
    assert_eq!(store.read(&a, "cat f"), "one\n");
    let trash = store.exclusive(|driver, held| driver.remove(held, &id("b"), Home::Own)).unwrap();
    trash.reclaim(&task()).unwrap();
    assert_eq!(store.list(), ["a"]);
    store.sweep();
    assert_eq!(shell("/", &format!("zfs list -H -r -o name {0} | grep -c lamina: || true", pool.0)), "0\n");
}

#[test]
fn a_pool_that_is_read_only_can_be_read_and_says_so_when_it_is_written_to() {
    let pool = Pool::new("ro");
    let (a, b) = {
        let mut store = Store::at(&pool.0, Features::of_kernel(), &[]);
        (store.make(&["a"], "echo one >f"), store.make(&["b", "a"], "echo two >g"))
    };
    // The locks of the store stand elsewhere: there they can be written to.
    let elsewhere = Store::new();
    shell("/", &format!("zpool export {0}; zpool import -d /tmp -o readonly=on {0}", pool.0));
    let mut store = Store { driver: Zfs::open(&request(&pool.0, &[])).unwrap(), ..elsewhere };
    assert_eq!(store.read(&b, "cat f g"), "one\ntwo\n");
    let mut changes = Vec::new();
    let compared = store.compare(&b, Some(&a)).unwrap();
    compared
        .changes(&task(), &mut |change| {
            changes.push(change.to_string());
            Ok(())
        })
        .unwrap();
    assert_eq!(changes, ["A /g"]);
    assert_eq!(kind(store.stage(Start::OnParent(Some(a.clone())), "")), Some(Kind::ReadOnlyStore));
    let refused = store.exclusive(|driver, held| driver.remove(held, &b.id, Home::Own));
    assert_eq!(kind(refused), Some(Kind::ReadOnlyStore));
    assert_eq!(store.list(), ["a", "b"]);
}

#[test]
fn a_place_that_is_not_on_zfs_is_said_to_be_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut asked = request("x", &[]);
    asked.home = dir.path().join("zfs");
    let survey = (DESCRIPTOR.survey)(&asked);
    assert!(!survey.usable && survey.reason.contains("not on zfs"), "{}", survey.reason);
    assert_eq!(kind(Zfs::open(&asked)), Some(Kind::DriverUnusable));
    assert!(!asked.home.exists(), "a refusal leaves nothing");
    asked.options = vec![("fsname".into(), "nowhere/at-all".into())];
    let survey = (DESCRIPTOR.survey)(&asked);
    assert!(!survey.usable && survey.reason.contains("nowhere/at-all"), "{}", survey.reason);
    asked.image_home = Some("/elsewhere/zfs".into());
    assert_eq!(kind(Zfs::open(&asked)), Some(Kind::DriverUnusable));
}

#[test]
fn a_named_dataset_serves_a_home_on_any_filesystem() {
    let mut store = Store::new();
    let dir = tempfile::tempdir().unwrap();
    let mut asked = request("x", &[("fsname", &store.root)]);
    asked.home = dir.path().join("zfs");
    let survey = (DESCRIPTOR.survey)(&asked);
    assert!(survey.usable && survey.reason.contains(&store.root), "{}", survey.reason);
    store.driver = Zfs::open(&asked).unwrap();
    let a = store.make(&["a"], "echo one >f");
    assert_eq!(store.read(&a, "cat f"), "one\n");
    let pairs = store.driver.status();
    let value = |key: &str| pairs.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone());
    assert_eq!(value("Parent Dataset"), Some(store.root.clone()));
    assert_eq!((value("Zpool Health").as_deref(), value("Parent Quota").as_deref()), (Some("ONLINE"), Some("none")));
}

#[test]
fn a_layer_made_by_another_process_is_seen_at_once() {
    let mut store = Store::new();
    store.make(&["a"], "");
    assert_eq!(store.list(), ["a"]);
    for name in ["b", "c"] {
        shell("/", &format!("zfs create -o mountpoint=legacy {} {}/{name}", store.owned(), store.root));
        assert!(store.shared(|driver, held| driver.exists(held, &id(name), Home::Own)).unwrap(), "{name} is not seen");
    }
    shell("/", &format!("zfs destroy {0}/b; zfs rename {0}/c {0}/d", store.root));
    assert_eq!(store.list(), ["a", "d"]);
    assert_eq!(kind(store.view(&chain(&["c"]))), Some(Kind::NotFound));
}
