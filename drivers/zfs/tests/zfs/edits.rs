//! Random edits of a tree, the same for the same seed.

use std::fs;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::id;

use rustix::fs::{FileType, Mode, XattrFlags};

/// A generator of numbers that need not be good, only many.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// A name out of few, so that edits meet.
    fn name(&mut self) -> &'static str {
        ["a", "b", "c d", "e\tf", "ä", "\\0040", "g\nh", "<xattrdir>"][self.below(8)]
    }

    /// A path of up to three names below `root`.
    fn path(&mut self, root: &Path) -> PathBuf {
        let mut path = root.to_path_buf();
        for _ in 0..=self.below(3) {
            path.push(self.name());
        }
        path
    }
}

/// Does one thing to the tree at `root`; one that isn't possible does nothing.
fn edit(root: &Path, random: &mut Random) {
    let path = random.path(root);
    let done: std::io::Result<()> = match random.below(16) {
        0..=2 => {
            let content = vec![random.below(256) as u8; random.below(9000)];
            open(fs::OpenOptions::new().create(true).truncate(true), &path)
                .and_then(|file| file.write_all_at(&content, 0))
        }
        3 | 4 => fs::create_dir(&path),
        5 => open(&mut fs::OpenOptions::new(), &path).and_then(|file| file.write_all_at(b"edited", 3)),
        6 => open(&mut fs::OpenOptions::new(), &path).and_then(|file| file.set_len(random.below(20_000) as u64)),
        7 | 8 => fs::rename(&path, random.path(root)),
        9 => fs::hard_link(&path, random.path(root)),
        10 => fs::remove_file(&path),
        11 => fs::remove_dir_all(&path),
        12 => symlink(random.name(), &path),
        13 => match random.below(2) {
            0 => fs::set_permissions(&path, fs::Permissions::from_mode(0o600 + random.below(64) as u32)),
            _ => chown(&path, Some(random.below(5) as u32), None),
        },
        14 => match random.below(2) {
            0 => rustix::fs::lsetxattr(&path, "user.k", &[random.below(9) as u8], XattrFlags::empty()),
            _ => rustix::fs::lremovexattr(&path, "user.k"),
        }
        .map_err(Into::into),
        _ => {
            let kind = [FileType::Fifo, FileType::CharacterDevice, FileType::Socket][random.below(3)];
            rustix::fs::mknodat(rustix::fs::CWD, &path, kind, Mode::RUSR, rustix::fs::makedev(1, 3)).map_err(Into::into)
        }
    };
    drop(done);
}

/// Opens a file for writing; a fifo without a reader is an error, not a wait.
fn open(how: &mut fs::OpenOptions, path: &Path) -> std::io::Result<fs::File> {
    how.write(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// Does up to `most` things.
pub(crate) fn edits(root: &Path, random: &mut Random, most: usize) {
    for _ in 0..=random.below(most) {
        edit(root, random);
    }
}

/// A path to a directory that a descriptor of this process has open.
pub(crate) fn path_of(fd: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{fd}", id()))
}
