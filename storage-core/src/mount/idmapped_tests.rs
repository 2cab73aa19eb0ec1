use super::*;
use crate::idmap::parse_map;
use crate::mount::{Upper, in_private_namespace, mounts_here};
use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::process::Command;

/// Runs `test` on a filesystem of its own, in a mount namespace that ends with it.
fn on_disk(kind: &str, test: impl Fn(&Path) + Sync) {
    let dir = tempfile::tempdir().expect("dir");
    let (image, disk) = (dir.path().join("disk.img"), dir.path().join("disk"));
    std::fs::File::create(&image).and_then(|file| file.set_len(400 << 20)).expect("image");
    std::fs::create_dir(&disk).expect("mkdir");
    let run = |command: &mut Command| {
        let output = command.output().expect("run");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image));
    let done = in_private_namespace(|| {
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&disk));
        test(&disk);
        rustix::mount::unmount(&disk, rustix::mount::UnmountFlags::empty()).os("umount", &disk)
    });
    done.expect("the filesystem is in use after the test");
}

fn namespace() -> Namespace {
    let map = parse_map("0:100000:65536").expect("map");
    Namespace::of(&Maps { uids: map.clone(), gids: map }).expect("namespace")
}

/// Two layers of a home like the overlay driver's, with files of several owners, a link to each, and a place to mount at.
fn home(disk: &Path) -> PathBuf {
    let home = disk.join("home");
    for dir in ["one/diff", "two/diff", "own/diff", "own/work", "l", "merged"] {
        std::fs::create_dir_all(home.join(dir)).expect("mkdir");
    }
    for layer in ["one", "two"] {
        let file = home.join(layer).join("diff").join(layer);
        std::fs::write(&file, layer).expect("write");
        lchown(&file, Some(7), Some(8)).expect("chown");
        symlink(format!("../{layer}/diff"), home.join("l").join(layer)).expect("symlink");
    }
    lchown(home.join("own/diff"), Some(100_000), Some(100_000)).expect("chown");
    home
}

fn lower(home: &Path, path: &str) -> Source {
    let mapped = Mapped { namespace: namespace(), root: home.to_path_buf() };
    Source { mapped: Some(mapped), ..Source::at(home.join(path)) }
}

fn overlay(home: &Path) -> Overlay {
    let source = |name: &str| Source::at(home.join(name));
    Overlay {
        lowers: vec![lower(home, "l/one"), lower(home, "l/two")],
        upper: Some(Upper { dir: source("own/diff"), work: source("own/work") }),
        options: MountFlags::parse([]),
    }
}

fn owner_of(path: &Path) -> (u32, u32) {
    let stat = std::fs::symlink_metadata(path).expect("lstat");
    (stat.uid(), stat.gid())
}

/// A kernel that has everything, and one whose overlay takes no layers from mounts without a path.
const WAYS: [Features; 2] = [Features::of_kernel(), Features::given(true, false)];

#[test]
fn a_clone_shows_mapped_owners_and_leaves_disk_and_mount_table_alone() {
    for kind in ["ext4", "xfs"] {
        on_disk(kind, |disk| {
            let home = home(disk);
            let before = mounts_here().expect("mountinfo");
            check_idmapped_clones(&home).expect("id-mapped clones");
            let path = home.join("one/diff");
            let root = idmapped_clone(&path, FileId::of_path(&path).expect("stat"), &namespace()).expect("clone");
            let stat = rustix::fs::statat(&root, "one", rustix::fs::AtFlags::SYMLINK_NOFOLLOW).expect("stat");
            assert_eq!((stat.st_uid, stat.st_gid), (100_007, 100_008), "on {kind}");
            assert_eq!(owner_of(&path.join("one")), (7, 8), "the disk changed");
            let create = OFlags::CREATE | OFlags::WRONLY;
            let written = rustix::fs::openat(&root, "new", create, Mode::RWXU);
            assert_eq!(written.err(), Some(rustix::io::Errno::ROFS));
            assert_eq!(mounts_here().expect("mountinfo"), before);
            let other = idmapped_clone(&path, Some(FileId { dev: 0, ino: 0 }), &namespace());
            assert_eq!(other.map(drop).map_err(|error| error.kind()), Err(Kind::Changed));
        });
    }
}

