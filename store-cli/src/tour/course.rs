//! The course of one driver: every step with what it found, and whether that is right.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use sha2::{Digest, Sha256};
use storage_core::driver::{Candidate, Capability, MountOptions};
use storage_core::error::OsContext;
use storage_core::store::StoreOptions;
use storage_core::{Error, Kind, LayerId, Result};

use super::edit::Edits;
use super::outside::Lookout;
use super::report::{self, Report, Step};
use super::sample::{Sample, digest_text};
use super::{scratch, trials};
use crate::app::Context;
use crate::engine::{self, Change, Compression, DiffOptions, NewLayer, Release, Store, ThreadKey};
use crate::globals::Globals;
use crate::input::Input;
use crate::stop::{Outcome, Stop};
use crate::work::size;

pub(crate) const BASE: &str = "tour/base";
pub(crate) const CHILD: &str = "tour/child";
const COPY: &str = "tour/copy";

/// What a step says of itself: what it found, or what is wrong with it.
pub(crate) type Told = Result<std::result::Result<String, String>>;

/// One driver's way through the tour.
pub(crate) struct Course<'a> {
    pub(crate) report: Report,
    place: PathBuf,
    sample: &'a Sample,
    lookout: Lookout,
    kernel_mounts: bool,
}

/// The store of a course while it is open.
pub(crate) struct Opened<'a> {
    pub(crate) store: &'a Store,
    pub(crate) key: &'a mut ThreadKey,
    pub(crate) lookout: &'a Lookout,
    pub(crate) options: &'a StoreOptions,
    pub(crate) globals: &'a Globals,
    pub(crate) kernel_mounts: bool,
}

impl<'a> Course<'a> {
    pub(crate) fn new(candidate: &Candidate, scratch: &Path, sample: &'a Sample) -> Self {
        let driver = candidate.descriptor.name;
        let place = scratch.join(driver);
        let lookout = Lookout { graph: place.join("graph"), run: place.join("run"), driver };
        let report = Report { driver, steps: Vec::new(), outside: Vec::new() };
        let kernel_mounts = candidate.survey.capabilities.has(Capability::KernelMounts);
        Course { report, place, sample, lookout, kernel_mounts }
    }

    /// Goes the whole way. What fails is in the report; an error is what ends the tour.
    pub(crate) fn run(&mut self, context: &mut Context) -> Outcome {
        if !context.json() {
            context.out.text(report::heading(self.report.driver))?;
        }
        std::fs::create_dir(&self.place).os("mkdir", &self.place)?;
        let outcome = self.in_store(context);
        scratch::clear(&self.place)?;
        match outcome {
            // A step that failed is told already.
            Err(Stop::Reported(_)) => Ok(()),
            other => other,
        }
    }

    fn in_store(&mut self, context: &mut Context) -> Outcome {
        let mut options = engine::options(&context.globals);
        options.graph_root.clone_from(&self.lookout.graph);
        options.run_root.clone_from(&self.lookout.run);
        options.driver = Some(self.report.driver.to_owned());
        let (mut opened, globals) = (None, context.globals.clone());
        self.step(context, "open a store", |_| {
            let mut key = ThreadKey::take()?;
            let store = Store::open(&options, &engine::registry(&globals)?, &mut key)?;
            opened = Some((store, key));
            Ok(Ok(String::new()))
        })?;
        let Some((store, mut key)) = opened else { return Ok(()) };
        let outcome = self.steps(context, &store, &mut key, &options);
        if outcome.is_err() {
            // The directory is removed anyway; what is still mounted below it must not keep it.
            let _ = store.shutdown(&mut key, true);
        }
        outcome
    }

