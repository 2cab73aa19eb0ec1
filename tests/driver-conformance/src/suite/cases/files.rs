//! Every kind of file, as a layer holds it and a child shows it.

use std::os::unix::fs::MetadataExt;

use nix::sys::stat::SFlag;
use storage_core::driver::LayerRef;

use crate::suite::bench::Bench;
use crate::suite::check::{Checked, Step, must, same, same_lines, skip};
use crate::suite::store::Store;
use crate::suite::tree::{Tree, odd_name};
use crate::suite::{Case, Need, case};

pub(super) const CASES: &[Case] = &[
    case(
        "files::kinds",
        "Files, directories, links and pipes look the same in a view, in a child, and mounted.",
        &[],
        |bench| everywhere(bench, kinds),
    ),
    case("files::hard_links", "Names of one file are names of one file in a view and in a child.", &[], hard_links),
    case("files::devices", "Devices keep their kind and numbers.", &[Need::Root], |bench| everywhere(bench, devices)),
    case("files::sparse", "A sparse file keeps its size and its holes, also in a child.", &[], sparse),
    case("files::user_attributes", "Extended attributes of users are kept.", &[], |bench| everywhere(bench, user)),
    case("files::capabilities", "The capabilities of a program are kept.", &[Need::Root], |bench| {
        everywhere(bench, capabilities)
    }),
    case("files::names", "Names of any bytes and of the greatest length are kept.", &[], |bench| {
        everywhere(bench, names)
    }),
    case("files::modes_and_times", "Every bit of a mode and every nanosecond of a time is kept.", &[], |bench| {
        everywhere(bench, modes)
    }),
    case("files::owners", "Every owner is kept.", &[Need::Root], |bench| everywhere(bench, owners)),
    case("files::many_in_one_directory", "A directory of two thousand names is shown whole.", &[], many),
];

/// Makes a layer with `fill`, and checks that its view, a child, a child's child and a mount show what was made.
fn everywhere(bench: &Bench, fill: fn(&Tree) -> Checked) -> Checked {
    let mut store = bench.store()?;
    let mut made = Vec::new();
    let a = store.make(&["a"], |tree| {
        fill(tree)?;
        made = tree.listing()?;
        Ok(())
    })?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    let c = store.make(&["c", "b", "a"], |tree| tree.write("other", ""))?;
    same_lines("the view", &store.listing(&a)?, &made)?;
    same_lines("the child", &store.listing(&b)?, &made)?;
    let mut of_c = store.listing(&c)?;
    of_c.retain(|line| !line.starts_with("other "));
    same_lines("the child's child", &of_c, &made)?;
    for layer in [&a, &b] {
        let mut mounted = Vec::new();
        store.edit(layer, |tree| {
            mounted = tree.listing()?;
            Ok(())
        })?;
        same_lines("mounted", &mounted, &made)?;
    }
    Ok(())
}

fn kinds(tree: &Tree) -> Checked {
    tree.dir("d/e/f")?;
    tree.write("d/file", "text")?;
    tree.write("empty", "")?;
    tree.symlink("d/file", "link")?;
    tree.symlink("/nowhere/at all", "broken")?;
    // A socket is of no use without its process: copies and archives leave it out.
    tree.fifo("pipe")
}

fn hard_links(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| {
        tree.dir("d")?;
        tree.write("one", "text")?;
        tree.link("one", "d/two")?;
        tree.link("one", "three")?;
        tree.write("alone", "text")
    })?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    let check = |store: &mut Store, layer: &LayerRef| -> Checked {
        let tree = store.tree(layer)?;
        let names = ["one", "d/two", "three"].map(|name| tree.stat(name));
        for found in names {
            let found = found?;
            same("inode and names", (found.ino(), found.nlink()), (tree.stat("one")?.ino(), 3))?;
        }
        must(tree.stat("alone")?.ino() != tree.stat("one")?.ino(), "two files are one")
    };
    check(&mut store, &a)?;
    check(&mut store, &b)?;
    store.edit(&b, |tree| {
        tree.write("three", "changed")?;
        tree.time("three", 5, 6)
    })?;
    same("the parent", store.tree(&a)?.read("one")?, "text".to_owned())
}

