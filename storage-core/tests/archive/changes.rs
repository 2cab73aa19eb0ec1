//! Differences between trees, and archives made of them.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use storage_core::archive::{Change, ChangeKind, Tree, Whiteouts, compare, compare_paths, pack};
use storage_core::{Error, Kind, Result, Task};

use crate::support::{OVERLAY, assert_same, gnu_extract, ingest_bytes, picture, richer_tree, round_trip, run, scratch};

fn changes_at(new: &Path, old: Option<&Path>, at: &str) -> Vec<Change> {
    let new = File::open(new).unwrap();
    let old = old.map(|old| File::open(old).unwrap());
    let mut found = Vec::new();
    let old = old.as_ref().map(|old| Tree::plain(old.as_fd()));
    compare(Tree::plain(new.as_fd()), old, Path::new(at), &Task::new("compare"), &mut |change| {
        found.push(change);
        Ok(())
    })
    .unwrap();
    found
}

fn changes(new: &Path, old: &Path) -> Vec<String> {
    changes_at(new, Some(old), "/").iter().map(Change::to_string).collect()
}

/// Packs the changes of `new` against `old` (or all of `new`).
fn packed(new: &Path, old: Option<&Path>, before_end: &mut dyn FnMut() -> Result<()>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let root = File::open(new).unwrap();
    let task = Task::new("pack");
    if old.is_some() {
        let mut list = changes_at(new, old, "/").into_iter().map(Ok);
        pack(Tree::plain(root.as_fd()), Some(&mut list), &mut out, before_end, &task)?;
    } else {
        pack(Tree::plain(root.as_fd()), None, &mut out, before_end, &task)?;
    }
    Ok(out)
}

fn copy(from: &Path, to: &Path) {
    std::fs::remove_dir(to).unwrap();
    run("cp", Path::new("/"), &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
}

#[test]
fn equal_trees_do_not_differ() {
    let dir = scratch();
    richer_tree(&dir.path().join("a"));
    copy(&dir.path().join("a"), &dir.path().join("b"));
    assert_eq!(changes(&dir.path().join("b"), &dir.path().join("a")), Vec::<String>::new());
}

#[test]
fn each_kind_of_difference_is_found() {
    type Edit = fn(&Path);
    let cases: [(&[&str], Edit); 14] = [
        (&["C /d", "A /d/new"], |root| std::fs::write(root.join("d/new"), "x").unwrap()),
        (&["C /d", "D /d/f"], |root| std::fs::remove_file(root.join("d/f")).unwrap()),
        (&["D /d"], |root| std::fs::remove_dir_all(root.join("d")).unwrap()),
        (&["C /d", "C /d/f"], |root| std::fs::write(root.join("d/f"), "other").unwrap()),
        (&["C /d", "C /d/f"], |root| run("touch", root, &["-d", "2020-01-01 00:00:00.1", "d/f"])),
        (&["C /d"], |root| std::fs::set_permissions(root.join("d"), PermissionsExt::from_mode(0o700)).unwrap()),
        (&["C /d", "C /d/f"], |root| run("chown", root, &["5:6", "d/f"])),
        (&["C /l"], |root| {
            std::fs::remove_file(root.join("l")).unwrap();
            std::os::unix::fs::symlink("e", root.join("l")).unwrap();
            run("touch", root, &["-h", "-d", "2001-01-01", "l"]);
        }),
        (&["C /d"], |root| {
            std::fs::remove_dir_all(root.join("d")).unwrap();
            std::fs::write(root.join("d"), "a file now").unwrap();
        }),
        (&["C /g", "A /g/in"], |root| {
            std::fs::remove_file(root.join("g")).unwrap();
            std::fs::create_dir(root.join("g")).unwrap();
            std::fs::write(root.join("g/in"), "x").unwrap();
        }),
        (&["A /a", "A /a/b", "A /a/b/c"], |root| {
            std::fs::create_dir_all(root.join("a/b")).unwrap();
            std::fs::write(root.join("a/b/c"), "x").unwrap();
        }),
        (&["C /g"], |root| {
            let fd = File::open(root).unwrap();
            storage_core::fs::xattr::set(fd.as_fd(), "g".as_ref(), c"user.x", b"1").unwrap();
        }),
        (&[], |root| {
            let fd = File::open(root).unwrap();
            storage_core::fs::xattr::set(fd.as_fd(), "g".as_ref(), c"trusted.overlay.x", b"1").unwrap();
            storage_core::fs::xattr::set(fd.as_fd(), "g".as_ref(), c"user.overlay.x", b"1").unwrap();
            run("touch", root, &["d"]);
        }),
        (&["C /d", "C /d/deep", "C /d/deep/deeper", "A /d/deep/deeper/1", "C /g"], |root| {
            std::fs::write(root.join("d/deep/deeper/1"), "x").unwrap();
            std::fs::write(root.join("g"), "longer than before").unwrap();
        }),
    ];
    for (expected, edit) in cases {
        let dir = scratch();
        let (old, new) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::create_dir_all(old.join("d/deep/deeper")).unwrap();
        std::fs::write(old.join("d/f"), "12345").unwrap();
        std::fs::write(old.join("g"), "content").unwrap();
        std::os::unix::fs::symlink("d", old.join("l")).unwrap();
        run("touch", &old, &["-h", "-d", "2001-01-01", "l", "d/f", "g"]);
        copy(&old, &new);
        edit(&new);
        assert_eq!(changes(&new, &old), expected);
        // One path at a time tells the same, but for directories in which something changed.
        let (new_fd, old_fd) = (File::open(&new).unwrap(), File::open(&old).unwrap());
        for change in changes_at(&new, Some(&old), "/") {
            let kind =
                compare_paths(Tree::plain(new_fd.as_fd()), Some(Tree::plain(old_fd.as_fd())), &change.path).unwrap();
            assert!(
                kind == Some(change.kind) || (kind.is_none() && new.join(&change.path.to_string_lossy()[1..]).is_dir())
            );
        }
        // And so does one subtree.
        let below: Vec<_> = changes_at(&new, Some(&old), "/d").iter().map(Change::to_string).collect();
        assert_eq!(below, expected.iter().copied().filter(|line| line[2..].starts_with("/d")).collect::<Vec<_>>());
    }
}

#[test]
fn a_new_name_of_an_unchanged_file_stays_a_name_of_it() {
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("a").join("f"), "x").unwrap();
    std::fs::write(at("a").join("other"), "x").unwrap();
    copy(&at("a"), &at("b"));
    copy(&at("a"), &at("c"));
    std::fs::hard_link(at("b").join("f"), at("b").join("g")).unwrap();
    assert_eq!(changes(&at("b"), &at("a")), ["C /f", "A /g"]);
    let archive = packed(&at("b"), Some(&at("a")), &mut || Ok(())).unwrap();
    round_trip(&archive, &at("c"), Whiteouts::Apply);
    assert_same(&picture(&at("b")), &picture(&at("c")), "applied");
    // Less names than before are no change of the file.
    assert_eq!(changes(&at("a"), &at("b")), ["D /g"]);
}

