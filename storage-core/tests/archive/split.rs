//! tar-split: what is written is what the reference writes, and it gives every archive back or says why not.

use std::io::Read;
use std::path::Path;

use storage_core::archive::{Whiteouts, replay};
use storage_core::{Error, Kind, Task};

use crate::support::Member::{Dir, File as Regular, Hard, Symlink};
use crate::support::{
    OVERLAY, archive, check_lines, gnu_tar, ingest_bytes, replay_from, round_trip, scratch, split_lines,
};

#[test]
fn trailing_bytes_come_back() {
    for trailing in [0, 1, 511, 10_000, 3_000_000] {
        let dir = scratch();
        let blob = [archive(&[Regular("f", "x")]), (0..trailing).map(|at: u32| (at / 3) as u8 | 1).collect()].concat();
        round_trip(&blob, &dir.path().join("a"), OVERLAY);
    }
}

#[test]
fn what_a_later_entry_destroys_comes_back() {
    let big = "0123456789abcdef".repeat(40_000);
    let cases: [(&str, Vec<crate::support::Member<'_>>); 12] = [
        ("twice", vec![Regular("f", "first"), Regular("f", "second, longer")]),
        ("thrice", vec![Regular("f", "1"), Regular("./f", &big), Regular("././f", "3")]),
        ("empty first", vec![Regular("f", ""), Regular("f", "second")]),
        ("empty last", vec![Regular("f", "first"), Regular("f", "")]),
        ("directory first", vec![Dir("f/"), Regular("f/in", "x"), Regular("f", "second")]),
        ("directory last", vec![Regular("f", "first"), Dir("f/"), Regular("f/in", "x")]),
        ("whiteout", vec![Dir("d/"), Regular("d/f", &big), Regular(".wh.d", ""), Regular("g", "x")]),
        ("whiteout and again", vec![Regular("f", "1"), Regular(".wh.f", ""), Regular("f", "2"), Regular(".wh.f", "")]),
        (
            "hard link over it",
            vec![Regular("f", "first"), Regular("g", "second"), Hard("f", "g"), Regular("g", "third")],
        ),
        (
            "file under a hard link",
            vec![Regular("f", "first"), Hard("h", "f"), Regular("f", "second"), Regular("h", "3")],
        ),
        ("link over it", vec![Regular("f", "first"), Symlink("f", "g"), Regular("g", "x")]),
        (
            "through a link",
            vec![Dir("d/"), Symlink("l", "d"), Regular("l/f", "1"), Regular("d/f", "2"), Regular("l/f", "3")],
        ),
    ];
    for (what, members) in &cases {
        for whiteouts in [OVERLAY, Whiteouts::Apply] {
            let dir = scratch();
            let ingested = round_trip(&archive(members), &dir.path().join("a"), whiteouts);
            assert_eq!(ingested.entries, members.len() as u64, "{what}");
        }
    }
}

#[test]
fn a_directory_replaced_by_a_link_takes_its_files_along() {
    let dir = scratch();
    let members = [
        Dir("d/"),
        Regular("d/f", "in the directory"),
        Dir("e/"),
        Regular("e/f", "elsewhere"),
        Symlink("d", "e"),
        Regular("d/g", "through the link"),
    ];
    round_trip(&archive(&members), &dir.path().join("a"), OVERLAY);
}

#[test]
fn whiteouts_with_content_come_back() {
    let dir = scratch();
    round_trip(&archive(&[Regular(".wh.f", "content"), Regular("g", "x")]), &dir.path().join("a"), OVERLAY);
}

#[test]
fn lines_are_those_of_the_reference() {
    let dir = scratch();
    let blob = archive(&[Dir("data/"), Regular("data/a", "v2\n"), Regular("data/.wh.b", ""), Symlink("l", "data")]);
    let (_, split) = ingest_bytes(&blob, &dir.path().join("a"), OVERLAY).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&split[..]).read_to_string(&mut text).unwrap();
    let files: Vec<_> = text.lines().filter(|line| line.starts_with("{\"type\":1")).collect();
    assert_eq!(
        files,
        [
            "{\"type\":1,\"name\":\"data/\",\"payload\":null,\"position\":1}",
            "{\"type\":1,\"name\":\"data/a\",\"size\":3,\"payload\":\"YTHbMAAAAAA=\",\"position\":3}",
            "{\"type\":1,\"name\":\"data/.wh.b\",\"payload\":null,\"position\":5}",
            "{\"type\":1,\"name\":\"l\",\"payload\":null,\"position\":7}",
        ]
    );
    assert!(text.ends_with("{\"type\":2,\"payload\":\"\",\"position\":9}\n"), "nothing follows the archive's end");
}

