//! The ranges of ids that `/etc/subuid` and `/etc/subgid` give to users and groups.

use std::path::Path;

use super::{IdMap, IdSet};
use crate::error::{Error, Kind, OsContext, Result};

/// One line of the file: whose ids, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubRange {
    /// A name or a number.
    pub owner: String,
    /// The first id.
    pub start: u32,
    /// How many there are, at least one.
    pub count: u32,
}

/// Whose ranges are wanted: the file may call a user by name or by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The name, where there is one.
    pub name: Option<&'a str>,
    /// The number, where it is known.
    pub id: Option<u32>,
}

impl<'a> Subject<'a> {
    /// A user or group by what an option calls it: a name, or a number.
    pub fn named(name: &'a str) -> Self {
        Subject { name: Some(name), id: name.parse().ok() }
    }

    fn is(self, owner: &str) -> bool {
        self.name == Some(owner) || (self.id.is_some() && owner.parse().ok() == self.id)
    }
}

/// What one such file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubIds(Vec<SubRange>);

impl SubIds {
    /// Reads the file at `path`; one that is missing says nothing.
    pub fn read(path: &Path) -> Result<Self> {
        match std::fs::read(path) {
            Ok(text) => Ok(Self::parse(&String::from_utf8_lossy(&text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(SubIds::default()),
            Err(error) => Err(error).os("read", path),
        }
    }

    /// The lines `OWNER:START:COUNT` of `text`. Comments, empty ranges, ranges beyond the last id and lines of another form
    /// are passed over, as `newuidmap` does: they give nobody anything.
    pub fn parse(text: &str) -> Self {
        let range = |line: &str| {
            let mut fields = line.trim().split(':');
            let (owner, start, count) = (fields.next()?, fields.next()?, fields.next()?);
            let (start, count) = (start.parse::<u32>().ok()?, count.parse::<u32>().ok()?);
            let known = !owner.is_empty() && !owner.starts_with('#') && fields.next().is_none();
            let fits = count > 0 && start.checked_add(count).is_some();
            (known && fits).then(|| SubRange { owner: owner.to_owned(), start, count })
        };
        SubIds(text.lines().filter_map(range).collect())
    }

    /// The ranges of one user or group, in the file's order.
    pub fn ranges(&self, of: Subject<'_>) -> impl Iterator<Item = &SubRange> {
        self.0.iter().filter(move |range| of.is(&range.owner))
    }

    /// The ids of one user or group; ranges that touch or overlap are one.
    pub fn ids(&self, of: Subject<'_>) -> IdSet {
        IdSet::of_ranges(
            self.ranges(of).map(|range| u64::from(range.start)..u64::from(range.start) + u64::from(range.count)),
        )
    }

    /// Maps the ids `first`, `first + 1`, … inside to those of one user or group, the lowest first. Fails with
    /// [`Kind::InvalidMappings`] when the file gives it none.
    pub fn map(&self, of: Subject<'_>, first: u32) -> Result<Vec<IdMap>> {
        let ids = self.ids(of);
        let first = u64::from(first);
        if ids.size() == 0 {
            let name = of.name.map(ToOwned::to_owned).or(of.id.map(|id| id.to_string())).unwrap_or_default();
            return Err(Error::new(Kind::InvalidMappings, "look up subordinate ids")
                .detail(format!("{name:?} has none"))
                .remedy("give it a range in /etc/subuid and /etc/subgid"));
        }
        let map = ids.as_hosts_of(&IdSet::of_ranges(std::iter::once(first..first + ids.size())));
        super::check_map(&map)?;
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ann:100000:65536\n# note:1:1\nbob:1:x\n1000:300000:10\nann:500000:5\nann:165536:4\nann:9:0\n\
                        ann:4294967290:10\nann:1:2:3\n";

    #[test]
    fn ranges_are_found_by_name_and_by_number_in_the_order_of_the_file() {
        let file = SubIds::parse(TEXT);
        let both = Subject { name: Some("ann"), id: Some(1000) };
        let found: Vec<_> = file.ranges(both).map(|range| (range.start, range.count)).collect();
        assert_eq!(found, [(100_000, 65_536), (300_000, 10), (500_000, 5), (165_536, 4)]);
        assert_eq!(file.ids(Subject::named("1000")).ranges(), std::slice::from_ref(&(300_000..300_010)));
        assert_eq!(file.ids(Subject::named("bob")).size(), 0, "a line that can't be read gave ids");
        assert_eq!(file.ids(Subject::default()).size(), 0);
    }

    #[test]
    fn neighbouring_ranges_are_merged_and_mapped_from_the_lowest() {
        let file = SubIds::parse(TEXT);
        assert_eq!(file.ids(Subject::named("ann")).ranges(), [100_000..165_540, 500_000..500_005]);
        let map = file.map(Subject::named("ann"), 1).expect("map");
        let texts: Vec<_> = map.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["1:100000:65540", "65541:500000:5"]);
        let none = file.map(Subject::named("eve"), 0).expect_err("nobody");
        assert_eq!(none.kind(), Kind::InvalidMappings);
        assert!(none.to_string().contains("\"eve\""), "{none}");
    }

    #[test]
    fn a_missing_file_gives_nothing() {
        let dir = tempfile::tempdir().expect("dir");
        assert_eq!(SubIds::read(&dir.path().join("subuid")).expect("missing"), SubIds::default());
        std::fs::write(dir.path().join("subuid"), "x:1:2\n").expect("write");
        assert_eq!(SubIds::read(&dir.path().join("subuid")).expect("read").ids(Subject::named("x")).size(), 2);
    }
}
