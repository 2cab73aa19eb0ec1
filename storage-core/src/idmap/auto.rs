//! Maps for a new container that asks for "some user namespace of its own" (`--userns=auto`).
//!
//! Two steps: how many ids it needs ([`Wanted::size`]), and which ones are free ([`allocate`]). Whoever calls holds
//! `userns.lock` from reading which ids the containers use until the new container's record is written.

use super::{IdSet, Maps};
use crate::error::{Error, Kind, Result};

/// The ids that may be given to containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Those for users.
    pub uids: IdSet,
    /// Those for groups.
    pub gids: IdSet,
}

impl Pool {
    /// The same ids as they are called inside a user namespace that maps its owner to 0 and them from 1 on, which is where
    /// an ordinary user's commands work.
    pub fn inside_namespace(&self) -> Pool {
        let inside = |ids: &IdSet| IdSet::of_ranges(std::iter::once(1..ids.size() + 1));
        Pool { uids: inside(&self.uids), gids: inside(&self.gids) }
    }
}

/// How large a namespace may be whose size was not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `auto-userns-min-size`.
    pub min: u32,
    /// `auto-userns-max-size`; 0 is no limit.
    pub max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { min: 1024, max: 65_536 }
    }
}

/// What was asked for. Both 0 when nothing was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The size, whatever the image needs.
    pub size: u32,
    /// The least size where none is given.
    pub initial_size: u32,
}

impl Wanted {
    /// Whether the image has to be looked at.
    pub fn depends_on_image(self) -> bool {
        self.size == 0
    }

    /// The size of the namespace; `image` is what the image needs ([`ids_up_to`], [`super::ids_of_accounts`]), or 0.
    pub fn size(self, image: u32, limits: Limits) -> Result<u32> {
        if self.size > 0 {
            return Ok(self.size);
        }
        let size = self.initial_size.max(1).max(limits.min).max(image);
        if limits.max > 0 && size > limits.max {
            return Err(Error::new(Kind::Usage, "size user namespace")
                .remedy("ask for a size, or raise auto-userns-max-size")
                .detail(format!(
                    "the container needs a user namespace with size {size} that is bigger than the maximum value \
                     allowed with userns=auto {}",
                    limits.max
                )));
        }
        Ok(size)
    }
}

/// How many ids it takes from 0 to the highest of `ids`, which are those in the records of an image's layers.
pub fn ids_up_to(ids: impl IntoIterator<Item = u32>) -> u32 {
    ids.into_iter().fold(0, |most, id| most.max(id.saturating_add(1)))
}

