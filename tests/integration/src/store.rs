//! One store on disk, driven by one command: the one under test or the reference's.

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::archive::sha256;
use crate::case::Skip;
use crate::machine;
use crate::scratch::{Scratch, make_dataset};

/// A command, a root and a driver.
#[derive(Clone, Debug)]
pub struct Store {
    /// The program.
    pub bin: PathBuf,
    /// The graph root.
    pub root: PathBuf,
    /// The run root.
    pub run: PathBuf,
    /// The graph driver.
    pub driver: &'static str,
    /// Global flags put before the verb.
    pub flags: Vec<String>,
    /// Variables of the environment, by name.
    pub env: Vec<(&'static str, String)>,
}

/// A command that has ended, with what it was.
#[derive(Debug)]
pub struct Ended {
    /// What was run, for messages.
    pub line: String,
    /// How it ended and what it wrote.
    pub output: Output,
}

/// The two drivers that every Linux machine has.
pub const DRIVERS: [&str; 2] = ["overlay", "vfs"];

/// A 64-digit identifier made from words, the same in every run.
pub fn id(words: impl AsRef<str>) -> String {
    sha256(words.as_ref().as_bytes())
}

impl Store {
    /// A store of the command under test at `name` in the scratch directory; nothing is made yet.
    pub fn new(scratch: &Scratch, name: &str, driver: &'static str) -> Self {
        if driver == "zfs" {
            // The datasets of layers stand directly below the one that the root is on: no two stores share it.
            make_dataset(&scratch.join(name));
        }
        Self::at(&scratch.join(name).join("root"), &scratch.join(name).join("run"), driver)
    }

    /// A store of the command under test at given places.
    pub fn at(root: &Path, run: &Path, driver: &'static str) -> Self {
        let bin = machine::lamina().expect("the supervisor found a command to test");
        Store { bin, root: root.to_path_buf(), run: run.to_path_buf(), driver, flags: Vec::new(), env: Vec::new() }
    }

    /// The same store, driven by the reference.
    pub fn peer(&self) -> Result<Self, Skip> {
        Ok(Store { bin: machine::peer()?, flags: Vec::new(), ..self.clone() })
    }

    /// The same store with one more global flag (or flag and value); the reference's stand-in ignores ours.
    #[must_use = "the store given is unchanged"]
    pub fn with(&self, flags: &[&str]) -> Self {
        let mut store = self.clone();
        if !self.is_peer() {
            store.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        }
        store
    }

    /// The same store with one more variable, for either command.
    #[must_use = "the store given is unchanged"]
    pub fn with_env(&self, name: &'static str, value: impl Into<String>) -> Self {
        let mut store = self.clone();
        store.env.push((name, value.into()));
        store
    }

    /// Whether this store is driven by the reference.
    pub fn is_peer(&self) -> bool {
        self.bin.ends_with(machine::PEER)
    }

    /// The command line up to the verb.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.bin);
        command.arg("-g").arg(&self.root).arg("-R").arg(&self.run).args(["-s", self.driver]).args(&self.flags);
        command.stdin(Stdio::null()).envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The whole command line, for a program that starts it (`strace`, `timeout`).
    pub fn argv<S: AsRef<OsStr>>(&self, args: &[S]) -> Vec<std::ffi::OsString> {
        let mut command = self.command();
        command.args(args);
        let line = std::iter::once(command.get_program()).chain(command.get_args()).map(OsStr::to_owned);
        let variables: Vec<_> = self.env.iter().map(|(name, value)| format!("{name}={value}").into()).collect();
        let env = (!variables.is_empty()).then(|| "env".into());
        env.into_iter().chain(variables).chain(line).collect()
    }

    /// Runs it to its end.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Ended {
        let mut command = self.command();
        command.args(args);
        end(command)
    }

    /// Runs it and expects success; gives what it wrote on standard output.
    #[track_caller]
    pub fn ok<S: AsRef<OsStr>>(&self, args: &[S]) -> String {
        let ended = self.run(args);
        assert!(ended.output.status.success(), "a call failed: {}", ended.describe());
        String::from_utf8_lossy(&ended.output.stdout).into_owned()
    }