#[test]
fn an_overlay_shows_mapped_lowers_and_its_upper_as_it_is() {
    for (kind, features) in ["ext4", "xfs"].into_iter().flat_map(|kind| WAYS.map(|way| (kind, way))) {
        on_disk(kind, |disk| {
            let (home, before) = (home(disk), mounts_here().expect("mountinfo"));
            check_idmapped_lowers(&home.join("one"), &home.join("two"), features).expect("id-mapped lowers");
            let merged = home.join("merged");
            overlay(&home).attach(&merged, &home, features).expect("attach");
            assert_eq!(owner_of(&merged), (100_000, 100_000), "{features:?} on {kind}");
            assert_eq!(owner_of(&merged.join("one")), (100_007, 100_008));
            assert_eq!(owner_of(&merged.join("two")), (100_007, 100_008));
            let added: Vec<_> = mounts_here().expect("mountinfo").into_iter().filter(|m| !before.contains(m)).collect();
            assert_eq!(added.iter().map(|m| &m.mount_point).collect::<Vec<_>>(), [&merged]);
            // A copy up keeps the owner that was seen, which is the host's.
            std::fs::write(merged.join("one"), "changed").expect("write");
            assert_eq!(owner_of(&home.join("own/diff/one")), (100_007, 100_008));
            assert_eq!(std::fs::read(home.join("one/diff/one")).expect("read"), b"one");
            std::fs::remove_file(merged.join("two")).expect("delete");
            rustix::mount::unmount(&merged, rustix::mount::UnmountFlags::empty()).expect("umount");
            assert_eq!(mounts_here().expect("mountinfo"), before, "something stayed mounted");
        });
    }
}

#[test]
fn an_id_outside_the_maps_is_seen_as_nobodys_and_never_copied_up() {
    on_disk("ext4", |disk| {
        let home = home(disk);
        lchown(home.join("one/diff/one"), Some(70_000), Some(0)).expect("chown");
        let merged = home.join("merged");
        overlay(&home).attach(&merged, &home, Features::of_kernel()).expect("attach");
        assert_eq!(owner_of(&merged.join("one")), (65_534, 100_000));
        assert!(std::fs::write(merged.join("one"), "changed").is_err());
        assert!(lchown(merged.join("one"), Some(100_001), None).is_err());
        assert!(!home.join("own/diff/one").exists(), "it was copied up with an owner that it doesn't have");
        rustix::mount::unmount(&merged, rustix::mount::UnmountFlags::empty()).expect("umount");
    });
}

#[test]
fn a_view_of_mapped_lowers_is_read_only_and_has_no_path() {
    for features in WAYS {
        on_disk("ext4", |disk| {
            let (home, before) = (home(disk), mounts_here().expect("mountinfo"));
            let view = Overlay { upper: None, ..overlay(&home) }.view(features).expect("view");
            let stat = rustix::fs::statat(&view, "two", rustix::fs::AtFlags::SYMLINK_NOFOLLOW).expect("stat");
            assert_eq!((stat.st_uid, stat.st_gid), (100_007, 100_008), "{features:?}");
            assert_eq!(mounts_here().expect("mountinfo"), before);
        });
    }
}

#[test]
fn a_lower_that_is_not_in_its_clone_is_refused() {
    for features in WAYS {
        on_disk("ext4", |disk| {
            let home = home(disk);
            let kind = |lowers: Vec<Source>| {
                let overlay = Overlay { lowers, upper: None, ..overlay(&home) };
                overlay.view(features).map(drop).map_err(|error| error.kind())
            };
            std::fs::create_dir(disk.join("outside")).expect("mkdir");
            symlink(disk.join("outside"), home.join("l/out")).expect("symlink");
            assert_eq!(kind(vec![lower(&home, "l/one"), lower(&home, "l/out")]), Err(Kind::Escape), "{features:?}");
            let outside = Source { path: disk.join("outside"), ..lower(&home, "l/one") };
            assert_eq!(kind(vec![outside, lower(&home, "l/one")]), Err(Kind::Usage));
            let another = Source { id: Some(FileId { dev: 0, ino: 0 }), ..lower(&home, "l/one") };
            assert_eq!(kind(vec![another, lower(&home, "l/two")]), Err(Kind::Changed));
        });
    }
}

#[test]
fn what_takes_no_id_maps_is_told_as_not_supported() {
    let error = check_idmapped_clones(Path::new("/proc")).expect_err("procfs");
    assert_eq!(error.kind(), Kind::NotSupported);
    assert!(error.to_string().contains("takes no id-mapped mounts"), "{error}");
    let lowers = check_idmapped_lowers(Path::new("/proc/sys"), Path::new("/proc/bus"), Features::of_kernel());
    assert_eq!(lowers.map_err(|error| error.kind()), Err(Kind::NotSupported));
    let off = check_switch(Some(OsStr::new("yes"))).expect_err("switched off");
    assert_eq!(off.kind(), Kind::NotSupported);
    assert!(check_switch(Some(OsStr::new("no"))).is_ok() && check_switch(None).is_ok());
}