/// Maps the ids 0 to `size` inside to the lowest ids of `pool` that no maps in `used` take. `additional` maps are added as
/// they are; their ids, inside and on the host, are not given out again.
///
/// * Fails with [`Kind::NoAvailableIds`] when too few are left.
pub fn allocate<'a>(
    size: u32,
    pool: &Pool,
    used: impl IntoIterator<Item = &'a Maps>,
    additional: &Maps,
) -> Result<Maps> {
    let (mut uids, mut gids) = (IdSet::taken(&additional.uids), IdSet::taken(&additional.gids));
    for maps in used {
        uids = uids.plus(&IdSet::taken(&maps.uids));
        gids = gids.plus(&IdSet::taken(&maps.gids));
    }
    let side = |pool: &IdSet, used: &IdSet, additional: &[super::IdMap], whose: &str| {
        let inside = IdSet::of_ranges(std::iter::once(0..u64::from(size))).minus(&IdSet::given(additional));
        let free = pool.minus(used);
        let Some(hosts) = free.lowest(inside.size()) else {
            return Err(Error::new(Kind::NoAvailableIds, "allocate user namespace")
                .detail(format!("{} {whose} ids are wanted, {} are free", inside.size(), free.size()))
                .remedy("delete containers, ask for a smaller size, or give the owner more ids in /etc/subuid and /etc/subgid"));
        };
        let mut map = hosts.as_hosts_of(&inside);
        map.extend_from_slice(additional);
        super::check_map(&map)?;
        Ok(map)
    };
    Ok(Maps {
        uids: side(&pool.uids, &uids, &additional.uids, "user")?,
        gids: side(&pool.gids, &gids, &additional.gids, "group")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idmap::parse_map;
    use proptest::prelude::*;

    fn pool(uids: std::ops::Range<u64>, gids: std::ops::Range<u64>) -> Pool {
        let set = |range| IdSet::of_ranges(std::iter::once(range));
        Pool { uids: set(uids), gids: set(gids) }
    }

    fn maps(text: &str) -> Maps {
        Maps::new(parse_map(text).expect("map"), Vec::new()).expect("maps")
    }

    #[test]
    fn the_size_is_the_one_asked_for_or_what_the_image_needs_within_limits() {
        let limits = Limits::default();
        let size = |size, initial_size, image| Wanted { size, initial_size }.size(image, limits);
        assert_eq!(size(70_000, 5, 9).expect("asked for"), 70_000, "a size that was asked for has no limit");
        assert_eq!(size(0, 0, 0).expect("least"), 1024);
        assert_eq!(size(0, 4000, 2000).expect("initial"), 4000);
        assert_eq!(size(0, 0, 5000).expect("image"), 5000);
        let error = size(0, 0, 65_537).expect_err("beyond the limit");
        assert!(error.to_string().contains("size 65537 that is bigger than the maximum value"), "{error}");
        assert_eq!(Wanted::default().size(65_537, Limits { min: 1, max: 0 }).expect("no limit"), 65_537);
        assert_eq!(ids_up_to([3, 1000, 5]), 1001);
        assert_eq!(ids_up_to([]), 0);
    }

    #[test]
    fn the_lowest_ids_that_no_container_has_are_given_out() {
        let pool = pool(1000..5000, 1000..5000);
        let used = [maps("0:1500:100"), Maps::NONE, maps("0:1000:200")];
        let got = allocate(400, &pool, &used, &Maps::NONE).expect("allocate");
        assert_eq!(got, maps("0:1200:300,300:1600:100"));
    }

    #[test]
    fn additional_maps_keep_their_ids_inside_and_outside() {
        let additional = Maps { uids: parse_map("10:1000:1").expect("map"), gids: Vec::new() };
        let got = allocate(20, &pool(1000..5000, 1000..5000), [], &additional).expect("allocate");
        assert_eq!(got.uids, parse_map("0:1001:10,11:1011:9,10:1000:1").expect("map"));
        assert_eq!(got.gids, parse_map("0:1000:20").expect("map"));
    }

    #[test]
    fn too_few_ids_are_told_with_the_words_scripts_search() {
        let error = allocate(11, &pool(0..20, 0..10), [], &Maps::NONE).expect_err("too few groups");
        assert_eq!(error.kind(), Kind::NoAvailableIds);
        assert!(error.to_string().ends_with("not enough unused IDs in user namespace"), "{error}");
        assert!(error.to_string().contains("11 group ids are wanted, 10 are free"), "{error}");
    }

    #[test]
    fn an_ordinary_users_ids_start_at_1_inside() {
        assert_eq!(pool(100_000..100_010, 7..9).inside_namespace(), pool(1..11, 1..3));
    }

    proptest! {
        #[test]
        fn containers_never_share_ids(sizes in prop::collection::vec(1_u32..40, 1..8)) {
            let pool = pool(500..620, 900..1050);
            let mut given: Vec<Maps> = Vec::new();
            for size in sizes {
                match allocate(size, &pool, &given, &Maps::NONE) {
                    Ok(maps) => {
                        prop_assert!(maps.check().is_ok());
                        prop_assert_eq!(IdSet::given(&maps.uids).size(), u64::from(size));
                        prop_assert!(pool.uids.contains_all(&IdSet::of_hosts(&maps.uids)));
                        given.push(maps);
                    }
                    Err(error) => {
                        prop_assert_eq!(error.kind(), Kind::NoAvailableIds);
                        let free = given.iter().fold(pool.uids.clone(), |free, maps| free.minus(&IdSet::of_hosts(&maps.uids)));
                        prop_assert!(free.size() < u64::from(size), "refused although {} were free", free.size());
                    }
                }
            }
            let all: Vec<_> = given.iter().flat_map(|maps| maps.uids.clone()).collect();
            let total: u64 = all.iter().map(|range| range.size).sum();
            prop_assert_eq!(IdSet::of_ranges(all.iter().map(|m| m.host_id..m.host_id + m.size)).size(), total);
        }
    }
}
