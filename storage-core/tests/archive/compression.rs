//! Every compression is found, undone, and its damage told.

use std::io::{Read, Write};

use storage_core::archive::{Compression, Encoder, decoder};
use storage_core::{Kind, Result};

use crate::support::{Member, OVERLAY, archive, ingest_bytes, refused, scratch};

fn compressed(data: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        other => {
            let mut encoder = Encoder::new(Vec::new(), other).unwrap();
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn decompressed(data: &[u8]) -> Result<(Compression, Vec<u8>)> {
    let (compression, mut reader) = decoder(data)?;
    let mut out = Vec::new();
    reader.read_to_end(&mut out).map_err(storage_core::archive::compression::read_failed)?;
    Ok((compression, out))
}

const ALL: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Bzip2, Compression::Xz, Compression::Zstd];

fn data() -> Vec<u8> {
    (0..300_000_u32).flat_map(|at| (at.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()).collect()
}

#[test]
fn each_is_found_and_undone() {
    for compression in ALL {
        assert_eq!(decompressed(&compressed(&data(), compression)).unwrap(), (compression, data()), "{compression}");
        assert_eq!(Compression::from_code(compression.code()), Some(compression));
        assert_eq!(Compression::from_name(compression.name()), Some(compression));
    }
    assert_eq!(ALL.map(Compression::code), [0, 2, 1, 3, 4], "the numbers stand in JSON files");
}

#[test]
fn several_members_are_one_archive() {
    let plain = data();
    let (first, second) = plain.split_at(100_000);
    for compression in ALL {
        let both = [compressed(first, compression), compressed(second, compression)].concat();
        assert_eq!(decompressed(&both).unwrap().1, data(), "{compression}");
    }
}

#[test]
fn skippable_frames_are_skipped() {
    let plain = data();
    let (first, second) = plain.split_at(100_000);
    let (first, second) = (compressed(first, Compression::Zstd), compressed(second, Compression::Zstd));
    for magic in [0x50_u8, 0x5a, 0x5f] {
        let frame = |size: u32| {
            let mut frame = vec![magic, 0x2a, 0x4d, 0x18];
            frame.extend_from_slice(&size.to_le_bytes());
            frame.resize(frame.len() + size as usize, 0xab);
            frame
        };
        let all =
            [frame(0), frame(300_000), first.clone(), frame(7), second.clone(), frame(64), frame(500_000)].concat();
        assert_eq!(decompressed(&all).unwrap(), (Compression::Zstd, data()));
        assert_eq!(decompressed(&all[..all.len() - 1]).map_err(|error| error.kind()), Err(Kind::BadArchive));
    }
}

#[test]
fn what_is_cut_off_is_an_error() {
    for compression in ALL.into_iter().skip(1) {
        let whole = compressed(&data(), compression);
        for length in [whole.len() - 1, whole.len() - 5, whole.len() / 2, 20, 7] {
            let error = decompressed(&whole[..length]).expect_err(compression.name());
            assert_eq!(error.kind(), Kind::BadArchive, "{compression} cut to {length}: {error}");
        }
    }
}

#[test]
fn what_is_damaged_is_an_error() {
    for compression in ALL.into_iter().skip(1) {
        let whole = compressed(&data(), compression);
        for at in [whole.len() / 3, whole.len() / 2, whole.len() - 6] {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            match decompressed(&damaged) {
                Err(error) => assert_eq!(error.kind(), Kind::BadArchive, "{compression} at {at}: {error}"),
                Ok((_, out)) => {
                    assert!(out == data(), "{compression}: damage at {at} gave other data without an error");
                }
            }
        }
        let garbage = [&whole[..6.min(whole.len())], &[0xa5; 5000]].concat();
        assert_eq!(decompressed(&garbage).map_err(|error| error.kind()), Err(Kind::BadArchive), "{compression}");
    }
}

#[test]
fn what_can_only_be_read_is_refused_for_writing() {
    for compression in [Compression::Bzip2, Compression::Xz] {
        assert_eq!(
            Encoder::new(Vec::new(), compression).map(drop).map_err(|error| error.kind()),
            Err(Kind::NotSupported)
        );
    }
}

#[test]
fn an_archive_whose_first_name_is_a_magic_number_is_an_archive() {
    for name in ["BZh9", "P*M\u{18}"] {
        let archive = archive(&[Member::File(name, "x")]);
        assert_eq!(decompressed(&archive).unwrap().0, Compression::None, "{name}");
    }
}

#[test]
fn digests_cover_the_whole_blob() {
    let plain = [archive(&[Member::Dir("d/"), Member::File("d/f", "content")]), vec![7; 5000]].concat();
    for compression in ALL {
        let mut blob = compressed(&plain, compression);
        if compression == Compression::Zstd {
            blob.extend_from_slice(&[0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
        }
        let dir = scratch();
        let (ingested, _) = ingest_bytes(&blob, &dir.path().join("a"), OVERLAY).unwrap();
        assert_eq!(ingested.compression, compression);
        assert_eq!((ingested.compressed_size, ingested.diff_size), (blob.len() as i64, plain.len() as i64));
        assert_eq!(ingested.compressed_digest, sha256(&blob), "{compression}");
        assert_eq!(ingested.diff_digest, sha256(&plain), "{compression}");
        assert_eq!(ingested.entries, 2);
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    use std::fmt::Write;
    sha2::Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn garbage_in_each_compression_is_refused() {
    for compression in ALL {
        refused(&compressed(&data(), compression), OVERLAY, Kind::BadArchive, compression.name());
        refused(&compressed(b"", compression), OVERLAY, Kind::BadArchive, compression.name());
    }
}

#[test]
fn an_archive_cut_off_anywhere_is_refused() {
    let whole =
        archive(&[Member::Dir("d/"), Member::File("d/f", &"content".repeat(200)), Member::File(&"l".repeat(200), "x")]);
    for length in (0..whole.len() - 1024).step_by(37).chain((0..whole.len() - 1024).step_by(512)) {
        refused(&whole[..length], OVERLAY, Kind::BadArchive, &format!("cut to {length}"));
    }
}
