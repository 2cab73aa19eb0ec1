//! An archive goes in, the tree is that of GNU tar, and the archive comes out.

use std::fs;
use std::path::Path;

use integration::archive::{self, COMPRESSIONS};
use integration::case::{Case, case};
use integration::rootfs::{self, Form};
use integration::store::{Store, id};
use integration::{Outcome, Scratch, tree};

pub(crate) const CASES: &[Case] = &[
    case("roundtrip::debian_plain::overlay", 240, |s| debian(s, "overlay", Form::Plain)),
    case("roundtrip::debian_plain::vfs", 240, |s| debian(s, "vfs", Form::Plain)),
    case("roundtrip::debian_plain::btrfs", 240, |s| debian(s, "btrfs", Form::Plain)),
    case("roundtrip::debian_gzip::overlay", 240, |s| debian(s, "overlay", Form::Gzip)),
    case("roundtrip::debian_gzip::vfs", 240, |s| debian(s, "vfs", Form::Gzip)),
    case("roundtrip::debian_gzip::btrfs", 240, |s| debian(s, "btrfs", Form::Gzip)),
    case("roundtrip::debian_zstd::overlay", 240, |s| debian(s, "overlay", Form::Zstd)),
    case("roundtrip::debian_zstd::vfs", 240, |s| debian(s, "vfs", Form::Zstd)),
    case("roundtrip::debian_zstd::btrfs", 240, |s| debian(s, "btrfs", Form::Zstd)),
    case("roundtrip::one_of_everything_pax::overlay", 60, |s| everything(s, "overlay", "pax")),
    case("roundtrip::one_of_everything_pax::vfs", 60, |s| everything(s, "vfs", "pax")),
    case("roundtrip::one_of_everything_pax::btrfs", 60, |s| everything(s, "btrfs", "pax")),
    case("roundtrip::one_of_everything_gnu::overlay", 60, |s| everything(s, "overlay", "gnu")),
    case("roundtrip::one_of_everything_gnu::vfs", 60, |s| everything(s, "vfs", "gnu")),
    case("roundtrip::one_of_everything_gnu::btrfs", 60, |s| everything(s, "btrfs", "gnu")),
    case("roundtrip::sparse_members_come_back_byte_for_byte::overlay", 60, |s| sparse(s, "overlay")),
    case("roundtrip::sparse_members_come_back_byte_for_byte::vfs", 60, |s| sparse(s, "vfs")),
    case("roundtrip::sparse_members_come_back_byte_for_byte::btrfs", 60, |s| sparse(s, "btrfs")),
    case("roundtrip::every_compression_is_recorded::overlay", 60, |s| compressions(s, "overlay")),
    case("roundtrip::every_compression_is_recorded::vfs", 60, |s| compressions(s, "vfs")),
    case("roundtrip::every_compression_is_recorded::btrfs", 60, |s| compressions(s, "btrfs")),
    case("roundtrip::several_frames::overlay", 60, frames),
];

pub(crate) fn debian(scratch: &Scratch, driver: &'static str, form: Form) -> Outcome {
    let plain = rootfs::archive(Form::Plain)?;
    let given = rootfs::archive(form)?;
    check(
        scratch,
        driver,
        &given,
        &plain,
        match form {
            Form::Plain => 0,
            Form::Gzip => 2,
            Form::Zstd => 4,
        },
    );
    Ok(())
}

pub(crate) fn everything(scratch: &Scratch, driver: &'static str, format: &str) -> Outcome {
    let made = scratch.make("made");
    archive::one_of_everything(&made);
    let file = scratch.join("everything.tar");
    archive::pack(&made, &file, format);
    check(scratch, driver, &file, &file, 0);
    Ok(())
}

/// Imports `given`, of which `plain` is the uncompressed form, and compares everything with GNU tar's extraction.
fn check(scratch: &Scratch, driver: &'static str, given: &Path, plain: &Path, compression: u64) {
    let store = Store::new(scratch, "store", driver);
    let layer = id("layer");
    store.import(&layer, None, given);

    let by_tar = scratch.join("by-tar");
    archive::unpack(plain, &by_tar);
    let mounted = store.mount(&layer);
    tree::assert_same("the mounted layer and GNU tar's extraction", &tree::read(&mounted), &tree::read(&by_tar));
    store.unmount(&layer);

    let out = scratch.join("out.tar");
    store.diff_to(&layer, &out);
    let digest = tree::digest_of(plain);
    assert_eq!(tree::digest_of(&out), digest, "diff gives the uncompressed archive back byte for byte");
    check_record(&store, &layer, given, plain, compression);
}