    /// Starts it with a pipe as standard output.
    pub fn start<S: AsRef<OsStr>>(&self, args: &[S]) -> Child {
        let mut command = self.command();
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("start a command")
    }

    /// Creates an empty layer.
    #[track_caller]
    pub fn create(&self, id: &str, parent: Option<&str>) {
        let out = self.ok(&[&["create-layer", "-i", id], parent.as_slice()].concat());
        assert!(out.starts_with(id), "create-layer acknowledged {out:?}, not {id}");
    }

    /// Imports an archive as a new layer.
    #[track_caller]
    pub fn import(&self, id: &str, parent: Option<&str>, archive: &Path) {
        let file = archive.to_str().expect("a printable path");
        let out = self.ok(&[&["import-layer", "-i", id, "-f", file], parent.as_slice()].concat());
        assert!(out.starts_with(id), "import-layer acknowledged {out:?}, not {id}");
    }

    /// Mounts a layer or container and gives its path.
    #[track_caller]
    pub fn mount(&self, id: &str) -> PathBuf {
        self.mounted_at(&["mount", id])
    }

    /// Mounts an image and gives its path.
    #[track_caller]
    pub fn mount_image(&self, name: &str) -> PathBuf {
        if self.is_peer() && !self.has_mounts() {
            // Debian's version of the reference's command hands vfs and btrfs an option that they refuse.
            let layer = self.list(&["image", "-j", name])[0]["layer"].as_str().expect("a top layer").to_owned();
            return self.mount(&layer);
        }
        self.mounted_at(&["mount", "-r", name])
    }

    #[track_caller]
    fn mounted_at(&self, args: &[&str]) -> PathBuf {
        let out = self.ok(args);
        let path = PathBuf::from(out.trim_end());
        assert!(path.is_absolute() && path.starts_with(&self.root), "mount said {out:?}");
        path
    }

    /// Gives one mount of a layer back.
    #[track_caller]
    pub fn unmount(&self, id: &str) {
        self.ok(&["unmount", id]);
    }

    /// Deletes a layer.
    #[track_caller]
    pub fn delete(&self, id: &str) {
        self.ok(&["delete-layer", id]);
    }

    /// The uncompressed archive of a layer, as bytes.
    #[track_caller]
    pub fn diff(&self, id: &str) -> Vec<u8> {
        let ended = self.run(&["diff", "-u", id]);
        assert!(ended.output.status.success(), "a call failed: {}", ended.describe());
        ended.output.stdout
    }

    /// Writes the uncompressed archive of a layer to a file.
    #[track_caller]
    pub fn diff_to(&self, id: &str, file: &Path) {
        self.ok(&["diff", "-u", "-f", file.to_str().expect("a printable path"), id]);
    }

    /// The changes of a layer against its parent, sorted: `A /path`, `C /path`, `D /path`.
    #[track_caller]
    pub fn changes(&self, id: &str) -> Vec<String> {
        let json: Value = serde_json::from_str(&self.ok(&["changes", "-j", id])).expect("changes -j writes JSON");
        let one = |change: &Value| {
            let kind = match change["Kind"].as_u64() {
                Some(0) => 'C',
                Some(1) => 'A',
                Some(2) => 'D',
                other => panic!("a change of kind {other:?}"),
            };
            format!("{kind} {}", change["Path"].as_str().expect("a change has a path"))
        };
        let mut lines: Vec<String> = json.as_array().into_iter().flatten().map(one).collect();
        lines.sort();
        lines
    }

    /// The records that `layers -j` shows, sorted by id.
    #[track_caller]
    pub fn layers(&self) -> Vec<Value> {
        self.list(&["layers", "-j"])
    }

    /// What a call that lists records as JSON writes, sorted by id.
    #[track_caller]
    pub fn list(&self, args: &[&str]) -> Vec<Value> {
        let json: Value = serde_json::from_str(&self.ok(args)).expect("the call writes JSON");
        sorted(&json)
    }

