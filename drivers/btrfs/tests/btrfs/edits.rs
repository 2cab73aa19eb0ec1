//! Random edits: what the kernel's stream leads to is what a walk over both trees finds.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use rustix::fs::{CWD, FileType, Mode, RenameFlags, XattrFlags};
use storage_core::driver::{Driver, Home, LayerRef, Start};
use storage_core::{Result, Task};
use storage_driver_btrfs::Ways;

use crate::harness::{Store, chain, fd_path, with_store};

/// How many sequences are tried in all, as a rule and when all is asked for.
const SEQUENCES: (u32, u32) = (1000, 4000);
/// How many try them at once, each on a disk of its own: a commit waits more than it works.
const AT_ONCE: u32 = 4;

#[derive(Clone, Copy, Debug)]
enum Deed {
    Create,
    MakeDirectory,
    Overwrite,
    Append,
    Truncate,
    PunchAndExtend,
    Rename,
    MoveDirectory,
    Exchange,
    Link,
    Unlink,
    RemoveTree,
    Mode,
    Owner,
    SetXattr,
    RemoveXattr,
    Symlink,
    Device,
    Fifo,
    Time,
}

/// A deed, and numbers that choose among what is there when it is done.
#[derive(Clone, Copy, Debug)]
struct Edit {
    deed: Deed,
    which: u16,
    whither: u16,
    value: u16,
}

fn edit() -> impl Strategy<Value = Edit> {
    use Deed::*;
    let deeds = [
        Create,
        Create,
        Create,
        MakeDirectory,
        MakeDirectory,
        Overwrite,
        Append,
        Truncate,
        PunchAndExtend,
        Rename,
        Rename,
        MoveDirectory,
        MoveDirectory,
        Exchange,
        Link,
        Link,
        Unlink,
        RemoveTree,
        Mode,
        Owner,
        SetXattr,
        RemoveXattr,
        Symlink,
        Device,
        Fifo,
        Time,
    ];
    let deed = prop::sample::select(deeds.to_vec());
    (deed, any::<u16>(), any::<u16>(), any::<u16>()).prop_map(|(deed, which, whither, value)| Edit {
        deed,
        which,
        whither,
        value,
    })
}

/// What is in a tree, in the order of paths.
fn entries(root: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut all, mut directories) = (Vec::new(), vec![root.to_path_buf()]);
    let mut next = 0;
    while let Some(directory) = directories.get(next).cloned() {
        next += 1;
        let mut names: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        for path in names {
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                directories.push(path.clone());
            }
            all.push(path);
        }
    }
    (all, directories)
}

fn pick(among: &[PathBuf], number: u16) -> Option<&PathBuf> {
    among.get(usize::from(number) % among.len().max(1))
}

/// Does an edit. One that can't be done there is left out.
fn apply(root: &Path, edit: Edit, clock: &mut u64) {
    let (all, directories) = entries(root);
    let of = |wanted: fn(&fs::Metadata) -> bool| -> Vec<PathBuf> {
        all.iter().filter(|path| wanted(&fs::symlink_metadata(path).unwrap())).cloned().collect()
    };
    let name = ["a", "b", "c", "d e", "\u{e4}\u{f6}", "a-much-longer-name"][usize::from(edit.value) % 6];
    let Some(place) = pick(&directories, edit.whither).map(|directory| directory.join(name)) else { return };
    let done = perform(edit, &all, &place, &of);
    // Every time is another one, so that a walk sees each edit of a file.
    if let Some(path) = done.filter(|path| fs::symlink_metadata(path).is_ok_and(|found| found.is_file())) {
        set_time(&path, clock);
    }
}

