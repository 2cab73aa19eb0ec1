//! `/proc/self/mountinfo`, for what `statx` can't tell.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One mount of this mount namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountInfo {
    /// The kernel's number of the mount; it is used again after the mount is gone.
    pub id: u64,
    /// Which directory of its filesystem is mounted.
    pub root: PathBuf,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The type of its filesystem.
    pub filesystem: String,
    /// What is mounted, as the filesystem names it: a device, a dataset.
    pub source: String,
    /// The options of the filesystem.
    pub super_options: String,
}

/// Reads the text of a mountinfo file. Lines that can't be understood are left out.
pub fn parse_mountinfo(text: &[u8]) -> Vec<MountInfo> {
    text.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<MountInfo> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let dash = fields.iter().position(|field| *field == b"-")?;
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    let path = |field: &[u8]| PathBuf::from(OsString::from_vec(unescape(field)));
    Some(MountInfo {
        id: std::str::from_utf8(fields.first()?).ok()?.parse().ok()?,
        root: path(fields.get(3)?),
        mount_point: path(fields.get(4)?),
        filesystem: text(fields.get(dash + 1)?),
        source: String::from_utf8_lossy(&unescape(fields.get(dash + 2)?)).into_owned(),
        super_options: text(fields.get(dash + 3).copied().unwrap_or_default()),
    })
}

/// Undoes the kernel's `\ooo` for space, tab, newline and backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        if let Some(digits) = octal {
            plain.push(digits.iter().fold(0_u8, |value, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')));
            rest = &tail[3..];
        } else {
            plain.push(*first);
            rest = tail;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_a_space_and_optional_fields_is_read() {
        let text =
            b"36 35 98:0 /x\\040y /mnt/a\\040b\\134 rw,noatime master:1 shared:2 - overlay overlay rw,lowerdir=l/A\n\
                     broken line\n37 36 0:5 / /proc rw - proc proc rw\n";
        let mounts = parse_mountinfo(text);
        assert_eq!(mounts.len(), 2, "a line that can't be understood is left out");
        assert_eq!(mounts[0].mount_point, PathBuf::from("/mnt/a b\\"));
        assert_eq!(mounts[0].root, PathBuf::from("/x y"));
        assert_eq!((mounts[0].id, mounts[0].filesystem.as_str()), (36, "overlay"));
        assert_eq!(mounts[0].super_options, "rw,lowerdir=l/A");
        assert_eq!(mounts[1].filesystem, "proc");
    }
}
