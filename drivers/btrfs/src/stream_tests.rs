//! Streams made by hand, and damaged ones.

use proptest::prelude::*;

use super::*;

fn attribute(number: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a short value");
    [&number.to_le_bytes()[..], &length.to_le_bytes(), value].concat()
}

fn command(number: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let body: Vec<u8> = attributes.iter().flat_map(|(number, value)| attribute(*number, value)).collect();
    let mut head = [&(body.len() as u32).to_le_bytes()[..], &number.to_le_bytes(), &[0; 4]].concat();
    let crc = checksum(&head, &body);
    head[6..].copy_from_slice(&crc.to_le_bytes());
    [head, body].concat()
}

fn begin() -> Vec<u8> {
    let snapshot: &[(u16, &[u8])] =
        &[(PATH, b"new"), (UUID, &[1; 16]), (TRANSID, &[0; 8]), (CLONE_UUID, &[2; 16]), (CLONE_TRANSID, &[0; 8])];
    [MAGIC, &VERSION.to_le_bytes(), &command(SNAPSHOT, snapshot)].concat()
}

fn read(bytes: &[u8]) -> Result<Vec<Command>> {
    let mut stream = Stream::new(bytes)?;
    let mut commands = Vec::new();
    while let Some(command) = stream.next()? {
        commands.push(command);
    }
    Ok(commands)
}

/// What a stream with this one command says.
fn only(number: u16, attributes: &[(u16, &[u8])]) -> Result<Vec<Command>> {
    read(&[begin(), command(number, attributes), command(END, &[])].concat())
}

fn at(path: &str) -> Vec<Command> {
    vec![Command::At(path.into())]
}

fn attributes_at(path: &str) -> Vec<Command> {
    vec![Command::Attributes(path.into())]
}

#[test]
fn every_command_names_its_paths() {
    let eight: &[u8] = &[7; 8];
    let twelve: &[u8] = &[7; 12];
    let path: (u16, &[u8]) = (PATH, b"d/f");
    for number in [3, 4, 6, 7] {
        assert_eq!(only(number, &[path, (INO, eight)]).expect("made"), at("d/f"), "{number}");
    }
    assert_eq!(only(5, &[path, (INO, eight), (RDEV, eight), (MODE, eight)]).expect("device"), at("d/f"));
    assert_eq!(only(8, &[path, (INO, eight), (PATH_LINK, b"../x")]).expect("symlink"), at("d/f"));
    for number in [11, 12] {
        assert_eq!(only(number, &[path]).expect("removed"), at("d/f"), "{number}");
    }
    assert_eq!(only(13, &[path, (XATTR_NAME, b"user.k"), (XATTR_DATA, b"")]).expect("xattr"), attributes_at("d/f"));
    assert_eq!(only(14, &[path, (XATTR_NAME, b"user.k")]).expect("xattr"), attributes_at("d/f"));
    assert_eq!(only(17, &[path, (SIZE, eight)]).expect("truncate"), at("d/f"));
    assert_eq!(only(18, &[path, (MODE, eight)]).expect("chmod"), attributes_at("d/f"));
    assert_eq!(only(19, &[path, (UID, eight), (GID, eight)]).expect("chown"), attributes_at("d/f"));
    assert_eq!(
        only(20, &[(PATH, b""), (ATIME, twelve), (MTIME, twelve), (CTIME, twelve)]).expect("times"),
        attributes_at("")
    );
    assert_eq!(only(22, &[path, (FILE_OFFSET, eight), (SIZE, eight)]).expect("content"), at("d/f"));
    let renamed = vec![Command::Rename { from: "d/f".into(), to: "e".into() }];
    assert_eq!(only(RENAME, &[path, (PATH_TO, b"e")]).expect("rename"), renamed);
    let linked = vec![Command::Link { new: "d/f".into(), existing: "e".into() }];
    assert_eq!(only(LINK, &[path, (PATH_LINK, b"e")]).expect("link"), linked);
}