    /// The records on disk of `layers`, `images` or `containers`, sorted by id.
    #[track_caller]
    pub fn records(&self, kind: &str) -> Vec<Value> {
        let dir = self.root.join(format!("{}-{kind}", self.driver));
        let file = dir.join(format!("{kind}.json"));
        let text = fs::read(&file).unwrap_or_else(|error| panic!("read {}: {error}", file.display()));
        sorted(&serde_json::from_slice(&text).expect("a file of records is JSON"))
    }

    /// The ids that `layers -j` shows, sorted.
    #[track_caller]
    pub fn ids(&self) -> Vec<String> {
        self.layers().iter().map(|record| record["id"].as_str().expect("a record has an id").to_owned()).collect()
    }

    /// The record of one layer in `layers.json`.
    #[track_caller]
    pub fn record(&self, id: &str) -> Value {
        let file = self.layers_dir().join("layers.json");
        let json: Value =
            serde_json::from_slice(&fs::read(&file).expect("read layers.json")).expect("layers.json is JSON");
        let found = json.as_array().into_iter().flatten().find(|record| record["id"] == id);
        found.unwrap_or_else(|| panic!("{} has no record of {id}", file.display())).clone()
    }

    /// The counts in `mountpoints.json`: id, path, count.
    pub fn counts(&self) -> Vec<(String, PathBuf, i64)> {
        let Ok(text) = fs::read(self.run_layers_dir().join("mountpoints.json")) else { return Vec::new() };
        let json: Value = serde_json::from_slice(&text).expect("mountpoints.json is JSON");
        let one = |entry: &Value| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            (text("id"), PathBuf::from(text("path")), entry["count"].as_i64().unwrap_or(0))
        };
        json.as_array().into_iter().flatten().map(one).collect()
    }

    /// `<root>/<driver>-layers`.
    pub fn layers_dir(&self) -> PathBuf {
        self.root.join(format!("{}-layers", self.driver))
    }

    /// `<run>/<driver>-layers`.
    pub fn run_layers_dir(&self) -> PathBuf {
        self.run.join(format!("{}-layers", self.driver))
    }

    /// The driver's home.
    pub fn home(&self) -> PathBuf {
        self.root.join(self.driver)
    }

    /// The directory that the driver keeps for a layer.
    pub fn layer_dir(&self, id: &str) -> PathBuf {
        self.layer_dirs().join(id)
    }

    /// The directory whose entries are the driver's layers.
    pub fn layer_dirs(&self) -> PathBuf {
        match self.driver {
            "vfs" => self.home().join("dir"),
            "btrfs" => self.home().join("subvolumes"),
            _ => self.home(),
        }
    }

    /// Whether the driver mounts what it shows.
    pub fn has_mounts(&self) -> bool {
        !matches!(self.driver, "vfs" | "btrfs")
    }
}

impl Ended {
    /// The call, how it ended, and what it wrote, shortened.
    pub fn describe(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
        let (out, err) = (text(&self.output.stdout), text(&self.output.stderr));
        format!("{}\n  {}\n  stdout: {out}\n  stderr: {err}", self.line, self.output.status)
    }

    /// What it wrote on standard error.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}

fn sorted(json: &Value) -> Vec<Value> {
    let mut records = json.as_array().cloned().unwrap_or_default();
    records.sort_by_key(|record| record["id"].as_str().unwrap_or_default().to_owned());
    records
}

/// Runs any command to its end.
pub fn end(mut command: Command) -> Ended {
    let line = format!("{command:?}");
    let output = command.output().unwrap_or_else(|error| panic!("{line}: {error}"));
    Ended { line, output }
}

/// Runs any command and expects success; gives its standard output.
#[track_caller]
pub fn must(command: Command) -> String {
    let ended = end(command);
    assert!(ended.output.status.success(), "a call failed: {}", ended.describe());
    String::from_utf8_lossy(&ended.output.stdout).into_owned()
}

/// Waits for a started command and gives what it wrote on standard error with how it ended.
pub fn finish(mut child: Child) -> (std::process::ExitStatus, String) {
    let mut text = String::new();
    drop(child.stdout.take());
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut text);
    }
    (child.wait().expect("wait for a command"), text)
}
