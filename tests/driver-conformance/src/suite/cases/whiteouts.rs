//! What an upper layer hides of those below it.

use storage_core::archive::tar::{Entry, EntryKind, Time};
use storage_core::archive::write::TarWriter;

use crate::suite::bench::Bench;
use crate::suite::check::{Checked, must, same, same_lines};
use crate::suite::store::lines;
use crate::suite::tree::Tree;
use crate::suite::{Case, case};

pub(super) const CASES: &[Case] = &[
    case(
        "whiteouts::an_archive_removes_a_file",
        "A whiteout in an archive hides the file below it, and is told as a deletion.",
        &[],
        file,
    ),
    case(
        "whiteouts::an_archive_removes_a_directory",
        "A whiteout of a directory hides all that is in it, and is told as one deletion.",
        &[],
        directory,
    ),
    case(
        "whiteouts::an_archive_makes_a_directory_opaque",
        "An opaque directory of an archive shows only what the archive put into it.",
        &[],
        opaque,
    ),
    case(
        "whiteouts::what_is_removed_in_a_mount_is_gone",
        "A file and a directory that are removed in a mount are hidden from then on, and told as deleted.",
        &[],
        in_a_mount,
    ),
    case(
        "whiteouts::a_directory_that_is_made_anew_is_empty",
        "A directory that was removed and made again holds nothing of the one before.",
        &[],
        made_anew,
    ),
    case(
        "whiteouts::another_kind_of_file_takes_the_place",
        "A file in place of a directory, and a directory in place of a file, are told as what they are.",
        &[],
        another_kind,
    ),
    case(
        "whiteouts::a_removed_file_can_be_made_again",
        "What was hidden in one layer and made again in the next is there, with its own content only.",
        &[],
        again,
    ),
    case(
        "whiteouts::none_is_seen",
        "Neither a view nor a mount shows a whiteout as a file, and no attribute of an opaque directory is told.",
        &[],
        unseen,
    ),
];

/// An archive of files, directories (a name with `/` at its end) and whiteouts, all empty.
pub(super) fn archive(names: &[&str]) -> Checked<Vec<u8>> {
    let mut tar = TarWriter::new(Vec::new());
    for name in names {
        let is_dir = name.ends_with('/');
        let entry = Entry {
            kind: if is_dir { EntryKind::Directory } else { EntryKind::Regular },
            name: name.as_bytes().to_vec(),
            link: Vec::new(),
            mode: if is_dir { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            size: 0,
            stored: 0,
            mtime: Time { seconds: 1_600_000_000, nanos: 0 },
            atime: None,
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        };
        tar.entry(&entry)?;
    }
    Ok(tar.finish()?)
}

/// Files `d/a`, `d/b`, `d/e/c` and `f`.
fn base(tree: &Tree) -> Checked {
    tree.dir("d/e")?;
    for name in ["d/a", "d/b", "d/e/c", "f"] {
        tree.write(name, name)?;
    }
    Ok(())
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

fn file(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], base)?;
    let (b, ingested) = store.import(&["b", "a"], &archive(&[".wh.f", "d/.wh.a", "new"])?)?;
    same("the entries of the archive", ingested.entries, 3)?;
    let tree = store.tree(&b)?;
    same("the names", tree.names(".")?, owned(&["d", "new"]))?;
    same("the names in d", tree.names("d")?, owned(&["b", "e"]))?;
    same_lines("changes", &store.changes(&b, Some(&a))?, &owned(&["C /d", "D /d/a", "D /f", "A /new"]))?;
    must(store.tree(&a)?.has("f"), "the parent has lost its file")
}

fn directory(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], base)?;
    let (b, _) = store.import(&["b", "a"], &archive(&[".wh.d"])?)?;
    same("the names", store.tree(&b)?.names(".")?, owned(&["f"]))?;
    same_lines("changes", &store.changes(&b, Some(&a))?, &owned(&["D /d"]))?;
    let c = store.make(&["c", "b", "a"], |tree| tree.dir("g"))?;
    same("the names in the child", store.tree(&c)?.names(".")?, owned(&["f", "g"]))
}

