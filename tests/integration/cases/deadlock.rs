//! Nobody waits for ever: stores that use each other, a writer beside endless readers, and readers of another implementation
//! that lock the same files in another way.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use integration::case::{Case, case};
use integration::store::{Store, end, finish, id};
use integration::{Outcome, Scratch, archive, invariants, lock};
use storage_core::Task;
use storage_core::driver::Registry;
use storage_core::locks::ThreadKey;
use storage_core::store::{NewLayer, StoreOptions};

use crate::diff_while_mounted::within;

pub(crate) const CASES: &[Case] = &[
    case("deadlock::additional_stores_in_opposite_orders::overlay", 120, |s| opposite(s, "overlay")),
    case("deadlock::additional_stores_in_opposite_orders::vfs", 120, |s| opposite(s, "vfs")),
    case("deadlock::additional_stores_in_opposite_orders::btrfs", 120, |s| opposite(s, "btrfs")),
    case("deadlock::a_writer_beside_endless_readers::overlay", 120, |s| endless(s, "overlay")),
    case("deadlock::a_writer_beside_endless_readers::vfs", 120, |s| endless(s, "vfs")),
    case("deadlock::slow_readers_by_flock::overlay", 120, |s| by_flock(s, "overlay")),
    case("deadlock::slow_readers_by_flock::vfs", 120, |s| by_flock(s, "vfs")),
    case("deadlock::slow_readers_by_flock::btrfs", 120, |s| by_flock(s, "btrfs")),
    case("deadlock::a_wait_of_a_minute_is_told::vfs", 240, |s| told(s, "vfs")),
];

/// How long one command may take that waits for nobody, on a machine that is busy with others.
const LONG: &str = "40";
const CYCLES: usize = 12;

/// Two stores, each of which has the other as an additional one, and three of which each names the others in another order.
/// Processes read there and write at home, all at once; then one store's locks are all held, and it can be read all the same.
fn opposite(scratch: &Scratch, driver: &'static str) -> Outcome {
    let archive = archive::small(scratch.path(), "small", 4, 600);
    let content = fs::read(&archive).expect("read an archive");
    let own: Vec<Store> = ["a", "b", "c"].iter().map(|name| Store::new(scratch, name, driver)).collect();
    let layers: Vec<String> = (0..own.len()).map(|number| id(format!("of store {number}"))).collect();
    for (store, layer) in own.iter().zip(&layers) {
        store.import(layer, None, &archive);
    }
    let stores: Vec<Store> = (0..own.len())
        .map(|number| {
            // The next, then the one after it: no two in one order.
            let others = [1, 2].map(|step| own[(number + step) % own.len()].root.display().to_string());
            let options = others.map(|root| format!("{driver}.imagestore={root}"));
            own[number].with(&["--storage-opt", &options[0], "--storage-opt", &options[1]])
        })
        .collect();
    let cycle = |number: usize, hand: usize| {
        let (store, next) = (&stores[number], &layers[(number + 1) % layers.len()]);
        for round in 0..CYCLES {
            let fresh = id(format!("{number} {hand} {round}"));
            within(store, &["create-layer", "-i", &fresh, &layers[number]], LONG);
            within(store, &["mount", &fresh], LONG);
            assert!(store.diff(next) == content, "a layer of another store, byte for byte");
            within(store, &["unmount", &fresh], LONG);
            within(store, &["delete-layer", &fresh], LONG);
        }
    };
    thread::scope(|scope| {
        let cycle = &cycle;
        let hands: Vec<_> = (0..6).map(|hand| scope.spawn(move || cycle(hand % 3, hand / 3))).collect();
        for hand in hands {
            hand.join().unwrap_or_else(|failure| std::panic::resume_unwind(failure));
        }
    });
    let held: Vec<File> =
        invariants::lock_files(&own[0]).iter().map(|path| lock::try_write(path).expect("nobody is at it")).collect();
    for store in &stores[1..] {
        within(store, &["diff", "-u", &layers[0]], LONG);
        within(store, &["layers"], LONG);
        within(store, &["changes", &layers[0]], LONG);
    }
    drop(held);
    for store in &own {
        invariants::assert_clean(store, "after all is done");
    }
    Ok(())
}

