//! What is declared of costs: in proportion to changes, with shared blocks, without data.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Dir, FileType};
use storage_core::driver::{Capability, Extent, MountOptions, Plan, Start};

use crate::grounds::Filesystem;
use crate::suite::bench::Bench;
use crate::suite::check::{Checked, Step, must, same, same_lines, skip};
use crate::suite::store::task;
use crate::suite::tree::Tree;
use crate::suite::{Case, Need, case};

pub(super) const CASES: &[Case] = &[
    case(
        "costs::a_diff_in_proportion_to_what_changed",
        "Comparing a child with few changes handles few entries, however many its parent has.",
        &[Need::Has(Capability::ProportionalDiff)],
        proportional,
    ),
    case(
        "costs::a_copy_that_shares_blocks",
        "The copy with which a replacement begins takes next to no room.",
        &[Need::Has(Capability::Reflink)],
        reflink,
    ),
    case(
        "costs::a_change_of_metadata_without_data",
        "With metacopy, a change of mode copies no data, and the view, a child and the archive have the whole file.",
        &[Need::Has(Capability::Metacopy)],
        metacopy,
    ),
    case(
        "costs::entries_tell_their_type",
        "Reading a directory of a view and of a mount tells what each entry is.",
        &[Need::Has(Capability::DType)],
        d_type,
    ),
];

fn proportional(bench: &Bench) -> Checked {
    const FILES: u64 = 2000;
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| {
        for dir in 0..20 {
            tree.dir(&format!("d{dir}"))?;
            (0..FILES / 20).try_for_each(|file| tree.write(&format!("d{dir}/f{file}"), ""))?;
        }
        Ok(())
    })?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    store.edit(&b, |tree| tree.write("d7/f7", "changed"))?;
    let (compared, few) = (store.compare(&b, Some(&a))?, task());
    let mut lines = Vec::new();
    compared.changes(&few, &mut |change| {
        lines.push(change.to_string());
        Ok(())
    })?;
    same_lines("changes", &lines, &["C /d7".to_owned(), "C /d7/f7".to_owned()])?;
    let handled = few.progress().entries;
    must(handled < FILES / 4, format!("{handled} entries were handled for one change among {FILES}"))
}

/// The bytes that are free on the filesystem of `path`, once all is written.
fn free(path: &Path) -> Checked<u64> {
    let dir = std::fs::File::open(path).step("open", path)?;
    rustix::fs::syncfs(&dir).step("syncfs", path)?;
    let stat = rustix::fs::fstatvfs(&dir).step("fstatvfs", path)?;
    Ok(stat.f_bfree * stat.f_frsize)
}

fn reflink(bench: &Bench) -> Checked {
    const SIZE: usize = 32 << 20;
    if bench.grounds.filesystem() == Filesystem::Plain {
        return skip("the filesystem is not this run's alone");
    }
    let mut store = bench.store()?;
    let layer = store.make(&["a"], |tree| tree.write("large", &"0123456789abcdef".repeat(SIZE / 16)))?;
    let root = bench.grounds.path();
    let before = free(root)?;
    let staged = store.begin(&Plan::new(Start::Replacing { layer, empty: false }))?;
    let after = free(root)?;
    same("the size of the copy", Tree::staged(&*staged)?.stat("large")?.len(), SIZE as u64)?;
    let taken = before.saturating_sub(after);
    must(taken < SIZE as u64 / 2, format!("a copy of {SIZE} bytes took {taken}"))
}

fn metacopy(bench: &Bench) -> Checked {
    const SIZE: usize = 4 << 20;
    let mut store = bench.store()?;
    let text = "0123456789abcdef".repeat(SIZE / 16);
    let a = store.make(&["a"], |tree| tree.write("large", &text))?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    let options = MountOptions { options: vec!["metacopy=on".to_owned()], ..MountOptions::default() };
    let place = store.mount_as(&b, &options)?;
    let changed = Tree::at(place).mode("large", 0o4755);
    drop(store.unmount(&b, Extent::One)?);
    changed?;
    let Some(own) = store.gate().own_directory(&b.id, b.home)? else { return skip("it names no directory of its own") };
    let held = Tree::at(own).stat("large")?.blocks() * 512;
    must(held < SIZE as u64 / 2, format!("{held} bytes were copied for a change of mode"))?;
    same_lines("changes", &store.changes(&b, Some(&a))?, &["C /large".to_owned()])?;
    let c = store.make(&["c", "b", "a"], |_| Ok(()))?;
    let diff = store.diff(&b, Some(&a))?;
    let (d, _) = store.import(&["d", "a"], &diff)?;
    for layer in [&b, &c, &d] {
        let tree = store.tree(layer)?;
        same("the mode", tree.stat("large")?.mode() & 0o7777, 0o4755)?;
        must(tree.read("large")? == text, "the file is not whole")?;
    }
    Ok(())
}

fn d_type(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], super::create::some_tree)?;
    let check = |tree: &Tree| -> Checked {
        let dir = std::fs::File::open(tree.path(".")).step("open", "the root")?;
        for entry in Dir::read_from(&dir).step("read directory", "the root")? {
            let entry = entry.step("read directory", "the root")?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let expected = match name.as_str() {
                "f" => FileType::RegularFile,
                "s" => FileType::Symlink,
                _ => FileType::Directory,
            };
            same(&format!("the type of {name}"), entry.file_type(), expected)?;
        }
        Ok(())
    };
    check(&store.tree(&a)?)?;
    store.edit(&a, check)
}