    fn steps(&mut self, context: &mut Context, store: &Store, key: &mut ThreadKey, options: &StoreOptions) -> Outcome {
        let sample = self.sample;
        self.step(context, "import the layer", |context| import(context, store, key, sample))?;
        let mut mounted = PathBuf::new();
        self.step(context, "create a child and mount it", |context| {
            let work = context.work("create layer");
            store.create_layer(key, &new_layer(CHILD, Some(BASE)), &work.task)?;
            mounted = store.mount(key, CHILD, &MountOptions::default())?;
            Ok(if mounted.is_dir() { Ok(String::new()) } else { Err(format!("{} is no directory", mounted.display())) })
        })?;
        let mut edits = Edits::default();
        self.step(context, "change the child", |_| {
            edits = Edits::make(&mounted)?;
            Ok(Ok(edits.text()))
        })?;
        let before = self.lookout.look()?;
        let mut found = Vec::new();
        self.step(context, "list its changes", |context| {
            found = changes(context, store, key, CHILD)?;
            Ok(edits.judge(&found).map_or(Ok(format!("{} entries, as expected", found.len())), Err))
        })?;
        let child_tar = self.place.join("child.tar");
        let mut watcher = trials::Watcher::new(&self.lookout)?;
        let mut child_digest = String::new();
        self.step(context, "take the diff of the child", |context| {
            let (digest, length) = diff_into_file(context, store, key, &child_tar, &mut watcher)?;
            child_digest = digest;
            let changed = store.diff_size(key, CHILD, None, &context.work("diff size").task)?;
            Ok(Ok(format!("{} of tar, {} in changed files", size(length), size(changed))))
        })?;
        self.step(context, "take the diff of the layer", |context| {
            let (digest, length) = diff(context, store, key, BASE, &mut io::sink(), &mut watcher)?;
            let same = digest == sample.digest && length == sample.size;
            Ok(if same {
                Ok(format!("{}, byte for byte what was imported", size(length)))
            } else {
                Err(format!("{digest} of {length} bytes came back for {} of {}", sample.digest, sample.size))
            })
        })?;
        self.report.outside.push(watcher.verdict(&before, &self.lookout.look()?));
        self.step(context, "apply the child's diff to a copy", |context| {
            apply(context, store, key, &child_tar, &child_digest, &edits)
        })?;
        let mut opened = Opened {
            store,
            key: &mut *key,
            lookout: &self.lookout,
            options,
            globals: &context.globals,
            kernel_mounts: self.kernel_mounts,
        };
        let exclusive = trials::attaching_is_exclusive(&mut opened)?;
        let one_hold = trials::look_and_act(&mut opened)?;
        self.report.outside.extend([exclusive, one_hold]);
        self.step(context, "release the mount", |_| release(store, key))?;
        self.step(context, "delete all layers", |_| delete(store, key))
    }

    /// Does one step, says it, and ends the course when it failed.
    fn step(&mut self, context: &mut Context, name: &'static str, act: impl FnOnce(&Context) -> Told) -> Outcome {
        if context.cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, name).into());
        }
        let started = Instant::now();
        let told = act(context);
        let took = started.elapsed();
        let (told, failed) = match told {
            Ok(Ok(told)) => (told, false),
            Ok(Err(wrong)) => (wrong, true),
            Err(error) if error.kind() == Kind::Cancelled => return Err(error.into()),
            Err(error) => (error.to_string(), true),
        };
        let step = Step { name, took, told, failed };
        if !context.json() {
            context.out.text(report::step(&step))?;
            context.out.flush()?;
        }
        self.report.steps.push(step);
        if failed { Err(Stop::Reported(crate::stop::code::NO)) } else { Ok(()) }
    }
}

fn new_layer(name: &str, parent: Option<&str>) -> NewLayer {
    let id: Option<LayerId> = None;
    NewLayer {
        id,
        parent: parent.map(str::to_owned),
        names: vec![name.to_owned()],
        mount_label: String::new(),
        read_only: false,
        ..NewLayer::default()
    }
}

