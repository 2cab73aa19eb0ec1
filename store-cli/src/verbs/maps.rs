//! The flags that say with which ids a layer is kept, or a container sees its files.

use std::path::Path;

use storage_core::idmap::auto::Wanted;
use storage_core::idmap::{IdMap, Maps, SubIds, Subject, check_map, parse_map};
use storage_core::store::{AutoIds, AutoMapping, Ids, Mapping, Owners};

use crate::flags::{Flag, Parsed};
use crate::stop::{Outcome, usage};

pub(super) const HOST_UID: Flag =
    Flag::switch(&["--hostuidmap"], "Keep user ids as they are, whatever the parent does");
pub(super) const HOST_GID: Flag =
    Flag::switch(&["--hostgidmap"], "Keep group ids as they are, whatever the parent does");
pub(super) const UID: Flag = Flag::list(&["--uidmap"], "UID map, CONTAINER:HOST:SIZE[,...]");
pub(super) const GID: Flag = Flag::list(&["--gidmap"], "GID map, CONTAINER:HOST:SIZE[,...]");
pub(super) const SUB_UID: Flag = Flag::value(&["--subuidmap"], "UID map of the ids that /etc/subuid gives this user");
pub(super) const SUB_GID: Flag = Flag::value(&["--subgidmap"], "GID map of the ids that /etc/subgid gives this group");
pub(super) const AUTO: Flag =
    Flag::optional(&["--userns-auto"], "Ids that no other container has, so many or as many as the image needs");

/// What the flags say of users and of groups.
struct Given {
    users: Ids,
    groups: Ids,
}

/// With which ids a layer is kept.
pub(super) fn owners(flags: &Parsed) -> Outcome<Owners> {
    let Given { users, groups } = given(flags)?;
    Ok(Owners { users, groups })
}

/// With which ids a container sees its files.
pub(super) fn mapping(flags: &Parsed) -> Outcome<Mapping> {
    let Given { users, groups } = given(flags)?;
    let hosts = [&users, &groups].contains(&&Ids::Host);
    let maps = Maps { uids: map_of(users), gids: map_of(groups) };
    let Some(size) = flags.value(AUTO.names[0]) else {
        return Ok(if maps.is_empty() { Mapping::Host } else { Mapping::Mapped(maps) });
    };
    if hosts {
        return Err(usage(
            "--userns-auto and the host's ids contradict each other",
            "leave out --hostuidmap and --hostgidmap",
        )
        .into());
    }
    Ok(Mapping::Auto(AutoMapping { wanted: wanted(size)?, additional: maps }))
}

fn map_of(ids: Ids) -> Vec<IdMap> {
    match ids {
        Ids::Mapped(map) => map,
        Ids::AsParent | Ids::Host => Vec::new(),
    }
}

fn wanted(size: &str) -> Outcome<Wanted> {
    if size == Flag::BARE {
        return Ok(Wanted::default());
    }
    match size.parse() {
        Ok(size @ 1..) => Ok(Wanted { size, ..Wanted::default() }),
        _ => {
            Err(usage(format!("--userns-auto can't have the size {size:?}"), "give a number of ids, at least 1").into())
        }
    }
}

/// Ranges by user go before those that are written out; a map goes before a wish for none, all as with the reference.
fn given(flags: &Parsed) -> Outcome<Given> {
    let (sub_uid, sub_gid) = (flags.value(SUB_UID.names[0]), flags.value(SUB_GID.names[0]));
    let files = AutoIds::default();
    let half = |sub: Option<&str>, file: &Path, map: &Flag, host: &Flag| -> Outcome<Ids> {
        let mut ranges = match sub {
            Some(owner) => SubIds::read(file)?.map(Subject::named(owner), 0)?,
            None => Vec::new(),
        };
        for text in flags.list(map.names[0]).iter().filter(|text| !text.is_empty()) {
            ranges.extend(parse_map(text)?);
        }
        check_map(&ranges)?;
        Ok(match (ranges.is_empty(), flags.on(host.names[0])) {
            (false, _) => Ids::Mapped(ranges),
            (true, true) => Ids::Host,
            (true, false) => Ids::AsParent,
        })
    };
    Ok(Given {
        users: half(sub_uid.or(sub_gid), &files.subuid, &UID, &HOST_UID)?,
        groups: half(sub_gid.or(sub_uid), &files.subgid, &GID, &HOST_GID)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Flag] = &[HOST_UID, HOST_GID, UID, GID, SUB_UID, SUB_GID, AUTO];

    fn read(line: &str) -> Parsed {
        let line: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let mut parsed = Parsed::default();
        parsed.read(&line, TABLE).expect("the line can be read");
        parsed
    }

    fn maps(uids: &str, gids: &str) -> Maps {
        let map = |text: &str| if text.is_empty() { Vec::new() } else { parse_map(text).expect("map") };
        Maps { uids: map(uids), gids: map(gids) }
    }

    #[test]
    fn each_half_is_the_parents_the_hosts_or_mapped() {
        let map = |text| Ids::Mapped(parse_map(text).expect("map"));
        for (line, users, groups) in [
            ("", Ids::AsParent, Ids::AsParent),
            ("--hostuidmap", Ids::Host, Ids::AsParent),
            ("--hostuidmap --hostgidmap", Ids::Host, Ids::Host),
            ("--hostuidmap --uidmap 0:7:1", map("0:7:1"), Ids::AsParent),
            ("--uidmap 0:7:1,1:100:5 --uidmap 9:300:2 --gidmap 0:8:1", map("0:7:1,1:100:5,9:300:2"), map("0:8:1")),
        ] {
            let found = owners(&read(line)).unwrap_or_else(|_| panic!("{line:?} is refused"));
            assert_eq!(found, Owners { users, groups }, "{line:?}");
        }
    }

    #[test]
    fn a_container_has_the_hosts_ids_its_maps_or_ids_of_its_own() {
        let auto =
            |size, additional| Mapping::Auto(AutoMapping { wanted: Wanted { size, ..Wanted::default() }, additional });
        for (line, wanted) in [
            ("--hostuidmap", Mapping::Host),
            ("--uidmap 0:7:9", Mapping::Mapped(maps("0:7:9", ""))),
            ("--userns-auto", auto(0, Maps::NONE)),
            ("--userns-auto=500 --gidmap 3:9:1", auto(500, maps("", "3:9:1"))),
        ] {
            assert_eq!(mapping(&read(line)).unwrap_or_else(|_| panic!("{line:?} is refused")), wanted, "{line:?}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for line in [
            "--uidmap x",
            "--uidmap 0:1:2 --uidmap 1:9:1",
            "--gidmap 0:0:4294967296",
            "--subuidmap no-such-user-anywhere",
            "--userns-auto=0",
            "--userns-auto=-3",
            "--userns-auto=many",
            "--userns-auto --hostuidmap",
        ] {
            assert!(mapping(&read(line)).is_err(), "{line:?} is accepted");
        }
    }
}
