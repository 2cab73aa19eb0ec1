//! Archives to import: of trees made for the purpose, and written by hand where no tool would write them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags};
use sha2::{Digest as _, Sha256};

use crate::case::Skip;
use crate::machine;
use crate::store::must;

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The programs that compress, with the number that a record has for them.
pub const COMPRESSIONS: [(&str, u64); 4] = [("bzip2", 1), ("gzip", 2), ("xz", 3), ("zstd", 4)];

/// Compresses a file beside itself and gives the new file.
pub fn compress(file: &Path, program: &str) -> Result<PathBuf, Skip> {
    let packed = PathBuf::from(format!("{}.{program}", file.display()));
    let out = fs::File::create(&packed).expect("make a compressed archive");
    let done = Command::new(machine::need(program)?)
        .arg("-c")
        .arg(file)
        .stdout(Stdio::from(out))
        .status()
        .expect("run a compressor");
    assert!(done.success(), "{program} failed");
    Ok(packed)
}

/// Packs a tree by GNU tar in the given format (`pax` or `gnu`), with xattrs.
pub fn pack(tree: &Path, archive: &Path, format: &str) {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--sort=name", "--sparse"]);
    tar.arg(format!("--format={}", if format == "gnu" { "gnu" } else { "posix" }));
    if format == "gnu" {
        // The GNU form has no place for xattrs, and tar would quietly write the other.
        tar = Command::new("tar");
        tar.args(["--create", "--format=gnu", "--numeric-owner", "--sort=name"]);
    }
    tar.arg("-f").arg(archive).arg("-C").arg(tree).arg(".");
    must(tar);
}

/// Unpacks an archive by GNU tar, keeping all that it keeps.
pub fn unpack(archive: &Path, tree: &Path) {
    fs::create_dir_all(tree).expect("make a directory to unpack into");
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--same-owner", "--same-permissions"]);
    tar.arg("-f").arg(archive).arg("-C").arg(tree);
    must(tar);
}

/// Writes a file with parents.
pub fn put(root: &Path, name: &str, content: impl AsRef<[u8]>) {
    let file = root.join(name);
    fs::create_dir_all(file.parent().expect("a file has a directory")).expect("make a directory");
    fs::write(file, content).expect("write a file");
}

/// Sets the time of change of a path, not following links.
pub fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("set a time");
}

