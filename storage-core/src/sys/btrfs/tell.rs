//! What the kernel tells about a subvolume, by a descriptor of a directory in it.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use nix::errno::Errno;

use super::{MAGIC, get_name};

/// A moment, as the kernel keeps it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds.
    pub seconds: u64,
    /// Nanoseconds beyond them.
    pub nanoseconds: u32,
    padding: u32,
}

/// The kernel's `struct btrfs_ioctl_get_subvol_info_args`.
#[repr(C)]
pub(super) struct InfoArgs {
    treeid: u64,
    name: [u8; 256],
    parent_id: u64,
    dirid: u64,
    generation: u64,
    flags: u64,
    uuid: [u8; 16],
    parent_uuid: [u8; 16],
    received_uuid: [u8; 16],
    ctransid: u64,
    otransid: u64,
    stransid: u64,
    rtransid: u64,
    ctime: Time,
    otime: Time,
    stime: Time,
    rtime: Time,
    reserved: [u64; 8],
}

#[repr(C)]
#[derive(Clone, Copy)]
struct RootRef {
    treeid: u64,
    dirid: u64,
}

const ROOT_REFS: usize = 255;

/// The kernel's `struct btrfs_ioctl_get_subvol_rootref_args`.
#[repr(C)]
pub(super) struct RootRefArgs {
    min_treeid: u64,
    refs: [RootRef; ROOT_REFS],
    count: u8,
    align: [u8; 7],
}

/// The kernel's `struct btrfs_ioctl_ino_lookup_user_args`.
#[repr(C)]
pub(super) struct LookupArgs {
    dirid: u64,
    treeid: u64,
    name: [u8; 256],
    path: [u8; 3824],
}

/// The most that the kernel writes for one inode.
const PATHS_ROOM: usize = 4096;

/// The kernel's `struct btrfs_ioctl_ino_path_args`.
#[repr(C)]
pub(super) struct InodePathsArgs {
    inum: u64,
    size: u64,
    reserved: [u64; 4],
    paths: u64,
}

/// The kernel's `struct btrfs_data_container`, with its room.
#[repr(C)]
struct Container {
    bytes_left: u32,
    bytes_missing: u32,
    count: u32,
    missed: u32,
    values: [u64; (PATHS_ROOM - 16) / 8],
}

nix::ioctl_readwrite!(ino_paths, MAGIC, 35, InodePathsArgs);
nix::ioctl_read!(get_subvol_info, MAGIC, 60, InfoArgs);
nix::ioctl_readwrite!(get_subvol_rootref, MAGIC, 61, RootRefArgs);
nix::ioctl_readwrite!(ino_lookup_user, MAGIC, 62, LookupArgs);

/// What a subvolume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its number on its filesystem. Never given again.
    pub id: u64,
    /// What tells it from every other subvolume anywhere, its own snapshots included.
    pub uuid: [u8; 16],
    /// The transaction that last changed a file in it.
    pub changed_in: u64,
    /// The transaction that made it.
    pub made_in: u64,
    /// When a file in it was last changed; of a snapshot in which nothing was, when one in its source was.
    pub changed: Time,
    /// When it was made.
    pub made: Time,
}

/// Asks which subvolume `dir` is in (since Linux 4.18, and for any user).
pub fn info(dir: BorrowedFd<'_>) -> nix::Result<Info> {
    let mut args = InfoArgs {
        treeid: 0,
        name: [0; 256],
        parent_id: 0,
        dirid: 0,
        generation: 0,
        flags: 0,
        uuid: [0; 16],
        parent_uuid: [0; 16],
        received_uuid: [0; 16],
        ctransid: 0,
        otransid: 0,
        stransid: 0,
        rtransid: 0,
        ctime: Time::default(),
        otime: Time::default(),
        stime: Time::default(),
        rtime: Time::default(),
        reserved: [0; 8],
    };
    // SAFETY: the call writes one struct, for which `args` has the layout and the place, and keeps no pointer. Every bit
    // pattern is a value of its fields. The descriptor is borrowed, so it is open.
    unsafe { get_subvol_info(dir.as_raw_fd(), &raw mut args) }?;
    Ok(Info {
        id: args.treeid,
        uuid: args.uuid,
        changed_in: args.ctransid,
        made_in: args.otransid,
        changed: args.ctime,
        made: args.otime,
    })
}

/// A subvolume in another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nested {
    /// Its number.
    pub id: u64,
    /// The directory that it is in, from the root of the other one; empty for that root itself.
    pub directory: PathBuf,
    /// Its name there.
    pub name: OsString,
}