fn check_record(store: &Store, layer: &str, given: &Path, plain: &Path, compression: u64) {
    let record = store.record(layer);
    let size = |file: &Path| fs::metadata(file).expect("stat an archive").len();
    assert_eq!(record["diff-digest"], format!("sha256:{}", tree::digest_of(plain)), "diff-digest of {record}");
    assert_eq!(record["diff-size"], size(plain), "diff-size of {record}");
    assert_eq!(record["compression"].as_u64().unwrap_or(0), compression, "compression of {record}");
    if compression == 0 {
        return; // versions of the reference differ in what they record of a blob that isn't compressed
    }
    assert_eq!(record["compressed-diff-digest"], format!("sha256:{}", tree::digest_of(given)), "in {record}");
    assert_eq!(record["compressed-size"], size(given), "compressed-size of {record}");
}

fn compressions(scratch: &Scratch, driver: &'static str) -> Outcome {
    let plain = archive::small(scratch.path(), "small", 20, 3000);
    let store = Store::new(scratch, "store", driver);
    for (program, code) in COMPRESSIONS {
        let packed = archive::compress(&plain, program)?;
        let layer = id(program);
        store.import(&layer, None, &packed);
        let digest = archive::sha256(&store.diff(&layer));
        assert_eq!(digest, tree::digest_of(&plain), "diff of what came in by {program}");
        check_record(&store, &layer, &packed, &plain, code);
    }
    Ok(())
}

pub(crate) fn sparse(scratch: &Scratch, driver: &'static str) -> Outcome {
    let made = scratch.make("made");
    archive::put(&made, "before", "before");
    archive::sparse_file(&made.join("hollow"));
    archive::put(&made, "later", "later");
    let store = Store::new(scratch, "store", driver);
    for version in ["--format=gnu", "--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"] {
        let file = scratch.join(format!("sparse{version}.tar"));
        let mut tar = std::process::Command::new("tar");
        tar.args(["--create", "--sparse", "--sort=name", version]);
        if version != "--format=gnu" {
            tar.arg("--format=posix");
        }
        tar.arg("-f").arg(&file).arg("-C").arg(&made).arg(".");
        integration::store::must(tar);
        let layer = id(version);
        store.import(&layer, None, &file);
        let same = archive::sha256(&store.diff(&layer)) == tree::digest_of(&file);
        assert!(same, "diff gives an archive with {version} back byte for byte");
        let by_tar = scratch.join(format!("by-tar{version}"));
        archive::unpack(&file, &by_tar);
        let mounted = store.mount(&layer);
        tree::assert_same(version, &tree::read(&mounted), &tree::read(&by_tar));
        store.unmount(&layer);
    }
    Ok(())
}

/// Compressed streams may be several one after the other, and zstd's may have frames to be skipped.
fn frames(scratch: &Scratch) -> Outcome {
    let plain = archive::small(scratch.path(), "small", 20, 3000);
    let bytes = fs::read(&plain).expect("read an archive");
    let store = Store::new(scratch, "store", "overlay");
    for program in ["gzip", "zstd", "bzip2", "xz"] {
        let mut joined = Vec::new();
        for (number, part) in bytes.chunks(bytes.len() / 3 + 1).enumerate() {
            let file = scratch.join(format!("part{number}"));
            fs::write(&file, part).expect("write a part");
            if program == "zstd" {
                joined.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
            }
            joined.extend(fs::read(archive::compress(&file, program)?).expect("read a part"));
        }
        let packed = scratch.join(format!("joined.{program}"));
        fs::write(&packed, joined).expect("write an archive");
        let layer = id(program);
        store.import(&layer, None, &packed);
        assert_eq!(archive::sha256(&store.diff(&layer)), archive::sha256(&bytes), "three streams of {program}");
    }
    Ok(())
}
