//! A panic in each operation of a plugin made with `export_driver!`, across the real border: an error that names the operation
//! and the plugin, a process that goes on, and a store that is as it was.
//!
//! Each operation has a process of its own (`--walk PLUGIN ROOT`), which calls all of them; the environment says which one
//! panics. A word names the operations to try.

mod walk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use faulty_drivers::{PANICS, VARIABLE};
use integration::plugins::{self, Profile};
use integration::scratch::RunDir;
use integration::{archive, store};
use storage_core::driver::plugin::Plugins;
use storage_core::driver::{Home, Registry, Request, Roots, ScratchLocks};
use storage_core::locks::ThreadKey;
use storage_core::store::{CheckOptions, DiffOptions, NewLayer, Store, StoreOptions};
use storage_core::{LayerId, Task};

const HEADER: &str = include_str!("../../../storage-core/include/lamina_driver.h");

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [first, plugin, root] = args.as_slice()
        && first == "--walk"
    {
        walk::walk(Path::new(plugin), &request(Path::new(root)), &mut |name, ended| {
            println!("{name}\t{}", ended.map_or_else(|words| words, |()| "ok".to_owned()));
        });
        return ExitCode::SUCCESS;
    }
    let words: Vec<&String> = args.iter().filter(|word| !word.starts_with('-')).collect();
    let plugin = plugins::of_this_tree("faulty-drivers", Profile::Dev);
    let place = RunDir::make();
    let kept = Kept::make(&place.path, plugin);
    let calm = kept.walk("").0;
    for (name, answers) in operations() {
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            kept.panics_in(name, answers, &calm);
            println!("{name} ... ok");
        }
    }
    ExitCode::SUCCESS
}

fn request(root: &Path) -> Request {
    Request::new(&Roots::new(root.join("graph"), root.join("run")), PANICS.name, &[]).expect("a request")
}

/// Whether an operation can answer with an error.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    Kind,
    Nothing,
}

/// The functions of the table, by the header.
fn operations() -> Vec<(&'static str, Answers)> {
    let table = HEADER.split("struct lamina_driver_table {").nth(1).expect("a table");
    let lines = table.split("};").next().expect("its end").lines();
    let function = |line: &'static str| {
        let (result, rest) = line.trim_start().split_once(" (*")?;
        let answers = if result == "void" { Answers::Nothing } else { Answers::Kind };
        Some((rest.split_once(')')?.0, answers))
    };
    let all: Vec<_> = lines.filter_map(function).collect();
    assert!(all.len() > 45, "the header has {} functions", all.len());
    all
}

/// A store with a layer in it, and the plugin that it is on.
struct Kept {
    plugin: PathBuf,
    root: PathBuf,
    content: Vec<u8>,
}

/// What came of each operation of a walk.
type Walk = BTreeMap<String, String>;

impl Kept {
    fn make(root: &Path, plugin: PathBuf) -> Self {
        let content = std::fs::read(archive::small(root, "layer", 20, 3000)).expect("read an archive");
        let kept = Kept { plugin, root: root.to_owned(), content };
        let mut key = ThreadKey::take().expect("key");
        let new = NewLayer { id: Some(id("kept")), ..NewLayer::default() };
        kept.store(&mut key).import_layer(&mut key, &new, &kept.content[..], &Task::new("import")).expect("import");
        kept
    }

    fn store(&self, key: &mut ThreadKey) -> Store {
        let mut registry = Registry::linked().expect("registry");
        Plugins::new().add(&mut registry, &self.plugin).expect("load");
        let options = StoreOptions {
            graph_root: self.root.join("graph"),
            run_root: self.root.join("run"),
            driver: Some(PANICS.name.to_owned()),
            ..StoreOptions::default()
        };
        Store::open(&options, &registry, key).expect("open the store")
    }

    /// Calls everything in a process in which `operation` panics. Returns what came of it, and what the process said.
    fn walk(&self, operation: &str) -> (Walk, String) {
        let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
        command.arg("--walk").arg(&self.plugin).arg(&self.root).env(VARIABLE, operation);
        let ended = store::end(command);
        assert!(ended.output.status.success(), "{operation}: the process died: {}", ended.describe());
        let told = String::from_utf8(ended.output.stdout.clone()).expect("text");
        let line = |line: &str| line.split_once('\t').map(|(name, words)| (name.to_owned(), words.to_owned()));
        (told.lines().filter_map(line).collect(), ended.stderr())
    }

    fn panics_in(&self, name: &str, answers: Answers, calm: &Walk) {
        let (walk, said) = self.walk(name);
        assert!(said.contains(&format!("on purpose in {name}")), "{name}: it was not called: {said}");
        let plugin = self.plugin.display();
        let error = format!("{name} {plugin}: the driver panicked: on purpose in {name}: faulty driver plugin");
        let mut blamed = 0;
        for (at, words) in walk.iter().filter(|(at, words)| calm.get(*at) != Some(*words)) {
            // What wasn't committed can't be replaced.
            if at != "staged_replace" || !words.starts_with("NotFound") {
                assert!(words.contains(&error), "{name}: {at}: {words}");
                blamed += 1;
            }
        }
        assert_eq!(blamed > 0, answers == Answers::Kind, "{name}: {walk:?}");
        assert!(walk.values().any(|words| words == "ok"), "{name}: nothing went well in that process: {walk:?}");
        self.assert_intact(name);
    }

    /// The layer reads as it was, and a check finds nothing once the walk's own layer is gone.
    fn assert_intact(&self, name: &str) {
        let mut key = ThreadKey::take().expect("key");
        self.clear(&mut key);
        let store = self.store(&mut key);
        let mut diff = Vec::new();
        let options = DiffOptions { compression: Some(storage_core::archive::Compression::None) };
        let task = Task::new("test");
        store.diff(&mut key, id("kept").as_str(), None, options, &mut diff, &task).expect("diff");
        assert!(diff == self.content, "{name}: the layer reads otherwise");
        let report = store.check(&mut key, &CheckOptions::default(), &task).expect("check");
        assert!(report.is_clean() && report.layers == 1, "{name}: {report:?}");
    }

    /// Removes what the walk made, which no record of the store knows, and what it left in trash.
    fn clear(&self, key: &mut ThreadKey) {
        let driver = (Plugins::new().load(&self.plugin).expect("load").open)(&request(&self.root)).expect("open");
        let locks = ScratchLocks::in_directory(&self.root);
        let removed = locks.exclusive(key, |held| driver.remove(held, &id("walked"), Home::Own).expect("remove"));
        let task = Task::new("clear");
        removed.expect("lock").reclaim(&task).expect("reclaim");
        driver.sweep(Instant::now() + Duration::from_secs(20), &task).expect("sweep");
    }
}

fn id(name: &str) -> LayerId {
    LayerId::from_store(name).expect("id")
}