fn opaque(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], base)?;
    let (b, _) = store.import(&["b", "a"], &archive(&["d/", "d/.wh..wh..opq", "d/own"])?)?;
    let tree = store.tree(&b)?;
    same("the names in d", tree.names("d")?, owned(&["own"]))?;
    same("the other names", tree.names(".")?, owned(&["d", "f"]))?;
    let changes = store.changes(&b, Some(&a))?;
    let expected = owned(&["C /d", "D /d/a", "D /d/b", "D /d/e", "A /d/own"]);
    same_lines("changes", &changes, &expected)
}

fn in_a_mount(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], base)?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    store.edit(&b, |tree| {
        tree.remove("f")?;
        tree.remove("d/e")
    })?;
    let tree = store.tree(&b)?;
    same("the names", (tree.names(".")?, tree.names("d")?), (owned(&["d"]), owned(&["a", "b"])))?;
    same_lines("changes", &store.changes(&b, Some(&a))?, &owned(&["C /d", "D /d/e", "D /f"]))
}

fn made_anew(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], base)?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    store.edit(&b, |tree| {
        tree.remove("d")?;
        tree.dir("d")?;
        tree.write("d/own", "own")
    })?;
    same("the names in d", store.tree(&b)?.names("d")?, owned(&["own"]))?;
    let expected = owned(&["C /d", "D /d/a", "D /d/b", "D /d/e", "A /d/own"]);
    same_lines("changes", &store.changes(&b, Some(&a))?, &expected)?;
    let c = store.make(&["c", "b", "a"], |_| Ok(()))?;
    same("the names in the child's d", store.tree(&c)?.names("d")?, owned(&["own"]))
}

fn another_kind(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], base)?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    store.edit(&b, |tree| {
        tree.remove("d")?;
        tree.write("d", "now a file")?;
        tree.remove("f")?;
        tree.dir("f")?;
        tree.write("f/own", "own")
    })?;
    let tree = store.tree(&b)?;
    same("what they hold", (tree.read("d")?, tree.names("f")?), ("now a file".to_owned(), owned(&["own"])))?;
    same_lines("changes", &store.changes(&b, Some(&a))?, &owned(&["C /d", "C /f", "A /f/own"]))?;
    // The archive of the changes makes the same of another child.
    let diff = store.diff(&b, Some(&a))?;
    let (c, _) = store.import(&["c", "a"], &diff)?;
    let expected = store.listing(&b)?;
    same_lines("the same by its archive", &store.listing(&c)?, &expected)
}

fn again(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], base)?;
    let (b, _) = store.import(&["b", "a"], &archive(&[".wh.f", ".wh.d"])?)?;
    let c = store.make(&["c", "b", "a"], |tree| {
        tree.dir("d")?;
        tree.write("d/own", "own")?;
        tree.write("f", "again")
    })?;
    let tree = store.tree(&c)?;
    same("what they hold", (tree.read("f")?, tree.names("d")?), ("again".to_owned(), owned(&["own"])))?;
    let expected = owned(&["A /d", "A /d/own", "A /f"]);
    same_lines("changes", &store.changes(&c, Some(&b))?, &expected)
}

fn unseen(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], base)?;
    let (b, _) = store.import(&["b", "a"], &archive(&[".wh.f", "d/", "d/.wh..wh..opq", "d/own"])?)?;
    let expected = owned(&["d", "d/own"]);
    let names = |tree: &Tree| -> Checked<Vec<String>> {
        let mut names = tree.names(".")?;
        names.extend(tree.names("d")?.into_iter().map(|name| format!("d/{name}")));
        Ok(names)
    };
    same("the view", names(&store.tree(&b)?)?, expected.clone())?;
    store.edit(&b, |tree| same("the mount", names(tree)?, expected.clone()))?;
    let listing = store.listing(&b)?;
    let told = |line: &String| line.contains("opaque") || line.contains("device");
    must(!listing.iter().any(told), format!("the view tells how something is hidden: {listing:?}"))?;
    let whole = store.compare(&b, None)?;
    same_lines("against nothing", &lines(&*whole)?, &owned(&["A /d", "A /d/own"]))?;
    drop(a);
    Ok(())
}
