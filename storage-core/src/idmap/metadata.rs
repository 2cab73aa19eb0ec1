//! What of a file, besides its owner, speaks of users and groups, and what the kernel takes away when the owner changes.
//!
//! * `security.capability` goes with a change of owner. Its third version names the root user of the namespace for which
//!   it counts.
//! * ACLs name users and groups.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::Shift;
use crate::fs::xattr;

const CAPABILITY: &CStr = c"security.capability";
const ACLS: [&CStr; 2] = [c"system.posix_acl_access", c"system.posix_acl_default"];

/// Attributes to be set again after a change of owner.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept(Vec<(CString, Vec<u8>)>);

/// Why attributes can't be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// A system call failed.
    Os(&'static str, Errno),
    /// An ACL names a user or group that the maps can't express.
    Unmapped(u32),
}

impl Kept {
    /// Reads what `name` in `dir` has, with its ids shifted.
    pub(super) fn read(dir: BorrowedFd<'_>, name: &OsStr, shift: &Shift) -> Result<Self, Failure> {
        let mut kept = Vec::new();
        for key in xattr::list(dir, name).map_err(|errno| Failure::Os("llistxattr", errno))? {
            let is_acl = ACLS.contains(&key.as_c_str());
            if !is_acl && key.as_c_str() != CAPABILITY {
                continue;
            }
            let value = xattr::get(dir, name, &key).map_err(|errno| Failure::Os("lgetxattr", errno))?;
            let Some(mut value) = value else { continue };
            if is_acl {
                shift_acl(&mut value, shift)?;
            } else {
                shift_capability(&mut value, shift);
            }
            kept.push((key, value));
        }
        Ok(Kept(kept))
    }

    /// Sets them again.
    pub(super) fn restore(&self, dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Failure> {
        self.0.iter().try_for_each(|(key, value)| {
            xattr::set(dir, name, key, value).map_err(|errno| Failure::Os("lsetxattr", errno))
        })
    }
}

/// The length of a capability attribute that names its namespace's root, and where it names it.
const WITH_ROOT: usize = 24;
const ROOT_AT: usize = 20;

/// A root that the maps can't express is left as it is: the capability then counts for nobody in the container.
fn shift_capability(value: &mut [u8], shift: &Shift) {
    if value.len() != WITH_ROOT {
        return;
    }
    if let Some(root) = number_at(value, ROOT_AT).and_then(|root| shift.uid(root)) {
        value[ROOT_AT..].copy_from_slice(&root.to_le_bytes());
    }
}

/// An ACL is a version, then entries of a tag, permissions and an id.
const ACL_HEADER: usize = 4;
const ACL_ENTRY: usize = 8;
const ACL_USER: u16 = 0x02;
const ACL_GROUP: u16 = 0x08;

fn shift_acl(value: &mut [u8], shift: &Shift) -> Result<(), Failure> {
    for entry in value.get_mut(ACL_HEADER..).unwrap_or_default().chunks_exact_mut(ACL_ENTRY) {
        let (tag, id) = (u16::from_le_bytes([entry[0], entry[1]]), number_at(entry, 4).unwrap_or_default());
        let new = match tag {
            ACL_USER => shift.uid(id),
            ACL_GROUP => shift.gid(id),
            _ => continue,
        };
        entry[4..].copy_from_slice(&new.ok_or(Failure::Unmapped(id))?.to_le_bytes());
    }
    Ok(())
}

fn number_at(value: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(value.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idmap::{Maps, parse_map};

    fn shift() -> Shift {
        let map = |text| parse_map(text).expect("map");
        let to = Maps { uids: map("0:100000:1000"), gids: map("0:200000:1000") };
        Shift::new(Maps::NONE, to)
    }

    #[test]
    fn an_acl_names_the_shifted_users_and_groups() {
        let entry = |tag: u16, id: u32| [&tag.to_le_bytes()[..], &[7, 0], &id.to_le_bytes()[..]].concat();
        let acl = |user, group| [vec![2, 0, 0, 0], entry(1, u32::MAX), entry(2, user), entry(8, group)].concat();
        let mut value = acl(5, 6);
        assert_eq!(shift_acl(&mut value, &shift()), Ok(()));
        assert_eq!(value, acl(100_005, 200_006));
        assert_eq!(shift_acl(&mut acl(5, 1000), &shift()), Err(Failure::Unmapped(1000)));
        assert_eq!(shift_acl(&mut [1, 2], &shift()), Ok(()), "a stump of an ACL");
    }

    #[test]
    fn only_a_capability_that_names_a_root_changes() {
        let mut second = vec![9_u8; 20];
        shift_capability(&mut second, &shift());
        assert_eq!(second, [9; 20]);
        let mut third = [vec![1; 20], 7_u32.to_le_bytes().to_vec()].concat();
        shift_capability(&mut third, &shift());
        assert_eq!(third[20..], 100_007_u32.to_le_bytes());
        let before = [vec![1; 20], 7777_u32.to_le_bytes().to_vec()].concat();
        let mut foreign = before.clone();
        shift_capability(&mut foreign, &shift());
        assert_eq!(foreign, before);
    }
}