#[test]
fn packed_changes_applied_to_a_copy_give_the_same_tree() {
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    richer_tree(&at("a"));
    std::fs::create_dir_all(at("a").join("was-dir/with/files")).unwrap();
    std::fs::write(at("a").join("was-dir/with/files/f"), "x").unwrap();
    std::fs::write(at("a").join("was-file"), "x").unwrap();
    copy(&at("a"), &at("b"));
    let new = at("b");
    std::fs::remove_dir_all(new.join("was-dir")).unwrap();
    std::fs::write(new.join("was-dir"), "a file now").unwrap();
    std::fs::remove_file(new.join("was-file")).unwrap();
    std::fs::create_dir(new.join("was-file")).unwrap();
    std::fs::write(new.join("was-file/in"), "x").unwrap();
    std::fs::remove_file(new.join("link")).unwrap();
    std::fs::create_dir(new.join("link")).unwrap();
    std::fs::remove_file(new.join("fifo")).unwrap();
    std::fs::write(new.join("dir/file-1"), "changed").unwrap();
    std::fs::remove_dir_all(new.join("dir/sub")).unwrap();
    std::fs::create_dir(new.join("dir/sub")).unwrap();
    std::fs::write(new.join("dir/sub/other"), "x").unwrap();
    std::fs::hard_link(new.join("dir/sub/other"), new.join("another")).unwrap();
    let fd = File::open(&new).unwrap();
    storage_core::fs::xattr::remove(fd.as_fd(), "dir".as_ref(), c"user.note").unwrap();
    std::os::unix::net::UnixListener::bind(new.join("socket")).unwrap();

    let archive = packed(&at("b"), Some(&at("a")), &mut || Ok(())).unwrap();
    copy(&at("a"), &at("c"));
    round_trip(&archive, &at("c"), Whiteouts::Apply);
    std::fs::remove_file(new.join("socket")).unwrap();
    // `hard` lost a name in the new tree: the file itself did not change.
    assert_same(&picture(&at("b")), &picture(&at("c")), "applied");
    assert_eq!(changes(&at("b"), &at("c")), Vec::<String>::new());
    assert_eq!(packed(&at("b"), Some(&at("a")), &mut || Ok(())).unwrap(), archive, "equal changes give equal archives");
}