fn import(context: &Context, store: &Store, key: &mut ThreadKey, sample: &Sample) -> Told {
    let work = context.work("import layer");
    let path = sample.path.display().to_string();
    let input = Input::open("import layer", Some(&path), &context.cancel)?;
    let (layer, length) = store.import_layer(key, &new_layer(BASE, None), input, &work.task)?;
    let entries = work.task.progress().entries;
    if layer.diff_digest != sample.digest {
        return Ok(Err(format!("recorded {} for {}", layer.diff_digest, sample.digest)));
    }
    let entries = if entries > 0 { format!(" in {entries} entries") } else { String::new() };
    Ok(Ok(format!("{}{entries}, digest as expected", size(length as u64))))
}

fn changes(context: &Context, store: &Store, key: &mut ThreadKey, layer: &str) -> Result<Vec<Change>> {
    let work = context.work("changes");
    let mut found = Vec::new();
    store.changes(key, layer, None, &work.task, &mut |change| {
        found.push(change);
        Ok(())
    })?;
    Ok(found)
}

/// Streams the diff of a layer against its parent, uncompressed. Returns its digest and length.
fn diff(
    context: &Context,
    store: &Store,
    key: &mut ThreadKey,
    layer: &str,
    to: &mut (dyn Write + Send),
    watcher: &mut trials::Watcher,
) -> Result<(String, u64)> {
    let work = context.work("diff");
    watcher.begin();
    let mut sink = Sink { to, hasher: Sha256::new(), length: 0, watcher };
    store.diff(key, layer, None, DiffOptions { compression: Some(Compression::None) }, &mut sink, &work.task)?;
    sink.flush().os("write", "diff")?;
    Ok((digest_text(sink.hasher), sink.length))
}

fn diff_into_file(
    context: &Context,
    store: &Store,
    key: &mut ThreadKey,
    path: &Path,
    watcher: &mut trials::Watcher,
) -> Result<(String, u64)> {
    let mut file = BufWriter::new(File::create_new(path).os("create", path)?);
    diff(context, store, key, CHILD, &mut file, watcher)
}

fn apply(context: &Context, store: &Store, key: &mut ThreadKey, child_tar: &Path, digest: &str, edits: &Edits) -> Told {
    let work = context.work("import layer");
    let input = File::open(child_tar).os("open", child_tar)?;
    let (layer, _) = store.import_layer(key, &new_layer(COPY, Some(BASE)), input, &work.task)?;
    if layer.diff_digest != digest {
        return Ok(Err(format!("recorded {} for {digest}", layer.diff_digest)));
    }
    let found = changes(context, store, key, COPY)?;
    Ok(edits.judge(&found).map_or(Ok("the copy has the same changes".into()), Err))
}

fn release(store: &Store, key: &mut ThreadKey) -> Told {
    if store.unmount(key, CHILD, Release::IfMounted)? {
        return Ok(Err("the only mount was released and the layer is still mounted".into()));
    }
    match store.unmount(key, CHILD, Release::IfMounted) {
        Err(error) if error.kind() == Kind::LayerNotMounted => {
            Ok(Ok(format!("a second time: {}", error.kind().words())))
        }
        Err(error) => Err(error),
        Ok(_) => Ok(Err("a second conditional release of one mount succeeded".into())),
    }
}

fn delete(store: &Store, key: &mut ThreadKey) -> Told {
    for layer in [COPY, CHILD, BASE] {
        store.delete_layer(key, layer, &storage_core::Task::new("delete"))?;
    }
    let (records, places) = (store.layers()?.iter().count(), store.driver_layers(key)?.len());
    if records + places > 0 {
        return Ok(Err(format!("{records} records and {places} places are left")));
    }
    store.shutdown(key, false).map(|_| Ok("no record, no place and no mount is left".into()))
}

/// Hashes and counts what passes, and has the watcher look now and then.
struct Sink<'a> {
    to: &'a mut (dyn Write + Send),
    hasher: Sha256,
    length: u64,
    watcher: &'a mut trials::Watcher,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        self.watcher.glance(self.length).map_err(|error: Error| io::Error::other(error))?;
        self.to.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
