//! Archives that lie: cut off, damaged, junk, and those that try to leave the layer.

use std::fs;
use std::path::{Path, PathBuf};

use integration::archive::{self, RawTar};
use integration::case::{Case, case};
use integration::store::{Store, id};
use integration::{Outcome, Scratch, tree};

use crate::bad_input::{one_line, prepare, refused, sight};

pub(crate) const CASES: &[Case] = &[
    case("bad_input::truncated_archive::overlay", 60, |s| truncated(s, "overlay")),
    case("bad_input::truncated_archive::vfs", 60, |s| truncated(s, "vfs")),
    case("bad_input::truncated_archive::btrfs", 60, |s| truncated(s, "btrfs")),
    case("bad_input::corrupt_archive::overlay", 60, |s| corrupt(s, "overlay")),
    case("bad_input::corrupt_archive::vfs", 60, |s| corrupt(s, "vfs")),
    case("bad_input::corrupt_archive::btrfs", 60, |s| corrupt(s, "btrfs")),
    case("bad_input::junk_with_the_magic_of_each_compression::overlay", 60, |s| junk(s, "overlay")),
    case("bad_input::junk_with_the_magic_of_each_compression::vfs", 60, |s| junk(s, "vfs")),
    case("bad_input::junk_with_the_magic_of_each_compression::btrfs", 60, |s| junk(s, "btrfs")),
    case("bad_input::escape_by_dot_dot::overlay", 60, |s| dot_dot(s, "overlay")),
    case("bad_input::escape_by_dot_dot::vfs", 60, |s| dot_dot(s, "vfs")),
    case("bad_input::escape_by_dot_dot::btrfs", 60, |s| dot_dot(s, "btrfs")),
    case("bad_input::absolute_name::overlay", 60, |s| absolute(s, "overlay")),
    case("bad_input::absolute_name::vfs", 60, |s| absolute(s, "vfs")),
    case("bad_input::absolute_name::btrfs", 60, |s| absolute(s, "btrfs")),
    case("bad_input::escape_by_symlink::overlay", 60, |s| by_symlink(s, "overlay")),
    case("bad_input::escape_by_symlink::vfs", 60, |s| by_symlink(s, "vfs")),
    case("bad_input::escape_by_symlink::btrfs", 60, |s| by_symlink(s, "btrfs")),
    case("bad_input::escape_by_hard_link::overlay", 60, |s| by_hard_link(s, "overlay")),
    case("bad_input::escape_by_hard_link::vfs", 60, |s| by_hard_link(s, "vfs")),
    case("bad_input::escape_by_hard_link::btrfs", 60, |s| by_hard_link(s, "btrfs")),
    case("bad_input::escape_by_whiteout::overlay", 60, |s| by_whiteout(s, "overlay")),
    case("bad_input::escape_by_whiteout::vfs", 60, |s| by_whiteout(s, "vfs")),
    case("bad_input::escape_by_whiteout::btrfs", 60, |s| by_whiteout(s, "btrfs")),
    case("bad_input::duplicate_entries::overlay", 60, |s| duplicates(s, "overlay")),
    case("bad_input::duplicate_entries::vfs", 60, |s| duplicates(s, "vfs")),
    case("bad_input::duplicate_entries::btrfs", 60, |s| duplicates(s, "btrfs")),
];

/// An archive that is refused by import, as base and as child, and by applydiff.
#[track_caller]
fn refused_archive(store: &Store, before: &[String], archive: &Path, words: &[&str]) {
    let file = archive.to_str().expect("a printable path");
    let new = id("never there");
    refused(store, before, &["import-layer", "-i", &new, "-f", file], words);
    refused(store, before, &["import-layer", "-i", &new, "-f", file, &id("base")], words);
    refused(store, before, &["applydiff", "-f", file, &id("child")], words);
}

fn packed(scratch: &Scratch) -> Result<Vec<PathBuf>, integration::Skip> {
    let tree = scratch.make("noise");
    let mut state = 1_u64;
    for number in 0..30 {
        // Content that doesn't compress, so that damage in the middle meets data of every compression.
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        });
        let noise: Vec<u8> = noise.take(20_000).collect();
        archive::put(&tree, &format!("file{number}"), noise);
    }
    let plain = scratch.join("noise.tar");
    archive::pack(&tree, &plain, "pax");
    let mut all = vec![plain.clone()];
    for (program, _) in archive::COMPRESSIONS {
        all.push(archive::compress(&plain, program)?);
    }
    Ok(all)
}

pub(crate) fn truncated(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, before) = prepare(scratch, driver);
    for archive in packed(scratch)? {
        let bytes = fs::read(&archive).expect("read an archive");
        for length in
            [300, bytes.len() / 2 + 100, bytes.len() - if archive.ends_with("noise.tar") { 15_000 } else { 5 }]
        {
            let short = scratch.join("short");
            fs::write(&short, &bytes[..length]).expect("write a part of an archive");
            refused_archive(&store, &before, &short, &[]);
        }
    }
    Ok(())
}

fn corrupt(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, before) = prepare(scratch, driver);
    for archive in packed(scratch)? {
        let mut bytes = fs::read(&archive).expect("read an archive");
        if archive.extension().is_some_and(|name| name == "tar") {
            // Only headers of a plain archive have a checksum: damage the last one that names a file.
            let name = bytes.windows(8).rposition(|window| window == b"./file9\0").expect("the archive has file9");
            bytes[name + 110] ^= 0x55;
        } else {
            let middle = bytes.len() / 2;
            bytes[middle..middle + 64].iter_mut().for_each(|byte| *byte ^= 0x5a);
        }
        let damaged = scratch.join("damaged");
        fs::write(&damaged, bytes).expect("write a damaged archive");
        refused_archive(&store, &before, &damaged, &[]);
    }
    Ok(())
}

