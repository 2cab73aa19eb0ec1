//! The counts, as `mountpoints.json` holds them.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};
use crate::locks::counting::{Counted, Counts};
use crate::locks::{RecordBytes, Table};
use crate::mount::boot_id;
use crate::store::records::json;

/// One mounted layer.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct MountPoint {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) count: i64,
    /// The boot in which Lamina last raised the count. The reference doesn't know the field, and leaves it out when it writes the
    /// file: so it says something only as long as nobody else has counted.
    #[serde(rename = "lamina-boot", default, skip_serializing_if = "Option::is_none")]
    pub(crate) boot: Option<String>,
    /// Fields that this version doesn't know.
    #[serde(flatten)]
    pub(crate) extra: BTreeMap<String, serde_json::Value>,
}

/// All counts of a store at one moment. Only layers with a count above zero are in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MountTable {
    mounts: Vec<MountPoint>,
}

impl MountTable {
    /// The mounted layer `id`.
    pub(crate) fn get(&self, id: &str) -> Option<&MountPoint> {
        self.mounts.iter().find(|mount| mount.id == id)
    }

    /// The layer that is mounted at `path`.
    pub(crate) fn at_path(&self, path: &str) -> Option<&MountPoint> {
        self.mounts.iter().find(|mount| mount.path == path)
    }

    /// All mounted layers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &MountPoint> {
        self.mounts.iter()
    }
}

impl Counts for MountTable {
    fn count(&self, id: &str) -> u64 {
        self.get(id).map_or(0, |mount| mount.count.max(0) as u64)
    }

    fn with_count(&self, id: &str, path: &str, count: u64) -> Self {
        let mut mounts = self.mounts.clone();
        match mounts.iter_mut().find(|mount| mount.id == id) {
            Some(mount) => {
                if count as i64 > mount.count {
                    mount.boot = boot_id().map(str::to_owned);
                }
                mount.count = count as i64;
                path.clone_into(&mut mount.path);
            }
            None => mounts.push(MountPoint {
                id: id.to_owned(),
                path: path.to_owned(),
                count: count as i64,
                boot: boot_id().map(str::to_owned),
                extra: BTreeMap::new(),
            }),
        }
        mounts.retain(|mount| mount.count > 0);
        MountTable { mounts }
    }

    fn restored(&self, former: &Self, id: &str, _path: &str) -> Self {
        let others = self.mounts.iter().filter(|mount| mount.id != id);
        MountTable { mounts: others.chain(former.get(id)).cloned().collect() }
    }

    fn counted(&self, id: &str) -> Counted {
        let boot = self.get(id).and_then(|mount| mount.boot.as_deref());
        match boot.zip(boot_id()) {
            Some((then, now)) if then != now => Counted::BeforeBoot,
            _ => Counted::InThisBoot,
        }
    }
}

impl Table for MountTable {
    const LOADING: &'static str = "load mount counts";

    fn parse(files: &[RecordBytes<'_>]) -> Result<Self> {
        let Some(&RecordBytes { path, bytes: Some(bytes) }) = files.first() else { return Ok(MountTable::default()) };
        if bytes.is_empty() {
            // It is not flushed: a loss of power may leave it so, and then nothing is mounted.
            return Ok(MountTable::default());
        }
        let mut mounts: Vec<MountPoint> = serde_json::from_slice::<Option<_>>(bytes)
            .map_err(|source| {
                Error::new(Kind::Corrupt, Self::LOADING)
                    .at(path)
                    .detail(source.to_string())
                    .remedy("unmount the layers by hand, then move the file away")
            })?
            .unwrap_or_default();
        mounts.retain(|mount| mount.count > 0 && !mount.path.is_empty());
        Ok(MountTable { mounts })
    }

    fn serialise(&self, _file: usize) -> Vec<u8> {
        json::to_string(&self.mounts).unwrap_or_default().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_written_as_the_reference_writes_them_and_unknown_fields_survive() {
        let text = r#"[{"id":"a","path":"/p/a","count":2,"later":{"x":1}},{"id":"b","path":"","count":1},{"id":"c","path":"/p/c","count":0}]"#;
        let table = MountTable::parse(&[RecordBytes {
            path: std::path::Path::new("mountpoints.json"),
            bytes: Some(text.as_bytes()),
        }])
        .expect("table");
        assert_eq!((table.count("a"), table.count("b"), table.count("c")), (2, 0, 0));
        assert_eq!(table.at_path("/p/a").map(|mount| mount.id.as_str()), Some("a"));
        let one_less = table.with_count("a", "/p/a", 1).serialise(0);
        assert_eq!(String::from_utf8_lossy(&one_less), r#"[{"id":"a","path":"/p/a","count":1,"later":{"x":1}}]"#);
        assert_eq!(table.with_count("a", "/p/a", 0).serialise(0), b"[]");
        assert_eq!(table.with_count("d", "/p/d", 1).count("d"), 1);
        let gone = table.with_count("a", "/p/a", 0);
        assert_eq!(
            gone.restored(&table, "a", "/p/a").serialise(0),
            table.serialise(0),
            "a count that came back is another"
        );
    }

    #[test]
    fn a_count_of_ours_is_known_to_be_of_another_boot_until_somebody_else_counts() {
        let parse = |text: &str| {
            let path = std::path::Path::new("mountpoints.json");
            MountTable::parse(&[RecordBytes { path, bytes: Some(text.as_bytes()) }]).expect("table")
        };
        let fresh = MountTable::default().with_count("a", "/p/a", 1);
        assert_eq!(fresh.counted("a"), Counted::InThisBoot);
        let now = boot_id().expect("Linux has one");
        let text = String::from_utf8(fresh.serialise(0)).expect("text");
        assert_eq!(text, format!(r#"[{{"id":"a","path":"/p/a","count":1,"lamina-boot":"{now}"}}]"#));
        let old = parse(&text.replace(now, "another").replace(":1,", ":3,"));
        assert_eq!(old.counted("a"), Counted::BeforeBoot);
        assert_eq!(old.with_count("a", "/p/a", 2).counted("a"), Counted::BeforeBoot, "less is still of that boot");
        assert_eq!(old.with_count("a", "/p/a", 4).counted("a"), Counted::InThisBoot, "somebody has just mounted it");
        assert_eq!(old.with_count("b", "/p/b", 1).counted("a"), Counted::BeforeBoot, "others say nothing about it");
        assert_eq!(parse(r#"[{"id":"a","path":"/p/a","count":1}]"#).counted("a"), Counted::InThisBoot);
    }
}
