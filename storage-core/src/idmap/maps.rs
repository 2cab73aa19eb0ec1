//! The maps of users and groups together.

use std::fmt;

use super::map::{ALL_IDS, IdMap, check_map, to_container, to_host};
use crate::error::{Error, Kind, Result};

/// The user and the group that a file belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// The maps of users and groups. An empty list maps every id to itself; both empty is "no maps".
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Maps {
    /// The users' ranges.
    pub uids: Vec<IdMap>,
    /// The groups' ranges.
    pub gids: Vec<IdMap>,
}

impl Maps {
    /// No maps: every id is itself.
    pub const NONE: Maps = Maps { uids: Vec::new(), gids: Vec::new() };

    /// Maps that were checked. Where only one of the two is given, it is taken for both, as the reference does.
    pub fn new(uids: Vec<IdMap>, gids: Vec<IdMap>) -> Result<Self> {
        let maps = match (uids.is_empty(), gids.is_empty()) {
            (false, true) => Maps { gids: uids.clone(), uids },
            (true, false) => Maps { uids: gids.clone(), gids },
            _ => Maps { uids, gids },
        };
        maps.check()?;
        Ok(maps)
    }

    /// Fails with [`Kind::InvalidMappings`] when a range is empty, reaches beyond the last id, or overlaps another.
    pub fn check(&self) -> Result<()> {
        check_map(&self.uids).map_err(|error| error.detail("of users"))?;
        check_map(&self.gids).map_err(|error| error.detail("of groups"))
    }

    /// Whether there are no maps, which is what a record of an unmapped layer says.
    pub fn is_empty(&self) -> bool {
        self.uids.is_empty() && self.gids.is_empty()
    }

    /// Whether every id is mapped, and to itself, by ranges or by none.
    pub fn is_identity(&self) -> bool {
        maps_all_to_themselves(&self.uids) && maps_all_to_themselves(&self.gids)
    }

    /// The host's owner of what `inside` owns in the container.
    pub fn to_host(&self, inside: Owner) -> Option<Owner> {
        Some(Owner { uid: to_host(&self.uids, inside.uid)?, gid: to_host(&self.gids, inside.gid)? })
    }

    /// The container's owner of what `outside` owns on the host.
    pub fn to_container(&self, outside: Owner) -> Option<Owner> {
        Some(Owner { uid: to_container(&self.uids, outside.uid)?, gid: to_container(&self.gids, outside.gid)? })
    }

    /// The host's owner of what belongs to the container's root. A map of one single id is that id's, whatever it is
    /// called inside.
    pub fn root(&self) -> Result<Owner> {
        let root = |map: &[IdMap], whose: &str| match map {
            [IdMap { host_id, size: 1, .. }] => u32::try_from(*host_id).map_err(|_| no_root(whose)),
            map => to_host(map, 0).ok_or_else(|| no_root(whose)),
        };
        Ok(Owner { uid: root(&self.uids, "user")?, gid: root(&self.gids, "group")? })
    }

    /// Whether both maps are one single range each, which is all that some mount programs can take.
    pub fn is_contiguous(&self) -> bool {
        self.uids.len() == 1 && self.gids.len() == 1
    }

    /// Whether every id that `other` can express on the host, these maps can express too.
    pub fn covers(&self, other: &Maps) -> bool {
        use super::IdSet;
        let within = |own: &[IdMap], other: &[IdMap]| IdSet::of_hosts(own).contains_all(&IdSet::of_hosts(other));
        within(&self.uids, &other.uids) && within(&self.gids, &other.gids)
    }
}

fn no_root(whose: &str) -> Error {
    Error::new(Kind::InvalidMappings, "look up root in id map").detail(format!("{whose} 0 is not mapped"))
}

fn maps_all_to_themselves(map: &[IdMap]) -> bool {
    let mut sorted: Vec<_> = map.iter().collect();
    sorted.sort_unstable_by_key(|range| range.container_id);
    let mut next = 0;
    for range in sorted {
        if range.container_id != next || range.host_id != next {
            return false;
        }
        next = next.saturating_add(range.size);
    }
    map.is_empty() || next >= ALL_IDS
}

/// `users C:H:N[,C:H:N], groups C:H:N`; `none` for no maps.
impl fmt::Display for Maps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (name, map) in [("users", &self.uids), (", groups", &self.gids)] {
            let ranges: Vec<_> = map.iter().map(ToString::to_string).collect();
            write!(f, "{name} {}", if ranges.is_empty() { "unmapped".to_owned() } else { ranges.join(",") })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idmap::parse_map;

    fn maps(uids: &str, gids: &str) -> Maps {
        let side = |text: &str| if text.is_empty() { Vec::new() } else { parse_map(text).expect("map") };
        Maps { uids: side(uids), gids: side(gids) }
    }

    #[test]
    fn users_and_groups_have_maps_of_their_own() {
        let maps = maps("0:1000:10", "0:2000:10");
        let (inside, outside) = (Owner { uid: 1, gid: 2 }, Owner { uid: 1001, gid: 2002 });
        assert_eq!(maps.to_host(inside), Some(outside));
        assert_eq!(maps.to_container(outside), Some(inside));
        assert_eq!(maps.to_host(Owner { uid: 1, gid: 10 }), None, "a group outside the map was mapped");
        assert_eq!(maps.to_string(), "users 0:1000:10, groups 0:2000:10");
    }

    #[test]
    fn one_given_map_is_taken_for_both_and_both_are_checked() {
        let one = Maps::new(parse_map("0:5:5").expect("map"), Vec::new()).expect("maps");
        assert_eq!(one, maps("0:5:5", "0:5:5"));
        assert_eq!(Maps::new(Vec::new(), Vec::new()).expect("none"), Maps::NONE);
        let bad = IdMap { container_id: 0, host_id: 0, size: 0 };
        assert!(Maps::new(parse_map("0:5:5").expect("map"), vec![bad]).is_err());
    }

    #[test]
    fn only_a_map_of_everything_to_itself_is_the_identity() {
        assert!(Maps::NONE.is_identity() && Maps::NONE.is_empty());
        let whole = maps("1000:1000:4294966295,0:0:1000", "");
        assert!(whole.is_identity() && !whole.is_empty());
        assert!(!maps("0:0:1000", "").is_identity(), "a map of some ids was taken for one of all");
        assert!(!maps("0:1:4294967294", "").is_identity());
    }

    #[test]
    fn root_is_id_0_or_the_one_id_there_is() {
        assert_eq!(maps("5:100:10,0:1000:1", "0:7:1").root().expect("root"), Owner { uid: 1000, gid: 7 });
        assert_eq!(maps("1000:500:1", "1000:501:1").root().expect("root"), Owner { uid: 500, gid: 501 });
        assert_eq!(Maps::NONE.root().expect("root"), Owner { uid: 0, gid: 0 });
        assert_eq!(maps("5:100:10", "0:0:9").root().map_err(|error| error.kind()), Err(Kind::InvalidMappings));
    }

    #[test]
    fn maps_cover_those_whose_host_ids_they_have() {
        let wide = maps("0:1000:100,100:1100:100", "0:0:100");
        assert!(wide.covers(&maps("0:1050:100", "50:0:1")), "two neighbouring ranges cover one across them");
        assert!(!wide.covers(&maps("0:1050:151", "50:0:1")));
        assert!(!wide.covers(&Maps::NONE) && Maps::NONE.covers(&wide));
    }
}
