//! The flags that every verb has, and what they mean.

use std::path::PathBuf;
use std::time::Duration;

use storage_core::Result;
use storage_core::config::{Configuration, Given, LayerSync};

use crate::engine::Durability;
use crate::flags::{Flag, Parsed};
use crate::roots;
use crate::stop::usage;

/// The flags that stand before or after any verb.
pub(crate) const FLAGS: &[Flag] = &[
    Flag::switch(&["--debug", "-D"], "Print debugging information"),
    Flag::value(&["--durability"], "What survives a power loss: none, layer or strict (default layer)"),
    Flag::value(&["--graph", "-g"], "Root of the storage tree (see `lamina config`)"),
    Flag::value(&["--image-store"], "Separate store for images"),
    Flag::value(&["--lock-timeout"], "Give up waiting for a lock after this time (default: wait, and say so)"),
    Flag::switch(&["--no-progress"], "Never show progress"),
    Flag::list(&["--plugin"], "Load the driver in this shared object"),
    Flag::switch(&["--progress"], "Show progress even when it goes to a file"),
    Flag::value(&["--run", "-R"], "Root of the runtime state tree (see `lamina config`)"),
    Flag::value(&["--storage-driver", "-s"], "Storage driver to use ($STORAGE_DRIVER)"),
    Flag::list(&["--storage-opt"], "Set storage driver options ($STORAGE_OPTS)"),
    Flag::switch(&["--transient-store"], "Keep records in the run root"),
    Flag::switch(&["--unshare", "-U"], "Enter a user namespace when not root (default true)"),
];

/// Whether progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShowProgress {
    /// When standard error is a terminal.
    OnTerminal,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Whether a verb needs to know what files configure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Configured {
    /// It does: it works on the store that is configured.
    Yes,
    /// It doesn't, and works when a file is broken.
    No,
}

/// What the global flags, configuration files, the environment and the defaults come to.
#[derive(Clone, Debug)]
pub(crate) struct Globals {
    pub(crate) graph_root: PathBuf,
    pub(crate) run_root: PathBuf,
    pub(crate) image_store: Option<PathBuf>,
    pub(crate) transient: bool,
    pub(crate) driver: Option<String>,
    pub(crate) driver_options: Vec<String>,
    /// Shared objects of drivers that were named.
    pub(crate) plugins: Vec<PathBuf>,
    /// The rest of what is configured; what stands above counts where both have it.
    pub(crate) configuration: Configuration,
    pub(crate) durability: Durability,
    pub(crate) lock_timeout: Option<Duration>,
    pub(crate) progress: ShowProgress,
    pub(crate) debug: bool,
    pub(crate) unshare: bool,
}

impl Globals {
    /// Turns flags into meaning. Files and the environment count where flags are missing.
    pub(crate) fn from_parsed(parsed: &Parsed, configured: Configured) -> Result<Self> {
        let configuration = configuration(parsed, configured)?;
        let image_store = parsed.value("--image-store").map(roots::absolute).transpose()?;
        Ok(Globals {
            graph_root: configuration.graph_root.clone(),
            run_root: configuration.run_root.clone(),
            image_store: image_store.or_else(|| configuration.image_store.clone()),
            transient: parsed.on("--transient-store") || configuration.transient,
            driver: configuration.driver.clone(),
            driver_options: configuration.driver_options.clone(),
            plugins: parsed.list("--plugin").iter().map(roots::absolute).collect::<Result<_>>()?,
            durability: durability(parsed.value("--durability"), configuration.sync)?,
            lock_timeout: parsed.value("--lock-timeout").map(duration).transpose()?,
            progress: match (parsed.on("--no-progress"), parsed.on("--progress")) {
                (true, _) => ShowProgress::Never,
                (false, true) => ShowProgress::Always,
                (false, false) => ShowProgress::OnTerminal,
            },
            debug: parsed.on("--debug"),
            unshare: parsed.value("--unshare") != Some("false"),
            configuration,
        })
    }

    /// Stores with images that may only be read.
    pub(crate) fn additional_image_stores(&self) -> &[PathBuf] {
        &self.configuration.additional_image_stores
    }
}

/// What flags, files, variables and defaults come to. The rule is the reference's: when one of the flags for roots, driver
/// and options is given, files say no more than where roots are that weren't given.
pub(crate) fn configuration(parsed: &Parsed, configured: Configured) -> Result<Configuration> {
    let environment = roots::environment();
    let mut given = Given {
        graph_root: parsed.value("--graph").map(roots::absolute).transpose()?,
        run_root: parsed.value("--run").map(roots::absolute).transpose()?,
        driver: parsed.value("--storage-driver").map(str::to_owned),
        driver_options: parsed.list("--storage-opt").to_vec(),
    };
    if configured == Configured::No {
        let defaults = environment.default_roots();
        given.graph_root.get_or_insert(defaults.graph);
        given.run_root.get_or_insert(defaults.run);
    }
    Configuration::load_given(&environment, given)
}

/// What the flag says, else what is configured as `sync` of the driver.
fn durability(word: Option<&str>, sync: Option<LayerSync>) -> Result<Durability> {
    match word {
        None => Ok(match sync {
            Some(LayerSync::None) => Durability::None,
            Some(LayerSync::Filesystem) | None => Durability::Layer,
        }),
        Some("layer") => Ok(Durability::Layer),
        Some("none") => Ok(Durability::None),
        Some("strict") => Ok(Durability::Strict),
        Some(other) => {
            Err(usage(format!("--durability can't be {other:?}"), "write --durability none, layer or strict"))
        }
    }
}

/// A time span as Go writes it (`1m30s`, `500ms`, `1.5h`), or a plain number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration> {
    let wrong = || usage(format!("{text:?} is no time span"), "write it as 30s, 500ms or 1m30s");
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| wrong());
    }
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let span = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
        total = total.checked_add(span).ok_or_else(wrong)?;
        rest = tail;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_for_durability_counts_before_what_is_configured() {
        for (word, sync, durability) in [
            (None, None, Durability::Layer),
            (None, Some(LayerSync::Filesystem), Durability::Layer),
            (None, Some(LayerSync::None), Durability::None),
            (Some("strict"), Some(LayerSync::None), Durability::Strict),
        ] {
            assert_eq!(super::durability(word, sync).expect("known words"), durability, "{word:?} {sync:?}");
        }
    }

    #[test]
    fn time_spans_are_read_as_go_writes_them() {
        for (text, millis) in [("30", 30_000), ("1m30s", 90_000), ("500ms", 500), ("1.5h", 5_400_000), ("0", 0)] {
            assert_eq!(duration(text).expect(text), Duration::from_millis(millis), "{text}");
        }
        for text in ["", "s", "5x", "-1", "1m x", "nan", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text:?} is accepted");
        }
    }
}
