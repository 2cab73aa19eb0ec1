//! The choice among the images of a list.

use storage_core::{Error, Kind, Result};

use super::bad;
use super::document::{Listed, Platform};

/// The architecture of this machine, as images name it.
pub(super) fn this_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        other => other,
    }
}

/// The entry for `architecture`; else the only one that is for any machine at all.
pub(super) fn choose<'a>(entries: &[&'a Listed], architecture: &str) -> Result<&'a Listed> {
    // Signatures and attestations are listed among the images, for a machine "unknown".
    let known = |entry: &&Listed| entry.platform.as_ref().is_none_or(|platform| platform.os != "unknown");
    let entries: Vec<&Listed> = entries.iter().copied().filter(known).collect();
    let fits = |entry: &&Listed| {
        entry.platform.as_ref().is_some_and(|platform| platform.os == "linux" && platform.architecture == architecture)
    };
    if let Some(entry) = entries.iter().copied().find(fits) {
        return Ok(entry);
    }
    match entries[..] {
        [] => Err(bad("its list of manifests is empty")),
        [only] => Ok(only),
        _ => Err(none_fits(&entries, architecture)),
    }
}

fn none_fits(entries: &[&Listed], architecture: &str) -> Error {
    let mut there: Vec<String> = entries.iter().take(20).map(|entry| shown(entry.platform.as_ref())).collect();
    if entries.len() > there.len() {
        there.push(format!("and {} more", entries.len() - there.len()));
    }
    Error::new(Kind::NotSupported, "read image")
        .detail(format!("none of its images is for linux/{architecture}; there are {}", there.join(", ")))
        .remedy("copy the wanted one out with skopeo copy --override-arch")
}

fn shown(platform: Option<&Platform>) -> String {
    let Some(Platform { architecture, os, variant }) = platform else { return "one for an unnamed machine".into() };
    let variant = variant.as_deref().filter(|variant| !variant.is_empty());
    variant.map_or_else(|| format!("{os}/{architecture}"), |variant| format!("{os}/{architecture}/{variant}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(os: &str, architecture: &str) -> Listed {
        let json = serde_json::json!({
            "digest": format!("sha256:{}", "0".repeat(64)), "size": 1,
            "platform": {"os": os, "architecture": architecture},
        });
        serde_json::from_value(json).expect("an entry")
    }

    fn chosen(list: &[(&str, &str)]) -> std::result::Result<String, String> {
        let list: Vec<Listed> = list.iter().map(|(os, architecture)| listed(os, architecture)).collect();
        let entries: Vec<&Listed> = list.iter().collect();
        let found = choose(&entries, "arm64").map_err(|error| error.to_string())?;
        Ok(shown(found.platform.as_ref()))
    }

    #[test]
    fn this_machine_comes_first_then_the_only_one() {
        assert_eq!(chosen(&[("linux", "amd64"), ("linux", "arm64")]).as_deref(), Ok("linux/arm64"));
        assert_eq!(chosen(&[("linux", "amd64")]).as_deref(), Ok("linux/amd64"));
        assert_eq!(chosen(&[("linux", "amd64"), ("unknown", "unknown")]).as_deref(), Ok("linux/amd64"));
    }

    #[test]
    fn where_none_fits_those_there_are_named() {
        let error = chosen(&[("linux", "amd64"), ("windows", "arm64")]).expect_err("none fits");
        assert!(error.contains("linux/arm64; there are linux/amd64, windows/arm64"), "{error}");
        assert!(chosen(&[]).expect_err("empty").contains("empty"));
    }
}
