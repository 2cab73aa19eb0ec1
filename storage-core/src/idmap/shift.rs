//! From the ids of one pair of maps to those of another.

use super::map::IdMap;
use super::{Maps, Owner, to_container, to_host};

/// How host ids change when a tree that is kept with some maps shall be kept with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    from: Maps,
    to: Maps,
}

impl Shift {
    /// From a tree that is kept with the maps `from` to one with the maps `to`.
    pub fn new(from: Maps, to: Maps) -> Self {
        Shift { from, to }
    }

    /// Whether no id changes and none is left out.
    pub fn is_nothing(&self) -> bool {
        self.from == self.to || (self.from.is_identity() && self.to.is_identity())
    }

    /// The new host id of the user `uid` on the host; none where either of the maps has no range for it.
    pub fn uid(&self, uid: u32) -> Option<u32> {
        through(&self.from.uids, &self.to.uids, uid)
    }

    /// The new host id of the group `gid` on the host; none where either of the maps has no range for it.
    pub fn gid(&self, gid: u32) -> Option<u32> {
        through(&self.from.gids, &self.to.gids, gid)
    }

    /// Both.
    pub fn owner(&self, owner: Owner) -> Option<Owner> {
        Some(Owner { uid: self.uid(owner.uid)?, gid: self.gid(owner.gid)? })
    }

    /// The maps that the tree has afterwards.
    pub fn to(&self) -> &Maps {
        &self.to
    }
}

fn through(from: &[IdMap], to: &[IdMap], id: u32) -> Option<u32> {
    to_container(from, id).and_then(|inside| to_host(to, inside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idmap::parse_map;

    fn maps(text: &str) -> Maps {
        Maps::new(parse_map(text).expect("map"), Vec::new()).expect("maps")
    }

    #[test]
    fn a_host_id_goes_by_way_of_the_containers() {
        let shift = Shift::new(maps("0:1000:10"), maps("0:5000:5,5:9000:5"));
        assert_eq!(shift.uid(1007), Some(9002));
        assert_eq!(shift.uid(7), None, "an id that the old maps don't have was taken");
        assert_eq!(Shift::new(Maps::NONE, maps("0:5000:5")).uid(5), None, "an id that the new maps don't have");
        assert_eq!(shift.owner(Owner { uid: 1000, gid: 1001 }), Some(Owner { uid: 5000, gid: 5001 }));
    }

    #[test]
    fn only_equal_maps_and_those_of_everything_shift_nothing() {
        assert!(Shift::new(maps("0:5:5"), maps("0:5:5")).is_nothing());
        assert!(Shift::new(Maps::NONE, maps("0:0:4294967295")).is_nothing());
        assert!(!Shift::new(Maps::NONE, maps("0:0:5")).is_nothing(), "ids beyond the map would be overlooked");
    }
}