pub(crate) fn junk(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, before) = prepare(scratch, driver);
    let magics: [&[u8]; 6] = [
        b"",
        b"BZh9",
        &[0x1f, 0x8b, 8],
        &[0xfd, b'7', b'z', b'X', b'Z', 0],
        &[0x28, 0xb5, 0x2f, 0xfd],
        &[0x50, 0x2a, 0x4d, 0x18],
    ];
    for magic in magics {
        let mut bytes = magic.to_vec();
        bytes.extend((0..100_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[1]));
        let file = scratch.join("junk");
        fs::write(&file, bytes).expect("write junk");
        refused_archive(&store, &before, &file, &[]);
    }
    Ok(())
}

/// Makes something outside of the store that an escape could reach. Gives a path to it that is short enough for the name in
/// a plain header.
pub(crate) fn outside(scratch: &Scratch) -> Result<PathBuf, integration::Skip> {
    let outside = scratch.make("outside");
    fs::write(outside.join("victim"), "untouched").expect("write a file");
    Ok(scratch.for_everybody()?.join("outside"))
}

#[track_caller]
fn nothing_escaped(scratch: &Scratch, before: &[String]) {
    assert_eq!(tree::listing(&scratch.join("outside")), before, "nothing outside of the layer changed");
    let names: Vec<String> = tree::listing(scratch.path());
    let escaped: Vec<_> = names.iter().filter(|line| line.contains("escaped")).collect();
    assert!(escaped.is_empty(), "written outside: {escaped:?}");
    assert!(!Path::new("/escaped").exists(), "written at the root of the machine");
}

fn dot_dot(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, before) = prepare(scratch, driver);
    outside(scratch)?;
    let safe = tree::listing(&scratch.join("outside"));
    for name in ["../escaped", "../../../../outside/escaped", "dir/../../escaped", "./../escaped", ".."] {
        let file = RawTar::new().directory("dir/").file(name, "x").write(&scratch.join("bad.tar"));
        refused_archive(&store, &before, &file, &["escape"]);
        nothing_escaped(scratch, &safe);
    }
    Ok(())
}

fn absolute(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, before) = prepare(scratch, driver);
    let target = outside(scratch)?.join("escaped").display().to_string();
    let safe = tree::listing(&scratch.join("outside"));
    let file = RawTar::new().file(&target, "x").write(&scratch.join("bad.tar"));
    refused_archive(&store, &before, &file, &["escape"]);
    nothing_escaped(scratch, &safe);
    Ok(())
}

pub(crate) fn by_symlink(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, before) = prepare(scratch, driver);
    let victim = outside(scratch)?;
    let safe = tree::listing(&scratch.join("outside"));
    let absolute = victim.display().to_string();
    for target in [absolute.as_str(), "../../../../outside", "../../../../../../../../../../../../../../../.."] {
        let file = RawTar::new().symlink("way", target).file("way/escaped", "x").write(&scratch.join("bad.tar"));
        refused_archive(&store, &before, &file, &["escape"]);
        nothing_escaped(scratch, &safe);
    }
    Ok(())
}

pub(crate) fn by_hard_link(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, before) = prepare(scratch, driver);
    let victim = outside(scratch)?.join("victim").display().to_string();
    let safe = tree::listing(&scratch.join("outside"));
    for target in [victim.as_str(), "../../../../outside/victim", "dir/../../../../../outside/victim"] {
        let tar = RawTar::new().directory("dir/").hard_link("name", target).file("name", "changed");
        let file = tar.write(&scratch.join("bad.tar"));
        refused_archive(&store, &before, &file, &[]);
        nothing_escaped(scratch, &safe);
    }
    let through = RawTar::new().symlink("way", "/").hard_link("name", &format!("way{victim}"));
    refused_archive(&store, &before, &through.write(&scratch.join("bad.tar")), &[]);
    nothing_escaped(scratch, &safe);
    Ok(())
}

pub(crate) fn by_whiteout(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, before) = prepare(scratch, driver);
    let victim = outside(scratch)?;
    let safe = tree::listing(&scratch.join("outside"));
    let way = victim.display().to_string();
    for name in ["../../../../outside/.wh.victim", "way/.wh.victim", "way/.wh..wh..opq"] {
        let file = RawTar::new().symlink("way", &way).file(name, "").write(&scratch.join("bad.tar"));
        refused_archive(&store, &before, &file, &["escape"]);
        nothing_escaped(scratch, &safe);
    }
    for name in [".wh.", "dir/.wh...", "dir/.wh.."] {
        let file = RawTar::new().directory("dir/").file(name, "").write(&scratch.join("bad.tar"));
        refused_archive(&store, &before, &file, &[]);
    }
    Ok(())
}

/// An archive that has a name twice is refused, or comes back byte for byte with the later entry in the tree.
fn duplicates(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, before) = prepare(scratch, driver);
    let tar = RawTar::new().file("twice", "first").file("between", "b").file("twice", "the second");
    let file = tar.write(&scratch.join("twice.tar"));
    let path = file.to_str().expect("a printable path");
    let layer = id("twice");
    let ended = store.run(&["import-layer", "-i", &layer, "-f", path]);
    if !ended.output.status.success() {
        one_line(&ended, &["twice"]);
        assert_eq!(sight(&store), before, "the store is as before");
        return Ok(());
    }
    assert_eq!(store.diff(&layer), fs::read(&file).expect("read an archive"), "the archive comes back");
    let content = fs::read_to_string(store.mount(&layer).join("twice")).expect("read");
    store.unmount(&layer);
    assert_eq!(content, "the second");
    Ok(())
}