#[test]
fn a_packed_tree_is_the_tree_also_to_gnu_tar() {
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    richer_tree(&at("a"));
    let archive = packed(&at("a"), None, &mut || Ok(())).unwrap();
    round_trip(&archive, &at("b"), OVERLAY);
    assert_same(&picture(&at("a")), &picture(&at("b")), "our own extraction");
    gnu_extract(&archive, &at("c"));
    assert_same(&picture(&at("a")), &picture(&at("c")), "GNU tar's extraction");
}

#[test]
fn without_consent_an_archive_has_no_end() {
    let dir = scratch();
    let root = dir.path().join("a");
    std::fs::write(root.join("f"), "x").unwrap();
    let mut out = Vec::new();
    let fd = File::open(&root).unwrap();
    let mut refuse = || Err(Error::new(Kind::Changed, "check layer"));
    let error = pack(Tree::plain(fd.as_fd()), None, &mut out, &mut refuse, &Task::new("pack")).unwrap_err();
    assert_eq!(error.kind(), Kind::Changed);
    assert_eq!(out.len() % 512, 0);
    assert_ne!(out[out.len() - 1024..], [0; 1024], "the end was written");
    let refused = ingest_bytes(&out, &dir.path().join("b"), OVERLAY).map(drop).unwrap_err();
    assert_eq!(refused.kind(), Kind::BadArchive);
}

#[test]
fn what_vanishes_while_it_is_packed_is_an_error() {
    let dir = scratch();
    let root = File::open(dir.path().join("a")).unwrap();
    for (kind, path) in [(ChangeKind::Add, "/gone"), (ChangeKind::Modify, "/gone/deeper")] {
        let mut list = std::iter::once(Ok(Change { path: path.into(), kind }));
        let error =
            pack(Tree::plain(root.as_fd()), Some(&mut list), &mut Vec::new(), &mut || Ok(()), &Task::new("pack"))
                .unwrap_err();
        assert_eq!(error.kind(), Kind::Changed, "{error}");
    }
}

/// Shortens a file while its first bytes are being written.
struct Shortening<'a>(&'a Path, usize);

impl std::io::Write for Shortening<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1 += bytes.len();
        if self.1 > 300_000 {
            File::options().write(true).open(self.0)?.set_len(400_000)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_shrinks_while_it_is_packed_is_an_error() {
    let dir = scratch();
    let file = dir.path().join("a/f");
    std::fs::write(&file, vec![1; 5_000_000]).unwrap();
    let root = File::open(dir.path().join("a")).unwrap();
    let mut out = Shortening(&file, 0);
    let error = pack(Tree::plain(root.as_fd()), None, &mut out, &mut || Ok(()), &Task::new("pack")).unwrap_err();
    assert_eq!((error.kind(), error.path()), (Kind::Changed, Some(Path::new("f"))), "{error}");
}

#[test]
fn a_name_that_would_be_a_whiteout_is_refused() {
    let dir = scratch();
    std::fs::write(dir.path().join("a/.wh.f"), "x").unwrap();
    let error = packed(&dir.path().join("a"), None, &mut || Ok(())).unwrap_err();
    assert_eq!(error.kind(), Kind::NotSupported, "{error}");
}

#[test]
fn a_tree_deeper_than_the_limit_of_descriptors_is_compared_and_packed() {
    let dir = scratch();
    let (old, new) = (dir.path().join("a"), dir.path().join("b"));
    let deep = "d/".repeat(1000);
    std::fs::create_dir_all(old.join(&deep)).unwrap();
    std::fs::create_dir_all(new.join(&deep)).unwrap();
    std::fs::write(new.join(&deep).join("f"), "x").unwrap();
    std::fs::write(new.join("e"), "x").unwrap();
    let found = changes(&new, &old);
    assert_eq!(found.len(), 1002);
    assert_eq!((&found[0][..], &found[1001][..]), ("C /d", "A /e"));
    let archive = packed(&new, None, &mut || Ok(())).unwrap();
    round_trip(&archive, &dir.path().join("c"), OVERLAY);
}
