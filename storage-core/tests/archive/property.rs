//! Whatever sequence of entries an archive has, it comes back bit for bit.

use proptest::prelude::*;
use storage_core::archive::Whiteouts;
use storage_core::archive::tar::{Entry, EntryKind, Time};
use storage_core::archive::write::TarWriter;

use crate::support::{OVERLAY, check_lines, file, ingest_bytes, replay_from, scratch};

/// One step, on few names, so that they collide.
fn entry() -> impl Strategy<Value = (Entry, Vec<u8>)> {
    let part = prop::sample::select(vec!["a", "b", ".wh.a", "c", "\u{e4}<"]);
    let name = prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"));
    let kind = prop::sample::select(vec![
        EntryKind::Regular,
        EntryKind::Regular,
        EntryKind::Regular,
        EntryKind::Directory,
        EntryKind::Directory,
        EntryKind::Symlink,
        EntryKind::HardLink,
        EntryKind::Fifo,
    ]);
    let link = prop::sample::select(vec!["a", "b", "a/b", "..", "/c", "b/a/c"]);
    let content = prop::collection::vec(any::<u8>(), 0..2000);
    let times = (-5_000_000_000_i64..5_000_000_000, 0..1_000_000_000_u32);
    (name, kind, link, content, times, any::<u16>(), any::<u32>()).prop_map(
        |(name, kind, link, content, (seconds, nanos), mode, uid)| {
            let content = if kind == EntryKind::Regular { content } else { Vec::new() };
            let link = match kind {
                EntryKind::Symlink | EntryKind::HardLink => link.as_bytes().to_vec(),
                _ => Vec::new(),
            };
            let mode = u32::from(mode) & 0o7777;
            let uid = uid & 0x7fff_ffff;
            let mtime = Time { seconds, nanos };
            (Entry { kind, link, mode, uid, mtime, ..file(&name, content.len() as u64) }, content)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_can_be_ingested_comes_back(
        entries in prop::collection::vec(entry(), 0..18),
        apply in any::<bool>(),
        trailing in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let dir = scratch();
        let whiteouts = if apply { Whiteouts::Apply } else { OVERLAY };
        // Entries that can't be applied to what is there are left out, one by one.
        let mut kept: Vec<(Entry, Vec<u8>)> = Vec::new();
        for (number, entry) in entries.into_iter().enumerate() {
            kept.push(entry);
            let root = dir.path().join(format!("try-{number}"));
            std::fs::create_dir(&root).unwrap();
            if ingest_bytes(&written(&kept), &root, whiteouts).is_err() {
                kept.pop();
            }
        }
        let blob = [written(&kept), trailing].concat();
        let root = dir.path().join("a");
        let (ingested, split) = ingest_bytes(&blob, &root, whiteouts).unwrap();
        prop_assert_eq!(ingested.entries, kept.len() as u64);
        check_lines(&split);
        let (_, back) = replay_from(&split, &root).unwrap();
        prop_assert!(back == blob);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..3000), at in 0..1500_usize) {
        let dir = scratch();
        let mut blob = written(&[(file("f", 3), b"abc".to_vec()), (file(&"n".repeat(120), 0), Vec::new())]);
        for (place, byte) in blob.iter_mut().skip(at).zip(&bytes) {
            *place = *byte;
        }
        let _ = ingest_bytes(&bytes, &dir.path().join("a"), OVERLAY);
        let _ = ingest_bytes(&blob, &dir.path().join("b"), OVERLAY);
    }
}

fn written(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (entry, content) in entries {
        tar.entry(entry).unwrap();
        tar.data(content).unwrap();
    }
    tar.finish().unwrap()
}
