//! One list of ranges: the users' or the groups' half of [`super::Maps`].

use std::fmt;

use crate::error::{Error, Kind, Result};

/// How many ids there are: 0 up to one less than `(uid_t)-1`, which means "no id".
pub(super) const ALL_IDS: u64 = u32::MAX as u64;

/// A range of ids and where it is stored: one line of a user-namespace map. The JSON form is the reference's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct IdMap {
    /// The first id inside the container.
    pub container_id: u64,
    /// The first id on the host.
    pub host_id: u64,
    /// How many there are.
    pub size: u64,
}

/// `CONTAINER:HOST:SIZE`, as the command line takes it.
impl fmt::Display for IdMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.container_id, self.host_id, self.size)
    }
}

/// The host's id of a container's `id`; none where the map has no range for it. An empty map maps each id to itself.
pub fn to_host(map: &[IdMap], id: u32) -> Option<u32> {
    shifted(map, id, |range| (range.container_id, range.host_id))
}

/// The container's id of a host's `id`; none where the map has no range for it. An empty map maps each id to itself.
pub fn to_container(map: &[IdMap], id: u32) -> Option<u32> {
    shifted(map, id, |range| (range.host_id, range.container_id))
}

/// Finds `id` in the range that starts at the first of `ends`, and says its counterpart from the second.
fn shifted(map: &[IdMap], id: u32, ends: impl Fn(&IdMap) -> (u64, u64)) -> Option<u32> {
    if map.is_empty() {
        return Some(id);
    }
    let found = map.iter().find_map(|range| {
        let (from, to) = ends(range);
        let offset = u64::from(id).checked_sub(from).filter(|offset| *offset < range.size)?;
        to.checked_add(offset)
    });
    found.filter(|id| *id < ALL_IDS).and_then(|id| u32::try_from(id).ok())
}

/// Fails with [`Kind::InvalidMappings`] when a range is empty or reaches beyond the last id, or when two of them overlap
/// on either side.
pub fn check_map(map: &[IdMap]) -> Result<()> {
    for range in map {
        let end = |first: u64| first.checked_add(range.size).is_some_and(|end| end <= ALL_IDS);
        if range.size == 0 {
            return Err(invalid(format!("{range} is an empty range")));
        }
        if !end(range.container_id) || !end(range.host_id) {
            return Err(invalid(format!("{range} reaches beyond the last id, {}", ALL_IDS - 1)));
        }
    }
    check_apart(map, "container", |range| range.container_id)?;
    check_apart(map, "host", |range| range.host_id)
}

fn check_apart(map: &[IdMap], side: &str, first: impl Fn(&IdMap) -> u64) -> Result<()> {
    let mut sorted: Vec<_> = map.iter().collect();
    sorted.sort_unstable_by_key(|range| first(range));
    for pair in sorted.windows(2) {
        if first(pair[0]) + pair[0].size > first(pair[1]) {
            return Err(invalid(format!("{} and {} overlap in their {side} ids", pair[0], pair[1])));
        }
    }
    Ok(())
}

fn invalid(detail: String) -> Error {
    Error::new(Kind::InvalidMappings, "check id map").detail(detail)
}

/// The ranges of `C:H:N[,C:H:N]`, as `--uidmap` and `--gidmap` take them, checked. Spaces may stand for commas.
pub fn parse_map(text: &str) -> Result<Vec<IdMap>> {
    let words = text.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty());
    let map: Vec<_> = words.map(parse_range).collect::<Result<_>>()?;
    if map.is_empty() {
        return Err(malformed(text));
    }
    check_map(&map)?;
    Ok(map)
}

fn parse_range(word: &str) -> Result<IdMap> {
    let number = |field: &str| field.parse::<u32>().map(u64::from).map_err(|_| malformed(word));
    match word.split(':').collect::<Vec<_>>()[..] {
        [container, host, size] => {
            Ok(IdMap { container_id: number(container)?, host_id: number(host)?, size: number(size)? })
        }
        _ => Err(malformed(word)),
    }
}

fn malformed(word: &str) -> Error {
    Error::new(Kind::InvalidMappings, "read id map")
        .detail(format!("{word:?} is no range"))
        .remedy("give CONTAINER:HOST:SIZE, three numbers each, with commas between the ranges")
}

