//! One member of an archive, as its headers describe it.

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file with data.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link to [`Entry::link`].
    Symlink,
    /// Another name of the member named [`Entry::link`].
    HardLink,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
    /// Global PAX records: no file at all.
    Global,
}

/// A time of a file, to the nanosecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970, negative before.
    pub seconds: i64,
    /// Nanoseconds after that second.
    pub nanos: u32,
}

/// A piece of a sparse file that holds data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it stands in the file.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// One member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// The name exactly as the archive has it; not checked in any way.
    pub name: Vec<u8>,
    /// The target of a link.
    pub link: Vec<u8>,
    /// Permission bits with set-user-id, set-group-id and sticky; no type bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The size of the file; for a sparse file with its holes.
    pub size: u64,
    /// The bytes that follow in the archive; less than the size for a sparse file.
    pub stored: u64,
    /// When the content changed last.
    pub mtime: Time,
    /// When the content was read last, where the archive says so.
    pub atime: Option<Time>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the data of a sparse file goes.
    pub sparse: Option<Vec<Extent>>,
}

impl Entry {
    /// An entry that says no more than what it is and its name: nobody's, empty, of no particular time.
    pub(crate) fn bare(kind: EntryKind, name: Vec<u8>) -> Self {
        Entry {
            kind,
            name,
            link: Vec::new(),
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            stored: 0,
            mtime: Time::default(),
            atime: None,
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        }
    }
}
