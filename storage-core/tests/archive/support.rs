//! Scratch trees, GNU tar, and pictures of trees that can be compared.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use storage_core::archive::tar::{Entry, EntryKind, Time};
use storage_core::archive::write::TarWriter;
use storage_core::archive::{Ingest, Ingested, Replayed, Whiteouts, ingest, replay};
use storage_core::fs::beneath::{self, Links};
use storage_core::{Kind, Result, Task};

pub(crate) const OVERLAY: Whiteouts = Whiteouts::Overlay { user_xattr: false };

/// All that is kept of an entry; equal pictures mean equal trees.
pub(crate) type Picture = BTreeMap<PathBuf, String>;

/// The picture of what is below `root`.
pub(crate) fn picture(root: &Path) -> Picture {
    let mut picture = Picture::new();
    let mut links = BTreeMap::new();
    visit(root, Path::new(""), &mut picture, &mut links);
    picture
}

fn visit(root: &Path, at: &Path, picture: &mut Picture, links: &mut BTreeMap<(u64, u64), PathBuf>) {
    let mut names: Vec<_> = std::fs::read_dir(root.join(at)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let path = at.join(&name);
        let full = root.join(&path);
        let meta = std::fs::symlink_metadata(&full).unwrap();
        let mut text = format!("{:o} {}:{} ", meta.mode(), meta.uid(), meta.gid());
        let kind = meta.file_type();
        write!(text, "{}.{:09} ", meta.mtime(), meta.mtime_nsec()).unwrap();
        if kind.is_symlink() {
            write!(text, "-> {} ", std::fs::read_link(&full).unwrap().display()).unwrap();
        } else if kind.is_file() {
            let content = std::fs::read(&full).unwrap();
            write!(text, "{} bytes {:?} ", content.len(), short(&content)).unwrap();
        } else if kind.is_char_device() || kind.is_block_device() {
            write!(text, "device {} ", meta.rdev()).unwrap();
        }
        if !kind.is_dir() && meta.nlink() > 1 {
            let first = links.entry((meta.dev(), meta.ino())).or_insert_with(|| path.clone());
            write!(text, "linked to {} ", first.display()).unwrap();
        }
        let dir = File::open(full.parent().unwrap()).unwrap();
        for key in storage_core::fs::xattr::list(dir.as_fd(), &name).unwrap() {
            let value = storage_core::fs::xattr::get(dir.as_fd(), &name, &key).unwrap();
            write!(text, "{key:?}={value:?} ").unwrap();
        }
        picture.insert(path.clone(), text);
        if kind.is_dir() {
            visit(root, &path, picture, links);
        }
    }
}