/// Makes a tree with one of everything that an archive can carry. Returns its directory.
pub fn one_of_everything(tree: &Path) {
    put(tree, "etc/passwd", "root:x:0:0::/:/bin/sh\n");
    put(tree, "etc/empty", "");
    put(tree, "usr/bin/tool", vec![7_u8; 200_000]);
    let deep = "d".repeat(60);
    put(tree, &format!("long/{deep}/{deep}/{deep}/{}", "f".repeat(180)), "at the end of a long name\n");
    fs::hard_link(tree.join("usr/bin/tool"), tree.join("usr/bin/zz-other-name")).expect("link");
    fs::hard_link(tree.join("usr/bin/tool"), tree.join("etc/another-name")).expect("link");
    symlink("../etc/passwd", tree.join("usr/link")).expect("symlink");
    symlink("/nowhere/at/all", tree.join("usr/dangling")).expect("symlink");
    symlink("t".repeat(150), tree.join("usr/long-target")).expect("symlink");
    put(tree, "names/with space and ünïcode", "x");
    put(tree, "names/back\\slash", "x");
    fs::create_dir_all(tree.join("dev")).expect("make a directory");
    let mode = Mode::from_bits_truncate(0o620);
    mknod(&tree.join("dev/block"), SFlag::S_IFBLK, mode, makedev(7, 300)).expect("mknod");
    mknod(&tree.join("dev/char"), SFlag::S_IFCHR, mode, makedev(1, 3)).expect("mknod");
    mknod(&tree.join("dev/pipe"), SFlag::S_IFIFO, mode, 0).expect("mknod");
    let set_id = |name: &str, mode: u32| {
        put(tree, name, "s");
        fs::set_permissions(tree.join(name), fs::Permissions::from_mode(mode)).expect("chmod");
    };
    set_id("modes/setuid", 0o4755);
    set_id("modes/setgid", 0o2755);
    set_id("modes/none", 0o000);
    fs::create_dir_all(tree.join("tmp")).expect("make a directory");
    fs::set_permissions(tree.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("chmod");
    put(tree, "owned/file", "owned");
    std::os::unix::fs::chown(tree.join("owned/file"), Some(1000), Some(3_000_000)).expect("chown");
    std::os::unix::fs::lchown(tree.join("usr/link"), Some(12), Some(34)).expect("lchown");
    put(tree, "xattrs/file", "x");
    let set = |name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(tree.join("xattrs/file"), name, value, XattrFlags::empty()).expect("set an xattr");
    };
    set("user.text", b"some text");
    set("user.binary", &[0, 1, 10, 61, 255]);
    // cap_net_raw=ep, as version 2 of the capability attribute.
    set("security.capability", &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    put(tree, "times/sub-second", "t");
    set_time(&tree.join("times/sub-second"), 1_234_567_890, 123_456_789);
    put(tree, "times/before-the-epoch", "t");
    set_time(&tree.join("times/before-the-epoch"), -86_400, 0);
    set_time(&tree.join("usr/link"), 1_000_000_000, 1);
    fs::create_dir_all(tree.join("empty-directory")).expect("make a directory");
    set_time(&tree.join("empty-directory"), 1_111_111_111, 222_333_444);
}

/// Adds a sparse file: 8 MiB with two islands of data.
pub fn sparse_file(file: &Path) {
    use std::os::unix::fs::FileExt as _;
    let sparse = fs::File::create(file).expect("make a sparse file");
    sparse.set_len(8 << 20).expect("set a size");
    sparse.write_all_at(&[1; 5000], 1 << 20).expect("write");
    sparse.write_all_at(&[2; 5000], 6 << 20).expect("write");
}

/// A small archive of `files` files of `size` bytes, made by GNU tar.
pub fn small(dir: &Path, name: &str, files: usize, size: usize) -> PathBuf {
    let tree = dir.join(format!("{name}.tree"));
    for number in 0..files {
        let byte = u8::try_from(number % 251).expect("below 251");
        put(&tree, &format!("dir{}/{name}-{number}", number % 7), vec![byte; size]);
    }
    let archive = dir.join(format!("{name}.tar"));
    // Never sparse: zfs makes holes of zeros, and what the reference keeps of an archive with sparse members doesn't give
    // it back (`concurrent::sparse_members_of_the_reference`).
    let mut tar = Command::new("tar");
    tar.args(["--create", "--format=posix", "--numeric-owner", "--sort=name"]);
    tar.arg("-f").arg(&archive).arg("-C").arg(&tree).arg(".");
    must(tar);
    archive
}

/// Writes a tar archive entry by entry, without any check.
#[derive(Debug, Default)]
pub struct RawTar(Vec<u8>);

impl RawTar {
    /// An archive without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry of a type with a link target and content.
    #[must_use = "the archive is moved"]
    pub fn entry(mut self, name: &str, kind: u8, target: &str, content: &[u8]) -> Self {
        assert!(name.len() <= 100 && target.len() <= 100, "{name:?} or {target:?} is too long for a plain header");
        let mut header = [0_u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000755\0");
        header[108..116].copy_from_slice(b"0000000\0");
        header[116..124].copy_from_slice(b"0000000\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[136..148].copy_from_slice(b"07346545000\0");
        header[156] = kind;
        header[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Adds a regular file.
    #[must_use = "the archive is moved"]
    pub fn file(self, name: &str, content: &str) -> Self {
        self.entry(name, b'0', "", content.as_bytes())
    }

    /// Adds a directory.
    #[must_use = "the archive is moved"]
    pub fn directory(self, name: &str) -> Self {
        self.entry(name, b'5', "", b"")
    }

    /// Adds a symbolic link.
    #[must_use = "the archive is moved"]
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(name, b'2', target, b"")
    }

    /// Adds a hard link.
    #[must_use = "the archive is moved"]
    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(name, b'1', target, b"")
    }

    /// Ends the archive and writes it to a file.
    pub fn write(mut self, file: &Path) -> PathBuf {
        self.0.extend_from_slice(&[0; 1024]);
        fs::write(file, &self.0).expect("write an archive");
        file.to_path_buf()
    }
}