fn devices(tree: &Tree) -> Checked {
    tree.device("null", SFlag::S_IFCHR, 1, 3)?;
    tree.device("disk", SFlag::S_IFBLK, 253, 77)?;
    tree.device("large", SFlag::S_IFCHR, 500, 70_000)
}

fn sparse(bench: &Bench) -> Checked {
    const SIZE: u64 = 8 << 20;
    let mut store = bench.store()?;
    let mut holds = 0;
    let a = store.make(&["a"], |tree| {
        tree.sparse("sparse", SIZE)?;
        let held = std::fs::File::open(tree.path("sparse")).step("open", "sparse")?;
        held.sync_all().step("fsync", "sparse")?;
        holds = tree.stat("sparse")?.blocks() * 512;
        Ok(())
    })?;
    if holds > SIZE / 2 {
        return skip("the filesystem has no holes");
    }
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    for layer in [&a, &b] {
        let tree = store.tree(layer)?;
        let found = tree.stat("sparse")?;
        same("its size", found.size(), SIZE)?;
        must(found.blocks() * 512 <= SIZE / 2, format!("its holes are filled: {} blocks", found.blocks()))?;
        let text = std::fs::read(tree.path("sparse")).step("read", "sparse")?;
        must(text.starts_with(b"begin") && text.ends_with(b"end"), "its ends are lost")?;
        must(text[5..text.len() - 3].iter().all(|byte| *byte == 0), "its holes hold something")?;
    }
    Ok(())
}

fn user(tree: &Tree) -> Checked {
    tree.write("file", "text")?;
    tree.dir("dir")?;
    if !tree.attribute("file", c"user.lamina.one", b"value")? {
        return skip("the filesystem has no attributes of users");
    }
    tree.attribute("file", c"user.empty", b"")?;
    tree.attribute("dir", c"user.bytes", &[0, 255, 10]).map(drop)
}

/// `security.capability`, version 2: `CAP_NET_RAW`, permitted and effective.
const NET_RAW: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn capabilities(tree: &Tree) -> Checked {
    tree.write("ping", "program")?;
    tree.mode("ping", 0o755)?;
    if tree.attribute("ping", c"security.capability", &NET_RAW)? {
        return Ok(());
    }
    skip("the filesystem has no capabilities of files")
}

fn names(tree: &Tree) -> Checked {
    tree.write(&"n".repeat(255), "long")?;
    tree.write(".hidden", "")?;
    tree.write("with space", "")?;
    tree.dir("-dash")?;
    let odd = tree.path("").join(odd_name());
    match std::fs::write(&odd, "odd") {
        // A filesystem may insist on text.
        Err(error) if error.raw_os_error() == Some(libc::EILSEQ) => Ok(()),
        done => done.step("write", &odd),
    }
}

fn modes(tree: &Tree) -> Checked {
    for mode in [0o000, 0o1777, 0o2755, 0o4755, 0o6711, 0o444] {
        let (file, dir) = (format!("f{mode:o}"), format!("d{mode:o}"));
        tree.write(&file, "text")?;
        tree.mode(&file, mode)?;
        tree.dir(&dir)?;
        tree.mode(&dir, mode | 0o500)?;
    }
    for (name, seconds, nanos) in [("old", 1, 0), ("exact", 1_234_567_890, 987_654_321), ("late", 4_000_000_000, 1)] {
        tree.write(name, "")?;
        tree.time(name, seconds, nanos)?;
    }
    tree.symlink("old", "link")?;
    tree.time("link", 77, 88)
}

fn owners(tree: &Tree) -> Checked {
    for (name, uid, gid) in [("a", 0, 1), ("b", 1000, 100), ("c", 65_534, 65_534), ("d", 3_000_000_000, 4_000_000_000)]
    {
        tree.write(name, "")?;
        tree.owner(name, uid, gid)?;
        tree.symlink("a", &format!("{name}-link"))?;
        tree.owner(&format!("{name}-link"), uid, gid)?;
    }
    tree.dir("dir")?;
    tree.owner("dir", 5, 6)
}

fn many(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], |tree| (0..1000).try_for_each(|number| tree.write(&format!("lower{number}"), "")))?;
    let b =
        store.make(&["b", "a"], |tree| (0..1000).try_for_each(|number| tree.write(&format!("upper{number}"), "")))?;
    same("the number of names", store.tree(&b)?.names(".")?.len(), 2000)
}