/// Readers that always overlap: the kernel would let them pass a waiting writer for ever.
fn endless(scratch: &Scratch, driver: &'static str) -> Outcome {
    const READERS: usize = 6;
    let store = Store::new(scratch, "store", driver);
    store.import(&id("base"), None, &archive::small(scratch.path(), "small", 3, 100));
    let options = StoreOptions {
        graph_root: store.root.clone(),
        run_root: store.run.clone(),
        driver: Some(driver.to_owned()),
        ..StoreOptions::default()
    };
    let open = |key: &mut ThreadKey| {
        let registry = Registry::linked().expect("drivers with different names");
        storage_core::store::Store::open(&options, &registry, key).expect("open the store")
    };
    let (over, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    // Each has opened the store for itself, as a process of its own would have: they share nothing but the files.
    let read = || {
        let mut key = ThreadKey::take().expect("a thread has a key of its own");
        let opened = open(&mut key);
        while !over.load(Ordering::Relaxed) {
            opened.driver_layers(&mut key).expect("read under the lock");
            reads.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
        let mut key = ThreadKey::take().expect("the thread's key");
        let opened = open(&mut key);
        for number in 0..40 {
            let new = NewLayer { names: vec![format!("written {number}")], ..NewLayer::default() };
            opened.create_layer(&mut key, &new, &Task::new("write")).expect("a writer gets its turn");
        }
        for number in 0..5 {
            within(&store, &["create-layer", "-n", &format!("by a process {number}")], LONG);
        }
        over.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().expect("a reader");
        }
    });
    println!("{driver}: 45 writes beside {} reads", reads.into_inner());
    invariants::assert_clean(&store, "after all is done");
    Ok(())
}

/// composefs-storage locks the same files by `flock`, shared, for as long as it reads a store. That excludes nobody who locks as
/// the reference does, and nobody may wait for it.
fn by_flock(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    let archive = archive::small(scratch.path(), "small", 4, 600);
    let (base, layer) = (id("base"), id("layer"));
    store.import(&base, None, &archive);
    // Every lock file is to be there.
    store.mount(&base);
    store.unmount(&base);
    store.ok(&["gc"]);
    let files = invariants::lock_files(&store);
    assert!(files.len() >= 3, "{files:?}");
    let slow: Vec<_> = files.iter().map(|path| hold_by_flock(path)).collect();
    let file = archive.to_str().expect("a printable path");
    for verb in [
        vec!["import-layer", "-i", &layer, "-f", file, &base],
        vec!["mount", &layer],
        vec!["diff", "-u", &layer],
        vec!["changes", &layer],
        vec!["unmount", &layer],
        vec!["add-names", "-n", "name", &layer],
        vec!["delete-layer", &layer],
        vec!["check"],
        vec!["gc"],
        vec!["shutdown"],
    ] {
        within(&store, &verb, LONG);
    }
    for mut reader in slow {
        assert!(reader.try_wait().expect("look at a reader").is_none(), "the reader held on all the time");
        drop(reader.stdin.take());
        assert!(finish(reader).0.success());
    }
    invariants::assert_clean(&store, "after all is done");
    // Nor does it keep anybody out of the files that it doesn't know.
    for path in invariants::lock_files(&store) {
        let mut command = Command::new("flock");
        command.arg("-sn").arg(&path).arg("true");
        assert!(end(command).output.status.success(), "{} is still locked by flock", path.display());
    }
    Ok(())
}

/// A process that holds a file by `flock -s` until its standard input ends.
fn hold_by_flock(path: &Path) -> std::process::Child {
    let mut command = Command::new("flock");
    command.arg("-s").arg(path).args(["sh", "-c", "echo held; cat"]);
    let mut reader =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("run flock");
    let mut said = [0; 5];
    std::io::Read::read_exact(reader.stdout.as_mut().expect("a pipe"), &mut said).expect("the lock is taken");
    reader
}

/// Who waits for a minute is told for which lock, who holds it, and how not to wait; and goes on when it is free.
fn told(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    store.create(&id("first"), None);
    let path = store.layers_dir().join("layers.lock");
    let held = lock::try_write(&path).expect("the lock is free");
    let mut waiting = store.start(&["create-layer", "-i", &id("second")]);
    let mut said = String::new();
    let mut errors = BufReader::new(waiting.stderr.take().expect("a pipe"));
    errors.read_line(&mut said).expect("it says something");
    for word in ["still waiting for", &path.display().to_string(), &std::process::id().to_string(), "--lock-timeout"] {
        assert!(said.contains(word), "nothing of {word:?}: {said}");
    }
    assert!(waiting.try_wait().expect("look at it").is_none(), "the wait goes on");
    drop(held);
    let mut rest = String::new();
    errors.read_to_string(&mut rest).expect("read on");
    assert!(waiting.wait().expect("wait for it").success(), "{said}{rest}");
    assert_eq!(rest, "", "it is told once");
    assert!(store.ids().contains(&id("second")));
    Ok(())
}