/// The tar-split files of the golden samples beside the tests, made by the reference.
#[test]
fn files_of_the_reference_are_read() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive/golden");
    for (name, files) in [
        ("overlay", &[("data/a", "v2\n"), ("new/file", "n\n")][..]),
        ("vfs", &[("data/a", "v2\n"), ("new/file", "n\n")]),
    ] {
        let split = std::fs::read(golden.join(format!("{name}.tar-split.gz"))).unwrap();
        check_lines(&split);
        let dir = scratch();
        for (path, content) in files {
            let path = dir.path().join("a").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let (replayed, back) = replay_from(&split, &dir.path().join("a")).unwrap();
        assert_eq!(replayed.files, 2);
        // What came back is an archive, and ingesting it writes the same lines.
        let (_, again) = ingest_bytes(&back, &dir.path().join("b"), OVERLAY).unwrap();
        assert_eq!(split_lines(&again), split_lines(&split), "{name}");
    }
}

type Change = fn(&Path);

#[test]
fn a_file_that_changed_is_named() {
    let blob = archive(&[Dir("d/"), Regular("d/f", "content"), Regular("g", "x")]);
    let changes: [(&str, Change); 3] = [
        ("content", |root| std::fs::write(root.join("d/f"), "CONTENT").unwrap()),
        ("shorter", |root| std::fs::write(root.join("d/f"), "cont").unwrap()),
        ("gone", |root| std::fs::remove_file(root.join("d/f")).unwrap()),
    ];
    for (what, change) in changes {
        let dir = scratch();
        let root = dir.path().join("a");
        let (_, split) = ingest_bytes(&blob, &root, OVERLAY).unwrap();
        change(&root);
        let error = replay_from(&split, &root).map(drop).unwrap_err();
        assert_eq!((error.kind(), error.path()), (Kind::Changed, Some(Path::new("d/f"))), "{what}: {error}");
    }
}

#[test]
fn the_end_is_written_only_when_the_caller_agrees() {
    let dir = scratch();
    let root = dir.path().join("a");
    std::fs::write(dir.path().join("b/f"), "x".repeat(300_000)).unwrap();
    let blob = gnu_tar(&dir.path().join("b"), &["-c", "f"]);
    let (_, split) = ingest_bytes(&blob, &root, OVERLAY).unwrap();
    let mut out = Vec::new();
    let mut open = |path: &Path| std::fs::File::open(root.join(path)).map_err(|error| Error::os("open", path, error));
    let mut refuse = || Err(Error::new(Kind::Changed, "check layer"));
    let error = replay(&split[..], &mut open, &mut out, &mut refuse, &Task::new("replay")).unwrap_err();
    assert_eq!(error.kind(), Kind::Changed);
    let end = blob.iter().rposition(|byte| *byte != 0).unwrap();
    assert!(out.len() <= end, "{} of {} bytes: the end of the archive was written", out.len(), blob.len());
    assert_eq!(out, blob[..out.len()]);
}

#[test]
fn a_damaged_tar_split_is_told() {
    let dir = scratch();
    let root = dir.path().join("a");
    let (_, split) = ingest_bytes(&archive(&[Regular("f", "content")]), &root, OVERLAY).unwrap();
    for length in [0, 5, split.len() / 2, split.len() - 1] {
        let result = replay_from(&split[..length], &root);
        assert_eq!(result.map(drop).map_err(|error| error.kind()), Err(Kind::Corrupt), "cut to {length}");
    }
    let mut damaged = split.clone();
    damaged[split.len() / 2] ^= 0x10;
    assert!(replay_from(&damaged, &root).is_err());
}

#[test]
fn many_entries_come_back() {
    let names: Vec<String> = (0..3000).map(|at| format!("dir-{}/file-{at}", at % 7)).collect();
    let contents: Vec<String> = (0..3000_usize).map(|at| "z".repeat(at * 37 % 5000)).collect();
    let mut members: Vec<_> = names.iter().zip(&contents).map(|(name, content)| Regular(name, content)).collect();
    // Some of them twice.
    members.extend(names.iter().step_by(100).map(|name| Regular(name, "again")));
    let dir = scratch();
    round_trip(&archive(&members), &dir.path().join("a"), OVERLAY);
}