#[test]
fn what_is_unknown_or_out_of_place_is_refused() {
    let path: (u16, &[u8]) = (PATH, b"f");
    assert!(only(0, &[path]).is_err() && only(15, &[path]).is_err() && only(16, &[path]).is_err());
    assert!(only(23, &[path]).is_err() && only(0xffff, &[]).is_err());
    assert!(only(11, &[]).is_err(), "no path");
    assert!(only(11, &[path, path]).is_err(), "two paths");
    assert!(only(11, &[(PATH_TO, b"f")]).is_err(), "another attribute");
    assert!(only(18, &[path, (MODE, &[0; 4])]).is_err(), "a short number");
    assert!(only(14, &[path, (XATTR_NAME, &[b'x'; 256])]).is_err(), "a name that is too long");
    assert!(read(&[begin(), begin()[MAGIC.len() + 4..].to_vec()].concat()).is_err(), "two beginnings");
    assert!(read(&[&begin()[..MAGIC.len() + 4], &command(11, &[path])[..]].concat()).is_err(), "none");
    assert!(read(&begin()).is_err(), "no end");
    let mut version = begin();
    version[MAGIC.len()] = 2;
    assert!(read(&version).is_err(), "another version");
}

#[test]
fn a_path_is_relative_and_of_plain_names() {
    for wrong in ["/f", "f/", "a//b", "..", "a/../b", "./a", "a/.", "a\0b", &"x".repeat(256)] {
        assert!(only(11, &[(PATH, wrong.as_bytes())]).is_err(), "{wrong:?}");
    }
    assert!(only(11, &[(PATH, &[b'x'; 5000])]).is_err(), "too long");
    assert_eq!(only(11, &[(PATH, b"...")]).expect("a name"), at("..."));
}

#[test]
fn a_length_beyond_the_kernels_buffer_is_refused_before_it_is_read() {
    let head = [&(LONGEST as u32 + 1).to_le_bytes()[..], &11_u16.to_le_bytes(), &[0; 4]].concat();
    let refused = read(&[begin(), head].concat()).expect_err("too long");
    assert!(refused.to_string().contains("too long"), "{refused}");
}

#[test]
fn the_checksum_is_the_kernels() {
    // As btrfs-progs computes it: crc32c from zero, without a final inversion.
    assert_eq!(checksum(b"123456789", b""), 0x58e3_fa20);
}

fn sample() -> Vec<u8> {
    let commands = [
        command(4, &[(PATH, b"o257-9-0"), (INO, &[1, 1, 0, 0, 0, 0, 0, 0])]),
        command(RENAME, &[(PATH, b"o257-9-0"), (PATH_TO, b"dir")]),
        command(LINK, &[(PATH, b"dir/f"), (PATH_LINK, b"f")]),
        command(20, &[(PATH, b""), (ATIME, &[0; 12]), (MTIME, &[0; 12]), (CTIME, &[0; 12])]),
        command(END, &[]),
    ];
    [begin(), commands.concat()].concat()
}

proptest! {
    #[test]
    fn no_flipped_byte_and_no_cut_goes_unnoticed(at in 0..400_usize, flip in 1..=255_u8) {
        let whole = sample();
        let all = read(&whole).expect("the sample is whole");
        let at = at % whole.len();
        let mut flipped = whole.clone();
        flipped[at] ^= flip;
        prop_assert!(read(&flipped).is_err());
        prop_assert!(read(&whole[..at]).is_err());
        prop_assert_eq!(all.len(), 4);
    }

    #[test]
    fn anything_ends_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
        let _ = read(&[begin(), bytes].concat());
    }

    #[test]
    fn any_attributes_end_without_a_panic(
        number in 0..30_u16,
        attributes in prop::collection::vec((0..26_u16, prop::collection::vec(any::<u8>(), 0..20)), 0..6),
    ) {
        let borrowed: Vec<_> = attributes.iter().map(|(number, value)| (*number, value.as_slice())).collect();
        if let Ok(commands) = only(number, &borrowed) {
            for command in commands {
                let paths = match command {
                    Command::At(path) | Command::Attributes(path) => vec![path],
                    Command::Link { new, existing } => vec![new, existing],
                    Command::Rename { from, to } => vec![from, to],
                };
                prop_assert!(paths.iter().all(|path| path.is_relative()));
            }
        }
    }
}
