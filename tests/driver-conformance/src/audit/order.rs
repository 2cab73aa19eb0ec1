//! What a worker is told.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use storage_core::driver::Registry;
use storage_core::lockfile::Wait;
use storage_core::locks::ThreadKey;
use storage_core::record::Places;
use storage_core::store::{Durability, Store, StoreOptions};
use storage_core::{Error, Kind, Result};

/// How long a worker waits for a lock: longer than anybody holds one, shorter than the audit waits for the worker.
const WAIT: std::time::Duration = std::time::Duration::from_secs(15);

/// One worker's order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) job: Job,
    pub(super) driver: String,
    pub(super) options: Vec<String>,
    pub(super) graph: PathBuf,
    pub(super) run: PathBuf,
    /// Where recordings and notes go.
    pub(super) desk: PathBuf,
    /// Which of the workers of its kind this is.
    pub(super) number: u64,
    /// How often it does its work.
    pub(super) rounds: u64,
    /// At which event of its recording it kills itself.
    pub(super) dies_at: Option<u64>,
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Job {
    /// Makes layers that the crowd and the victims use.
    Prepare,
    /// Every operation, alone.
    Quiet,
    /// Operations at the same time as others'.
    Crowd,
    /// Asks the kernel whether the layers are locked.
    Probe,
    /// One operation, in which it is killed.
    Victim(Deed),
    /// What the next process does after a death.
    Settle,
    /// Deletes everything.
    End,
}

/// What a victim does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Deed {
    Mount,
    Unmount,
    Diff,
    Create,
    Import,
    Apply,
    Delete,
}

impl Deed {
    pub(super) const ALL: &'static [Deed] =
        &[Deed::Mount, Deed::Unmount, Deed::Diff, Deed::Create, Deed::Import, Deed::Apply, Deed::Delete];

    pub(super) fn name(self) -> &'static str {
        match self {
            Deed::Mount => "mount",
            Deed::Unmount => "unmount if mounted",
            Deed::Diff => "diff",
            Deed::Create => "create layer",
            Deed::Import => "import layer",
            Deed::Apply => "apply diff",
            Deed::Delete => "delete layer",
        }
    }
}

impl Order {
    /// The order as the one word that a worker is started with.
    pub(super) fn to_word(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|source| Error::new(Kind::Io, "write order").because(source))
    }

    pub(super) fn from_word(word: &str) -> Result<Self> {
        serde_json::from_str(word)
            .map_err(|source| Error::new(Kind::Usage, "read order of an audit").because(source.to_string()))
    }

    /// The name of the worker, for its files.
    pub(super) fn name(&self) -> String {
        let job = match self.job {
            Job::Prepare => "prepare",
            Job::Quiet => "quiet",
            Job::Crowd => "crowd",
            Job::Probe => "probe",
            Job::Victim(_) => "victim",
            Job::Settle => "settle",
            Job::End => "end",
        };
        format!("{job}-{}", self.number)
    }

    pub(super) fn log(&self) -> PathBuf {
        self.desk.join(format!("{}.events", self.name()))
    }

    pub(super) fn notes(&self) -> PathBuf {
        self.desk.join(format!("{}.notes", self.name()))
    }

    /// The archive that is imported and applied.
    pub(super) fn archive(&self) -> PathBuf {
        self.desk.join("layer.tar")
    }

    /// Opens the store as every user of the library does.
    pub(super) fn open(&self, registry: &Registry, key: &mut ThreadKey) -> Result<Store> {
        let options = StoreOptions {
            graph_root: self.graph.clone(),
            run_root: self.run.clone(),
            driver: Some(self.driver.clone()),
            driver_options: self.options.clone(),
            // Flushes change nothing that is judged here.
            durability: Durability::None,
            wait: Wait::at_most(WAIT),
            ..StoreOptions::default()
        };
        Store::open(&options, registry, key)
    }

    /// What is watched.
    pub(super) fn places(&self) -> Places {
        places(&self.graph, &self.run, &self.driver)
    }
}

/// The roots, counts and records of a store.
pub(super) fn places(graph: &Path, run: &Path, driver: &str) -> Places {
    let lasting = |kind: &str| graph.join(format!("{driver}-{kind}"));
    let running = run.join(format!("{driver}-layers"));
    let counts = running.join("mountpoints.json");
    let mut files = vec![counts.clone(), running.join("mountpoints.lock"), running.join("lamina-mounting")];
    for kind in ["layers", "images", "containers"] {
        files.push(lasting(kind).join(format!("{kind}.json")));
        files.push(lasting(kind).join(format!("{kind}.lock")));
    }
    // Those in the run root are a transient store's.
    let fleeting = run.join(format!("{driver}-containers"));
    files.extend([&lasting("layers"), &running].map(|home| home.join("volatile-layers.json")));
    files.extend([&lasting("containers"), &fleeting].map(|home| home.join("volatile-containers.json")));
    files.extend(["containers.json", "containers.lock"].map(|name| fleeting.join(name)));
    Places { roots: vec![graph.to_path_buf(), run.to_path_buf()], counts, files }
}

/// The name of the lock file that protects a file of records: that of its level, also for what is volatile.
pub(super) fn lock_name(file: &str) -> String {
    let name = Path::new(file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    format!("{}.lock", name.strip_prefix("volatile-").unwrap_or(&name))
}