fn set_time(path: &Path, clock: &mut u64) {
    *clock += 1;
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000 + *clock, 7);
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// Does the deed; the file whose content is another one then.
fn perform(
    edit: Edit,
    all: &[PathBuf],
    place: &Path,
    of: &dyn Fn(fn(&fs::Metadata) -> bool) -> Vec<PathBuf>,
) -> Option<PathBuf> {
    let files = of(fs::Metadata::is_file);
    let any = pick(all, edit.which);
    let file = pick(&files, edit.which);
    let bytes = vec![b'0' + (edit.value % 10) as u8; usize::from(edit.value) % 9000];
    match edit.deed {
        Deed::Create => {
            File::create_new(place).and_then(|file| file.write_all_at(&bytes, 0)).ok()?;
            return Some(place.to_path_buf());
        }
        Deed::MakeDirectory => drop(fs::create_dir(place)),
        Deed::Overwrite => {
            File::options().write(true).open(file?).unwrap().write_all_at(&bytes, 0).unwrap();
            return file.cloned();
        }
        Deed::Append => {
            let end = fs::metadata(file?).unwrap().len();
            File::options().write(true).open(file?).unwrap().write_all_at(b"more", end).unwrap();
            return file.cloned();
        }
        Deed::Truncate => {
            File::options().write(true).open(file?).unwrap().set_len(u64::from(edit.value)).unwrap();
            return file.cloned();
        }
        Deed::PunchAndExtend => {
            let at = u64::from(edit.value) % 64 * 4096;
            File::options().write(true).open(file?).unwrap().write_all_at(b"far", at).unwrap();
            return file.cloned();
        }
        Deed::Rename => drop(fs::rename(any?, place)),
        Deed::MoveDirectory => drop(fs::rename(pick(&of(fs::Metadata::is_dir), edit.which)?, place)),
        Deed::Exchange => {
            let _ = rustix::fs::renameat_with(CWD, any?, CWD, pick(all, edit.whither)?, RenameFlags::EXCHANGE);
        }
        Deed::Link => drop(fs::hard_link(pick(&of(|found| !found.is_dir()), edit.which)?, place)),
        Deed::Unlink => drop(fs::remove_file(any?)),
        Deed::RemoveTree => drop(fs::remove_dir_all(pick(&of(fs::Metadata::is_dir), edit.which)?)),
        Deed::Mode if !fs::symlink_metadata(any?).unwrap().is_symlink() => {
            let mode = 0o600 + u32::from(edit.value) % 0o200;
            fs::set_permissions(any?, fs::Permissions::from_mode(mode)).unwrap();
        }
        Deed::Owner => {
            let id = Some(u32::from(edit.value) % 3);
            std::os::unix::fs::lchown(any?, id, id).unwrap();
        }
        Deed::SetXattr => {
            let key = ["user.one", "user.two"][usize::from(edit.whither) % 2];
            rustix::fs::setxattr(file?, key, &bytes[..bytes.len().min(300)], XattrFlags::empty()).unwrap();
        }
        Deed::RemoveXattr => {
            let key = ["user.one", "user.two"][usize::from(edit.whither) % 2];
            let _ = rustix::fs::removexattr(file?, key);
        }
        Deed::Symlink => drop(symlink(format!("to/{}", edit.value), place)),
        Deed::Device => make_node(place, FileType::CharacterDevice, rustix::fs::makedev(1, u32::from(edit.value) % 9)),
        Deed::Fifo => make_node(place, FileType::Fifo, 0),
        Deed::Time => return file.cloned(),
        Deed::Mode => {}
    }
    None
}

fn make_node(place: &Path, kind: FileType, device: u64) {
    let _ = rustix::fs::mknodat(CWD, place, kind, Mode::from_raw_mode(0o644), device);
}

/// A layer on `parent` with these edits.
fn grow(store: &mut Store, names: &[&str], edits: &[Edit], clock: &mut u64) -> Result<LayerRef> {
    let layer = chain(names);
    let staged = store.stage(Start::OnParent(layer.parent_ref()), "")?;
    let root = staged.root()?;
    for edit in edits {
        apply(&fd_path(&root).join("."), *edit, clock);
    }
    store.commit(staged, names[0])?;
    Ok(layer)
}

fn archive(store: &mut Store, layer: &LayerRef, base: &LayerRef) -> (Vec<u8>, u64) {
    let task = Task::new("compare");
    let compared = store.compare(layer, Some(base));
    let mut archive = Vec::new();
    compared.pack(&mut archive, &mut || compared.check(), &task).unwrap();
    (archive, compared.size(&task).unwrap())
}

fn same_every_way(store: &mut Store, layer: &LayerRef, base: &LayerRef) -> std::result::Result<usize, TestCaseError> {
    let best = Ways::of_process();
    let task = Task::new("send");
    let sent = store.shared(|driver, held| driver.changes_by_send(held, layer, base, &task));
    let sent: Vec<String> = sent.unwrap().iter().map(ToString::to_string).collect();
    let by_send = archive(store, layer, base);
    store.reopen(Ways { send: false, snapshots: false, ..best });
    let walked = store.changes(layer, Some(base));
    let by_walk = archive(store, layer, base);
    store.reopen(best);
    prop_assert_eq!(&sent, &walked, "the stream and a walk differ");
    prop_assert!(by_send == by_walk, "the archives or their sizes differ");
    Ok(sent.len())
}

#[test]
fn the_stream_leads_to_what_a_walk_finds() {
    let all = std::env::var_os("LAMINA_TEST_FULL").is_some();
    let cases = (if all { SEQUENCES.1 } else { SEQUENCES.0 }) / AT_ONCE;
    std::thread::scope(|scope| {
        let trying: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(move || try_sequences(cases))).collect();
        for one in trying {
            one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

fn try_sequences(cases: u32) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let sequences = (prop::collection::vec(edit(), 0..60), prop::collection::vec(edit(), 1..40));
    with_store(Ways::of_process(), |store| {
        let store = parking_lot::Mutex::new(store);
        let told = std::sync::atomic::AtomicUsize::new(0);
        let tried = TestRunner::new(config).run(&sequences, |(first, second)| {
            let mut store = store.lock();
            let mut clock = 0;
            let a = grow(&mut store, &["a"], &first, &mut clock).unwrap();
            let b = grow(&mut store, &["b", "a"], &second, &mut clock).unwrap();
            let found = same_every_way(&mut store, &b, &a).and_then(|count| {
                told.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
                // The other way round, what was made is removed.
                same_every_way(&mut store, &a, &b)
            });
            for layer in [b, a] {
                let trash = store.exclusive(|driver, held| driver.remove(held, &layer.id, Home::Own)).unwrap();
                trash.reclaim(&Task::new("reclaim")).unwrap();
            }
            found.map(drop)
        });
        let told = told.into_inner();
        if let Err(failure) = tried {
            panic!("{failure}");
        }
        assert!(told > cases as usize * 3, "the edits do something");
        let store = store.into_inner();
        assert_eq!((store.leftovers(), store.subvolumes()), (0, 0));
    });
}
