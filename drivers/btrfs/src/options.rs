//! The driver's options, and those of a layer.

use storage_core::driver::{Refusals, is_on};
use storage_core::error::{Error, Kind, Result};
use storage_core::mount::MountFlags;

/// What the driver was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// The least limit that a layer may have, in bytes.
    pub(crate) min_space: u64,
    /// The limit of a writable layer that has none of its own.
    pub(crate) size: Option<u64>,
    /// What becomes of an owner in an archive that can't be given.
    pub(crate) refusals: Refusals,
}

impl Options {
    /// Reads the options of the driver. Those that would be needed and can't be honoured are refused.
    pub(crate) fn parse(options: &[(String, String)]) -> Result<Self> {
        let mut parsed = Options::default();
        for (key, value) in options {
            match key.as_str() {
                "min_space" if !value.is_empty() => parsed.min_space = bytes(key, value)?,
                "size" if !value.is_empty() => parsed.size = Some(bytes(key, value)?),
                "min_space" | "size" => {}
                "mountopt" => check_mount_options([value.as_str()])?,
                "ignore_chown_errors" if is_on(key, value)? => parsed.refusals = Refusals::Ignored,
                "ignore_chown_errors" => {}
                _ => {
                    return Err(Error::new(Kind::Usage, "read storage option")
                        .detail(format!("btrfs driver: unknown option {key:?}"))
                        .remedy("use min_space, size, mountopt or ignore_chown_errors"));
                }
            }
        }
        parsed.size.map_or(Ok(()), |size| parsed.check(size))?;
        Ok(parsed)
    }

    /// The limit of a new layer with these options of its own.
    pub(crate) fn limit(&self, writable: bool, options: &[(String, String)]) -> Result<Option<u64>> {
        let mut limit = self.size.filter(|_| writable);
        for (key, value) in options {
            if key.strip_prefix("btrfs.").unwrap_or(key) != "size" {
                return Err(Error::new(Kind::Usage, "create layer")
                    .detail(format!("btrfs driver: unknown storage option {key:?}"))
                    .remedy("use size"));
            }
            limit = Some(bytes(key, value)?);
        }
        limit.map_or(Ok(()), |size| self.check(size))?;
        Ok(limit)
    }

    fn check(&self, size: u64) -> Result<()> {
        if size > 0 && size >= self.min_space {
            return Ok(());
        }
        Err(Error::new(Kind::Usage, "limit layer")
            .detail(format!("btrfs: storage size cannot be less than {}", self.min_space.max(1)))
            .remedy("give a larger size, or a smaller btrfs.min_space"))
    }
}

/// A number of bytes as the reference reads it: a decimal number with or without a unit, each 1024 of the one before.
fn bytes(key: &str, value: &str) -> Result<u64> {
    let wrong = || {
        Error::new(Kind::Usage, "read storage option")
            .detail(format!("{key}: invalid size: '{value}'"))
            .remedy("write a number of bytes, or one like 10G")
    };
    let lower = value.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|end: char| end.is_ascii_alphabetic() || end == ' ');
    let unit = lower[digits.len()..].trim();
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(wrong()),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() < 19;
    if whole.is_empty() || !plain(whole) || !plain(part) {
        return Err(wrong());
    }
    let scale = 1024_u128.pow(power);
    let whole: u128 = whole.parse().map_err(|_| wrong())?;
    let fraction: u128 = if part.is_empty() { 0 } else { part.parse().map_err(|_| wrong())? };
    let total = whole * scale + fraction * scale / 10_u128.pow(part.len() as u32);
    u64::try_from(total).ok().filter(|total| i64::try_from(*total).is_ok()).ok_or_else(wrong)
}

/// A directory that is shown as it is can't obey options of a filesystem; those of any mount are tolerated.
pub(crate) fn check_mount_options<'a>(options: impl IntoIterator<Item = &'a str>) -> Result<()> {
    match MountFlags::parse(options).data.first() {
        None => Ok(()),
        Some((key, _)) => Err(Error::new(Kind::NotSupported, "mount layer")
            .detail(format!("btrfs driver does not support mount options ({key})"))
            .remedy("leave the option out")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn sizes_are_read_as_the_reference_reads_them() {
        for (text, value) in [("32", 32), ("1k", 1024), ("1KiB", 1024), ("1.5 G", 1_610_612_736), ("2mb", 2 << 20)] {
            assert_eq!(bytes("size", text).expect("a size"), value, "{text}");
        }
        for wrong in ["", "k", "-1", "1x", "1.2.3", "99999999p", "1e3"] {
            assert_eq!(bytes("size", wrong).map_err(|error| error.kind()), Err(Kind::Usage), "{wrong:?}");
        }
    }

    #[test]
    fn a_limit_is_the_layers_own_or_that_of_all_writable_ones_and_never_too_small() {
        let options = Options::parse(&pairs(&[("min_space", "1M"), ("size", "2M")])).expect("options");
        assert_eq!(options.limit(true, &[]).expect("limit"), Some(2 << 20));
        assert_eq!(options.limit(false, &[]).expect("limit"), None);
        assert_eq!(options.limit(false, &pairs(&[("size", "3M")])).expect("limit"), Some(3 << 20));
        let refused = options.limit(true, &pairs(&[("size", "1k")])).expect_err("too small");
        assert!(refused.to_string().contains("storage size cannot be less than"), "{refused}");
        assert_eq!(options.limit(true, &pairs(&[("inodes", "1")])).map_err(|error| error.kind()), Err(Kind::Usage));
        assert!(Options::parse(&pairs(&[("min_space", "2M"), ("size", "1M")])).is_err());
    }

    #[test]
    fn options_of_any_mount_are_tolerated_and_those_of_a_filesystem_refused() {
        assert!(Options::parse(&pairs(&[("mountopt", "nodev,ro"), ("size", ""), ("min_space", "")])).is_ok());
        let kind = |key: &str, value: &str| Options::parse(&pairs(&[(key, value)])).map_err(|error| error.kind()).err();
        assert_eq!(kind("mountopt", "compress=zstd"), Some(Kind::NotSupported));
        assert_eq!(kind("nonsense", "1"), Some(Kind::Usage));
        assert_eq!(kind("ignore_chown_errors", "yes"), Some(Kind::Usage));
    }
}
