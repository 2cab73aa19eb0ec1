//! The owners of the directories above a mount point that its maps can't express.
//!
//! A container's processes come to their root through these directories. An engine that gives them another owner inside
//! its own user namespace has to know which ids it needs for that.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Maps, Owner, to_container};
use crate::error::{OsContext, Result};

/// Ids that maps can't express, sorted, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentOwners {
    /// Users.
    pub uids: Vec<u32>,
    /// Groups.
    pub gids: Vec<u32>,
}

/// Looks at the directories above `mount_point` up to, not including, the root: what each is, and, where it is a link,
/// what owns the link. No maps express everything, so that nothing is looked at.
pub fn parent_owners(mount_point: &Path, maps: &Maps) -> Result<ParentOwners> {
    if maps.is_empty() {
        return Ok(ParentOwners::default());
    }
    let mut owners = Vec::new();
    for dir in mount_point.ancestors().skip(1).filter(|dir| dir.parent().is_some()) {
        let (followed, own) = (rustix::fs::stat(dir).os("stat", dir)?, rustix::fs::lstat(dir).os("lstat", dir)?);
        owners.extend([followed, own].map(|stat| Owner { uid: stat.st_uid, gid: stat.st_gid }));
    }
    Ok(owners_not_expressed(owners, maps))
}

/// Which of `owners` the maps can't express, users and groups apart.
pub fn owners_not_expressed(owners: impl IntoIterator<Item = Owner>, maps: &Maps) -> ParentOwners {
    let (mut uids, mut gids) = (BTreeSet::new(), BTreeSet::new());
    for owner in owners {
        if to_container(&maps.uids, owner.uid).is_none() {
            uids.insert(owner.uid);
        }
        if to_container(&maps.gids, owner.gid).is_none() {
            gids.insert(owner.gid);
        }
    }
    ParentOwners { uids: uids.into_iter().collect(), gids: gids.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idmap::parse_map;

    fn maps(text: &str) -> Maps {
        Maps::new(parse_map(text).expect("map"), Vec::new()).expect("maps")
    }

    #[test]
    fn what_maps_express_is_left_out_and_the_rest_is_sorted() {
        let owner = |uid, gid| Owner { uid, gid };
        let found =
            owners_not_expressed([owner(9, 1005), owner(1000, 7), owner(3, 7), owner(9, 2)], &maps("0:1000:10"));
        assert_eq!(found, ParentOwners { uids: vec![3, 9], gids: vec![2, 7] });
        assert_eq!(owners_not_expressed([owner(9, 9)], &Maps::NONE), ParentOwners::default());
    }

    #[test]
    fn every_directory_above_counts_and_the_mount_point_and_the_root_do_not() {
        let dir = tempfile::tempdir().expect("dir");
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::create_dir_all(real.join("in/point")).expect("mkdir");
        std::os::unix::fs::symlink("real", &link).expect("symlink");
        let chown = |path: &Path, uid, gid| std::os::unix::fs::lchown(path, Some(uid), Some(gid)).expect("lchown");
        chown(&real, 301, 401);
        chown(&link, 302, 402);
        chown(&real.join("in"), 303, 403);
        chown(&real.join("in/point"), 304, 404);
        // Whoever owns the temporary directory's own parents is expressed.
        let found = parent_owners(&link.join("in/point"), &maps("0:0:1")).expect("owners");
        assert_eq!(found, ParentOwners { uids: vec![301, 302, 303], gids: vec![401, 402, 403] });
        assert_eq!(parent_owners(Path::new("/missing/point"), &Maps::NONE).expect("no maps"), ParentOwners::default());
        assert!(parent_owners(Path::new("/missing/point"), &maps("0:0:1")).is_err());
    }
}