/// The subvolumes in the one whose root directory `root` is, without those further down.
pub fn nested(root: BorrowedFd<'_>) -> nix::Result<Vec<Nested>> {
    let mut found = Vec::new();
    let mut args =
        RootRefArgs { min_treeid: 0, refs: [RootRef { treeid: 0, dirid: 0 }; ROOT_REFS], count: 0, align: [0; 7] };
    loop {
        // SAFETY: the call reads and writes one struct, for which `args` has the layout and the place, and keeps no pointer.
        let more = match unsafe { get_subvol_rootref(root.as_raw_fd(), &raw mut args) } {
            Ok(_) => false,
            Err(Errno::EOVERFLOW) => true,
            Err(errno) => return Err(errno),
        };
        let refs = &args.refs[..usize::from(args.count).min(ROOT_REFS)];
        for each in refs {
            match lookup(root, each) {
                // It was destroyed meanwhile.
                Err(Errno::ENOENT) => {}
                one => found.push(one?),
            }
        }
        match refs.last() {
            Some(last) if more => args.min_treeid = last.treeid + 1,
            _ => return Ok(found),
        }
    }
}

fn lookup(root: BorrowedFd<'_>, one: &RootRef) -> nix::Result<Nested> {
    let mut args = LookupArgs { dirid: one.dirid, treeid: one.treeid, name: [0; 256], path: [0; 3824] };
    // SAFETY: as above.
    unsafe { ino_lookup_user(root.as_raw_fd(), &raw mut args) }?;
    let (directory, name) = (PathBuf::from(get_name(&args.path)), get_name(&args.name).to_owned());
    Ok(Nested { id: one.treeid, directory, name })
}

/// The names of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// All of them, as paths from the root of the subvolume.
    All(Vec<PathBuf>),
    /// There are more than the kernel tells.
    TooMany,
}

/// The names of the file of the number `inode` in the subvolume that `dir` is in; none when there is no such file. Needs
/// `CAP_DAC_READ_SEARCH` in the first user namespace.
pub fn names_of_inode(dir: BorrowedFd<'_>, inode: u64) -> nix::Result<Names> {
    let room = Container { bytes_left: 0, bytes_missing: 0, count: 0, missed: 0, values: [0; (PATHS_ROOM - 16) / 8] };
    let mut room = Box::new(room);
    let paths = std::ptr::from_mut(room.as_mut());
    let mut args = InodePathsArgs {
        inum: inode,
        size: PATHS_ROOM as u64,
        reserved: [0; 4],
        paths: paths.expose_provenance() as u64,
    };
    // SAFETY: the call reads and writes `args`, and writes at most `size` bytes to `room`, which has as many and to which
    // nothing else refers during the call. Every bit pattern is a value of its fields. No pointer is kept.
    match unsafe { ino_paths(dir.as_raw_fd(), &raw mut args) } {
        Ok(_) => {}
        Err(Errno::ENOENT) => return Ok(Names::All(Vec::new())),
        Err(errno) => return Err(errno),
    }
    if room.missed > 0 || room.bytes_missing > 0 {
        return Ok(Names::TooMany);
    }
    Ok(read_names(&room))
}

/// Each value says how far from the first value a path begins.
fn read_names(room: &Container) -> Names {
    let bytes: Vec<u8> = room.values.iter().flat_map(|value| value.to_ne_bytes()).collect();
    let mut names = Vec::new();
    for offset in room.values.iter().take(room.count as usize) {
        let Some(rest) = usize::try_from(*offset).ok().and_then(|offset| bytes.get(offset..)) else {
            return Names::TooMany;
        };
        names.push(PathBuf::from(OsString::from_vec(OsStr::as_bytes(get_name(rest)).to_vec())));
    }
    Names::All(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structs_have_the_kernels_sizes() {
        assert_eq!((size_of::<Time>(), size_of::<InfoArgs>()), (16, 504));
        assert_eq!((size_of::<RootRefArgs>(), size_of::<LookupArgs>()), (4096, 4096));
        assert_eq!((size_of::<InodePathsArgs>(), size_of::<Container>()), (56, PATHS_ROOM));
    }

    #[test]
    fn names_are_read_by_their_offsets_and_a_wrong_offset_is_no_name() {
        let mut room =
            Container { bytes_left: 0, bytes_missing: 0, count: 2, missed: 0, values: [0; (PATHS_ROOM - 16) / 8] };
        room.values[0] = 16;
        room.values[1] = 24;
        room.values[2] = u64::from_ne_bytes(*b"a/b\0\0\0\0\0");
        room.values[3] = u64::from_ne_bytes(*b"cc\0xxxxx");
        assert_eq!(read_names(&room), Names::All(vec!["a/b".into(), "cc".into()]));
        room.values[1] = 1 << 40;
        assert_eq!(read_names(&room), Names::TooMany);
    }
}
