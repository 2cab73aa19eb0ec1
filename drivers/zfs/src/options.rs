//! The driver's options.

use nix::mount::MsFlags;
use storage_core::error::{Error, Kind, Result};
use storage_core::mount::MountFlags;

/// What the driver was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The dataset below which layers are made; found by the graph root where it isn't given.
    pub(crate) fsname: Option<String>,
    /// Options of every mount that brings none of its own, as given.
    pub(crate) mountopt: String,
    /// The limit of layers that will be written to, in bytes; 0 for none.
    pub(crate) size: u64,
}

impl Options {
    /// Reads the driver's options. An unknown one is refused by name.
    pub(crate) fn parse(options: &[(String, String)]) -> Result<Self> {
        let mut parsed = Options::default();
        for (key, value) in options {
            match key.as_str() {
                "fsname" if value.is_empty() => {}
                "fsname" => parsed.fsname = Some(check_dataset(value)?.to_owned()),
                "mountopt" => {
                    check_mount_options([value.as_str()])?;
                    parsed.mountopt.clone_from(value);
                }
                "size" if value.is_empty() => {}
                "size" => parsed.size = parse_size(value)?,
                _ => {
                    return Err(Error::new(Kind::Usage, "read storage option")
                        .detail(format!("zfs driver: unknown option {key:?}"))
                        .remedy("use fsname, mountopt or size"));
                }
            }
        }
        Ok(parsed)
    }

    /// The limit of a new layer: what its own options say, else the configured one if it will be written to.
    pub(crate) fn limit(&self, options: &[(String, String)], writable: bool) -> Result<u64> {
        let mut limit = if writable { self.size } else { 0 };
        for (key, value) in options {
            match key.strip_prefix("zfs.").unwrap_or(key) {
                "size" => limit = parse_size(value)?,
                _ => {
                    return Err(Error::new(Kind::Usage, "create layer")
                        .detail(format!("zfs: unknown storage option {key}"))
                        .remedy("zfs knows size"));
                }
            }
        }
        Ok(limit)
    }
}

/// A dataset by name: no snapshot, and nothing that the command could take for a flag.
fn check_dataset(name: &str) -> Result<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b':');
    let good = name.split('/').all(|part| !part.is_empty() && part.bytes().all(plain)) && !name.starts_with('-');
    if good {
        return Ok(name);
    }
    Err(Error::new(Kind::Usage, "read storage option")
        .detail(format!("zfs.fsname={name:?} can't be a dataset"))
        .remedy("give the name of a filesystem, as `zfs list` shows it"))
}

/// What a mount of zfs can be told beside what every mount can. The kernel's zfs passes over all else without a word.
const KNOWN: &[&str] = &[
    "xattr",
    "noxattr",
    "saxattr",
    "dirxattr",
    "nbmand",
    "nonbmand",
    "devices",
    "nodevices",
    "setuid",
    "fscontext",
    "defcontext",
    "rootcontext",
];

/// Tells mount options apart. What the driver sets itself is refused, and what zfs doesn't know.
pub(crate) fn check_mount_options<'a>(options: impl IntoIterator<Item = &'a str>) -> Result<MountFlags> {
    let parsed = MountFlags::parse(options);
    let wrong = match parsed.data.iter().find(|(key, _)| !KNOWN.contains(&key.as_str())) {
        None => return Ok(parsed),
        Some((key, _)) if ["source", "context", "mntpoint", "zfsutil"].contains(&key.as_str()) => {
            format!("{key} is the driver's to choose")
        }
        Some((key, _)) => format!("zfs knows no mount option {key}"),
    };
    Err(Error::new(Kind::Usage, "read mount options").detail(wrong).remedy("leave it out"))
}

/// What a mount is told: its own options, else the configured ones. `ro` never reaches the filesystem, since a dataset has
/// but one, and others may have it mounted for writing.
pub(crate) fn mount_flags(options: &Options, own: &[String], label: &str) -> Result<MountFlags> {
    let mut flags = if own.is_empty() {
        MountFlags::parse([options.mountopt.as_str()])
    } else {
        check_mount_options(own.iter().map(String::as_str))?
    };
    if !flags.flags.intersects(MsFlags::MS_NOATIME | MsFlags::MS_STRICTATIME) {
        flags.flags |= MsFlags::MS_RELATIME;
    }
    if !label.is_empty() {
        flags.data.push(("context".to_owned(), Some(label.to_owned())));
    }
    Ok(flags)
}

/// A size as people write it: a number, maybe with a unit of 1024 each (`10G`, `1.5gib`).
fn parse_size(text: &str) -> Result<u64> {
    let split = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let power = match unit.strip_suffix('i').unwrap_or(unit) {
        "" if !unit.ends_with('i') => Some(0),
        unit => ["k", "m", "g", "t", "p"].iter().position(|known| *known == unit).map(|position| position + 1),
    };
    match (number.parse::<f64>(), power) {
        (Ok(number), Some(power)) if number > 0.0 => {
            let bytes = number * 1024_f64.powi(power as i32);
            if bytes < 2_f64.powi(63) { Ok(bytes as u64) } else { Err(bad_size(text)) }
        }
        _ => Err(bad_size(text)),
    }
}

fn bad_size(text: &str) -> Error {
    Error::new(Kind::Usage, "read storage option")
        .detail(format!("size={text:?} is no size"))
        .remedy("write it like 10G")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, value: &str) -> Result<Options, Kind> {
        Options::parse(&[(key.to_owned(), value.to_owned())]).map_err(|error| error.kind())
    }

    #[test]
    fn options_are_taken_or_refused_by_name() {
        assert_eq!(parse("fsname", "tank/a-b").expect("fsname").fsname.as_deref(), Some("tank/a-b"));
        assert_eq!(parse("mountopt", "nodev").expect("mountopt").mountopt, "nodev");
        assert_eq!(parse("size", "1.5g").expect("size").size, 3 << 29);
        for (key, value) in
            [("fsname", "tank@x"), ("fsname", "-r"), ("fsname", "a//b"), ("size", "much"), ("sync", "none")]
        {
            assert_eq!(parse(key, value).err(), Some(Kind::Usage), "{key}={value}");
        }
        for wrong in ["nodev,source=p/x", "nodev,nothing-known", "zfsutil", "userxattr=1"] {
            assert_eq!(parse("mountopt", wrong).err(), Some(Kind::Usage), "{wrong}");
        }
        assert_eq!(parse("mountopt", "nodev,noatime,saxattr").expect("mountopt").mountopt, "nodev,noatime,saxattr");
    }

    #[test]
    fn only_layers_that_are_written_to_have_the_configured_limit() {
        let options = parse("size", "1M").expect("size");
        let own = [("zfs.size".to_owned(), "2k".to_owned())];
        let limit = |own: &[_], writable| options.limit(own, writable).map_err(|error| error.kind());
        assert_eq!((limit(&[], true), limit(&[], false), limit(&own, false)), (Ok(1 << 20), Ok(0), Ok(2048)));
        assert_eq!(limit(&[("inodes".to_owned(), "1".to_owned())], true), Err(Kind::Usage));
    }
}