/// What `uid_map` and `gid_map` of a process take: one line for each range. An empty map is that of every id to itself.
pub fn kernel_text(map: &[IdMap]) -> String {
    use fmt::Write;
    let everything = [IdMap { container_id: 0, host_id: 0, size: ALL_IDS }];
    let map = if map.is_empty() { &everything[..] } else { map };
    let mut text = String::new();
    for range in map {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{} {} {}", range.container_id, range.host_id, range.size);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(container_id: u64, host_id: u64, size: u64) -> IdMap {
        IdMap { container_id, host_id, size }
    }

    #[test]
    fn ids_are_found_in_their_range_and_nowhere_else() {
        let map = [range(0, 1000, 1), range(1, 100_000, 10)];
        assert_eq!(to_host(&map, 0), Some(1000));
        assert_eq!(to_host(&map, 10), Some(100_009));
        assert_eq!(to_host(&map, 11), None, "an id behind the last range was mapped");
        assert_eq!(to_container(&map, 100_009), Some(10));
        assert_eq!(to_container(&map, 0), None);
        assert_eq!(to_host(&[], 77), Some(77), "no map is every id to itself");
    }

    #[test]
    fn the_json_form_is_the_references() {
        let text = r#"{"container_id":0,"host_id":1000,"size":1}"#;
        assert_eq!(serde_json::from_str::<IdMap>(text).expect("read"), range(0, 1000, 1));
        assert_eq!(serde_json::to_string(&range(0, 1000, 1)).expect("write"), text);
    }

    #[test]
    fn maps_that_no_kernel_takes_are_refused() {
        let last = u64::from(u32::MAX);
        for (map, why) in [
            (vec![range(0, 0, 0)], "empty range"),
            (vec![range(0, 0, last + 1)], "beyond the last id"),
            (vec![range(last, 0, 1)], "beyond the last id"),
            (vec![range(0, u64::MAX, 2)], "beyond the last id"),
            (vec![range(0, 1000, 10), range(9, 5000, 1)], "overlap in their container ids"),
            (vec![range(20, 1000, 10), range(0, 1009, 1)], "overlap in their host ids"),
        ] {
            let error = check_map(&map).expect_err(why);
            assert_eq!(error.kind(), Kind::InvalidMappings);
            assert!(error.to_string().contains(why), "{error}");
            assert!(error.to_string().ends_with("invalid mappings specified"), "{error}");
        }
        assert!(check_map(&[range(0, 0, last)]).is_ok(), "the map of everything");
        assert!(check_map(&[range(0, 1000, 10), range(10, 1010, 10)]).is_ok(), "neighbours don't overlap");
    }

    #[test]
    fn the_command_line_form_is_read_and_written() {
        let map = parse_map("0:1000:1,1:100000:65536").expect("parse");
        assert_eq!(map, [range(0, 1000, 1), range(1, 100_000, 65_536)]);
        assert_eq!(map[1].to_string(), "1:100000:65536");
        assert_eq!(kernel_text(&map), "0 1000 1\n1 100000 65536\n");
        assert_eq!(kernel_text(&[]), "0 0 4294967295\n");
        for bad in ["", "1", "0:1", "0:1:2:3", "a:1:1", "0:-1:1", "0:1:0", "0:1:4294967296", "0:0:2,1:5:1"] {
            assert_eq!(parse_map(bad).map_err(|error| error.kind()), Err(Kind::InvalidMappings), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same_id(
            sizes in prop::collection::vec((1_u64..50, 0_u64..9, 0_u64..9), 1..6), id in 0_u32..400,
        ) {
            let (mut container, mut host, mut map) = (0, 1000, Vec::new());
            for (size, gap_in, gap_out) in sizes {
                map.push(range(container + gap_in, host + gap_out, size));
                container += gap_in + size;
                host += gap_out + size;
            }
            map.reverse();
            prop_assert!(check_map(&map).is_ok());
            if let Some(outside) = to_host(&map, id) {
                prop_assert_eq!(to_container(&map, outside), Some(id));
            }
            let inside = to_container(&map, id + 1000);
            prop_assert_eq!(inside.and_then(|inside| to_host(&map, inside)), inside.map(|_| id + 1000));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9:, a-]{0,30}") {
            if let Ok(map) = parse_map(&text) {
                prop_assert!(check_map(&map).is_ok());
            }
        }
    }
}