fn short(content: &[u8]) -> u64 {
    // FNV: any difference shows.
    content.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// Fails with the first difference of two pictures.
pub(crate) fn assert_same(one: &Picture, other: &Picture, what: &str) {
    for (path, text) in one {
        assert_eq!(Some(text), other.get(path), "{what}: {} differs", path.display());
    }
    for path in other.keys() {
        assert!(one.contains_key(path), "{what}: {} is too much", path.display());
    }
}

/// Runs GNU tar in `dir` and gives its output.
pub(crate) fn gnu_tar(dir: &Path, args: &[&str]) -> Vec<u8> {
    let output = Command::new("tar").current_dir(dir).args(args).output().expect("GNU tar is installed");
    assert!(output.status.success(), "tar {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Extracts with GNU tar as root would.
pub(crate) fn gnu_extract(archive: &[u8], into: &Path) {
    let file = into.with_extension("tar");
    std::fs::write(&file, archive).unwrap();
    let file = file.to_str().unwrap();
    gnu_tar(into, &["-x", "-p", "--same-owner", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f", file]);
}

/// Ingests into `root`; also gives the tar-split.
pub(crate) fn ingest_bytes(archive: &[u8], root: &Path, whiteouts: Whiteouts) -> Result<(Ingested, Vec<u8>)> {
    let mut split = Vec::new();
    let dir = File::open(root).unwrap();
    let options = Ingest { tar_split: Some(Box::new(&mut split)), ..Ingest::new(whiteouts) };
    let ingested = ingest(archive, dir.as_fd(), options, &Task::new("ingest"))?;
    Ok((ingested, split))
}

/// Replays from the files in `root`.
pub(crate) fn replay_from(split: &[u8], root: &Path) -> Result<(Replayed, Vec<u8>)> {
    let dir = File::open(root).unwrap();
    let mut out = Vec::new();
    let mut open = |path: &Path| beneath::open_file(dir.as_fd(), path, Links::Refuse);
    let replayed = replay(split, &mut open, &mut out, &mut || Ok(()), &Task::new("replay"))?;
    Ok((replayed, out))
}

/// Ingests, replays and compares the bytes; the ingest's result.
pub(crate) fn round_trip(archive: &[u8], root: &Path, whiteouts: Whiteouts) -> Ingested {
    let (ingested, split) = ingest_bytes(archive, root, whiteouts).expect("ingest");
    let (replayed, back) = replay_from(&split, root).expect("replay");
    assert_eq!(replayed.size, archive.len() as u64);
    assert!(back == archive, "the replayed archive is not the original one");
    assert_eq!(ingested.diff_size, archive.len() as i64);
    check_lines(&split);
    ingested
}

/// What the reference demands of the lines: numbered without gaps, no name twice, no line of more than 256 KiB.
pub(crate) fn check_lines(split: &[u8]) {
    let mut seen = std::collections::HashSet::new();
    for (at, line) in split_lines(split).iter().enumerate() {
        assert_eq!(line["position"], at as i64, "positions have a gap");
        if line["type"] == 1 {
            let name = line["name"].as_str().or(line["name_raw"].as_str()).unwrap_or("").to_owned();
            assert!(seen.insert(name.trim_end_matches('/').to_owned()), "{name:?} has two lines");
        } else {
            assert!(line["payload"].as_str().unwrap().len() <= 256 * 1024 * 4 / 3 + 4, "a line is too long");
        }
    }
}

/// The lines of a tar-split file.
pub(crate) fn split_lines(split: &[u8]) -> Vec<serde_json::Value> {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(split), &mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A scratch directory with the subdirectories `a` to `d`.
pub(crate) fn scratch() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c", "d"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    dir
}

/// A regular file's entry; everything else is plain.
pub(crate) fn file(name: &str, size: u64) -> Entry {
    Entry {
        kind: EntryKind::Regular,
        name: name.as_bytes().to_vec(),
        link: Vec::new(),
        mode: 0o644,
        uid: 0,
        gid: 0,
        size,
        stored: size,
        mtime: Time { seconds: 1_000_000_000, nanos: 5 },
        atime: None,
        device: (0, 0),
        xattrs: Vec::new(),
        sparse: None,
    }
}

/// A member of a handmade archive.
pub(crate) enum Member<'a> {
    File(&'a str, &'a str),
    Dir(&'a str),
    Symlink(&'a str, &'a str),
    Hard(&'a str, &'a str),
    Char(&'a str, u32, u32),
}

/// Writes a handmade archive with its end.
pub(crate) fn archive(members: &[Member<'_>]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for member in members {
        match member {
            Member::File(name, content) => {
                tar.entry(&file(name, content.len() as u64)).unwrap();
                tar.data(content.as_bytes()).unwrap();
            }
            Member::Dir(name) => {
                tar.entry(&Entry { kind: EntryKind::Directory, mode: 0o755, ..file(name, 0) }).unwrap();
            }
            Member::Symlink(name, target) | Member::Hard(name, target) => {
                let kind = if matches!(member, Member::Hard(..)) { EntryKind::HardLink } else { EntryKind::Symlink };
                tar.entry(&Entry { kind, link: target.as_bytes().to_vec(), ..file(name, 0) }).unwrap();
            }
            Member::Char(name, major, minor) => {
                let device = (*major, *minor);
                tar.entry(&Entry { kind: EntryKind::Char, device, ..file(name, 0) }).unwrap();
            }
        }
    }
    tar.finish().unwrap()
}

/// Asserts that an ingest fails with `kind`.
pub(crate) fn refused(archive: &[u8], whiteouts: Whiteouts, kind: Kind, what: &str) {
    let dir = scratch();
    let error = ingest_bytes(archive, &dir.path().join("a"), whiteouts).map(|(done, _)| done).expect_err(what);
    assert_eq!(error.kind(), kind, "{what}: {error}");
}

/// A tree with everything that a layer can hold.
pub(crate) fn rich_tree(root: &Path) {
    let long = "n".repeat(120);
    let longer = ["d".repeat(90), "e".repeat(90), "f".repeat(90)].join("/");
    std::fs::create_dir_all(root.join("dir/sub")).unwrap();
    std::fs::create_dir_all(root.join(&longer)).unwrap();
    std::fs::create_dir(root.join("ordner-\u{e4}")).unwrap();
    for size in [0, 1, 511, 512, 513, 100_000, 700_000] {
        let content: Vec<u8> = (0..size).map(|at: u32| (at * 7 / 3) as u8).collect();
        std::fs::write(root.join(format!("dir/file-{size}")), content).unwrap();
    }
    std::fs::write(root.join(&long), "long name").unwrap();
    std::fs::write(root.join(&longer).join("file"), "deep").unwrap();
    std::fs::write(root.join("ordner-\u{e4}/\u{fc}<&>\"\\"), "not ASCII").unwrap();
    std::fs::write(root.join(std::ffi::OsStr::from_bytes(b"not-utf8-\xff\xfe")), "bytes").unwrap();
    std::os::unix::fs::symlink("dir/file-1", root.join("link")).unwrap();
    std::os::unix::fs::symlink(&longer, root.join("long-link")).unwrap();
    std::os::unix::fs::symlink("/absolute/\u{fc}", root.join("dangling")).unwrap();
    std::fs::hard_link(root.join("dir/file-513"), root.join("hard")).unwrap();
    std::fs::hard_link(root.join("dir/file-513"), root.join("dir/sub/hard")).unwrap();
    run("mkfifo", root, &["fifo"]);
    run("mknod", root, &["char", "c", "5", "300"]);
    run("mknod", root, &["block", "b", "7", "1"]);
    std::fs::set_permissions(root.join("dir/file-1"), std::fs::Permissions::from_mode(0o4755)).unwrap();
    std::fs::set_permissions(root.join("dir/sub"), std::fs::Permissions::from_mode(0o3777)).unwrap();
    std::fs::set_permissions(root.join("dir/file-0"), std::fs::Permissions::from_mode(0o000)).unwrap();
    std::os::unix::fs::lchown(root.join("link"), Some(12), Some(34)).unwrap();
    std::os::unix::fs::chown(root.join("dir/file-511"), Some(1000), Some(1001)).unwrap();
    // Times last: everything above changes them.
    for (path, time) in
        [("dir/file-1", "2001-02-03 04:05:06.123456789"), ("link", "1999-12-31 23:59:59.5"), ("dir", "2010-01-01")]
    {
        run("touch", root, &["-h", "-d", time, path]);
    }
}

/// Adds what only PAX archives hold.
pub(crate) fn richer_tree(root: &Path) {
    rich_tree(root);
    let dir = File::open(root).unwrap();
    let set = |name: &str, key, value: &[u8]| {
        storage_core::fs::xattr::set(dir.as_fd(), name.as_ref(), key, value).unwrap();
    };
    std::fs::write(root.join("capable"), "x").unwrap();
    std::os::unix::fs::chown(root.join("capable"), Some(7), Some(7)).unwrap();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set("capable", c"security.capability", &capability);
    set("dir", c"user.note", b"line\nwith=equals\0");
    std::os::unix::fs::chown(root.join("dangling"), Some(3_000_000), Some(4_000_000_000)).ok();
    std::os::unix::fs::lchown(root.join("dangling"), Some(3_000_000), Some(4_000_000_000)).unwrap();
    std::fs::write(root.join("old"), "x").unwrap();
    run("touch", root, &["-d", "1960-01-01 00:00:00.25 UTC", "old"]);
    run("touch", root, &["-d", "2010-01-01 00:00:00.000000001", "dir"]);
}

pub(crate) fn run(program: &str, dir: &Path, args: &[&str]) {
    let status = Command::new(program).current_dir(dir).args(args).status().unwrap();
    assert!(status.success(), "{program} {args:?}");
}
