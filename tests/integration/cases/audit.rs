//! `lamina audit`: of every driver, as root and in a user namespace, and of a store that is in use.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use integration::case::{Case, case};
use integration::store::{Store, end, id, must};
use integration::{Outcome, Scratch, Skip, machine, tree};
use serde_json::Value;

pub(crate) const CASES: &[Case] = &[
    case("audit::every_rule_is_kept::overlay", 180, |s| kept(s, "overlay", &[])),
    case("audit::every_rule_is_kept::vfs", 180, |s| kept(s, "vfs", &[])),
    case("audit::every_rule_is_kept::btrfs", 180, |s| kept(s, "btrfs", &[])),
    case("audit::in_a_user_namespace::overlay", 180, |s| in_user_namespace(s, "overlay")),
    case("audit::in_a_user_namespace::vfs", 180, |s| in_user_namespace(s, "vfs")),
    case("audit::in_a_user_namespace::btrfs", 180, |s| in_user_namespace(s, "btrfs")),
    case("audit::what_a_user_namespace_has_not_is_refused", 60, refused_in_user_namespace),
    case("audit::many_deaths::overlay", 600, |s| {
        kept(s, "overlay", &["--rounds", "1", "--deaths", often("98", "504")])
    }),
    case("audit::many_rounds::btrfs", 1200, |s| kept(s, "btrfs", &["--deaths", "7", "--rounds", often("20", "167")])),
    case("audit::of_a_store_changes_nothing::overlay", 60, watch_only),
    case("audit::of_a_store_without_caches_changes_nothing::overlay", 60, watch_without_caches),
    case("audit::of_a_store_in_use_blames_nobody::overlay", 60, watch_in_use),
    case("audit::of_a_store_finds_a_mount_that_nobody_counts::overlay", 60, watch_finds),
];

/// How often something is done: in an ordinary run, and in a full one.
fn often(usual: &'static str, full: &'static str) -> &'static str {
    if machine::full() { full } else { usual }
}

/// The exit code of a broken rule.
const BROKEN: i32 = 40;
/// The exit code of what can't be done.
const REFUSED: i32 = 12;

fn command() -> Result<Command, Skip> {
    if machine::stand_in() {
        return Err(Skip("the reference has no audit".to_owned()));
    }
    Ok(Command::new(machine::lamina().expect("the supervisor found a command to test")))
}

fn audit(command: &mut Command, scratch: &Scratch, driver: &str) {
    command.args(["audit", "--json", "--driver", driver, "--root"]).arg(scratch.make("room"));
}

/// What is said of all rules, by their names.
fn verdicts(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let rules = report["rules"].as_array().expect("a list of rules");
    rules.iter().map(|rule| (text(&rule["rule"]), text(&rule["verdict"]))).collect()
}

fn assert_kept(out: &str) {
    let reports: Value = serde_json::from_str(out).expect("JSON");
    let report = &reports[0];
    assert_eq!(report["ok"], true, "{report:#}");
    let expected = [
        "kept",
        "kept",
        "kept",
        "kept",
        "by construction",
        "kept",
        "by construction",
        "kept",
        "by construction",
        "kept",
    ];
    let told: Vec<String> = verdicts(report).into_iter().map(|(_, verdict)| verdict).collect();
    assert_eq!(told, expected, "the verdicts of R1 to R10");
    assert_reasons(report);
    let paths = report["paths"].as_array().expect("paths");
    assert_evidence(paths);
    for path in ["mount", "diff", "changes", "diff size", "unmount one", "unmount if mounted", "unmount by force"] {
        assert!(paths.iter().any(|line| line["path"] == path), "nothing is told of {path}");
    }
}

/// What is kept by construction says why, and nothing else does.
fn assert_reasons(report: &Value) {
    for rule in report["rules"].as_array().expect("a list of rules") {
        let by_construction = ["R5", "R7", "R9"].map(Value::from).contains(&rule["rule"]);
        let reason = rule["byConstruction"].as_str().unwrap_or_default();
        assert_eq!(!reason.is_empty(), by_construction, "{rule}");
    }
}

/// A verdict stands on something: the holds of a mount on the longest of them, with its lock, all others on what was counted.
fn assert_evidence(paths: &[Value]) {
    let evidence = |line: &Value| line["evidence"].as_str().expect("text").to_owned();
    for rule in ["R1", "R2"] {
        let lines: Vec<&Value> = paths.iter().filter(|line| line["rule"] == rule).collect();
        assert!(!lines.is_empty(), "nothing is told of {rule}");
        for line in lines {
            assert!(!evidence(line).is_empty(), "{line}");
        }
    }
    let holds = paths.iter().find(|line| line["path"] == "mount" && line["rule"] == "R6").expect("R6 of a mount");
    let told = evidence(holds);
    let longest = told.split("; ").find_map(|part| part.strip_prefix("longest exclusive hold: "));
    let (length, lock) = longest.and_then(|longest| longest.split_once(" ms of ")).unwrap_or_else(|| panic!("{holds}"));
    assert!(length.parse::<f64>().is_ok(), "{holds}");
    assert!(["layers.lock", "mountpoints.lock", "storage.lock"].contains(&lock), "{holds}");
}

fn kept(scratch: &Scratch, driver: &'static str, more: &[&str]) -> Outcome {
    let mut command = command()?;
    audit(&mut command, scratch, driver);
    let before = fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
    let out = must({
        command.args(more);
        command
    });
    assert_kept(&out);
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo"), before, "nothing stays mounted");
    Ok(())
}

fn in_user_namespace(scratch: &Scratch, driver: &'static str) -> Outcome {
    assert_kept(&must(as_user(scratch, driver)?));
    Ok(())
}

fn as_user(scratch: &Scratch, driver: &'static str) -> Result<Command, Skip> {
    let inner = command()?;
    let mut outer = Command::new(machine::need("unshare")?);
    outer.args(["--user", "--map-root-user", "--mount"]).arg(inner.get_program());
    audit(&mut outer, scratch, driver);
    Ok(outer)
}

/// A user namespace makes no pool of zfs, and of btrfs it has only the directories that are its user's.
fn refused_in_user_namespace(scratch: &Scratch) -> Outcome {
    for (driver, said) in [("zfs", "a user namespace makes no pool of zfs"), ("btrfs", "that is on btrfs")] {
        let ended = end(as_user(scratch, driver)?);
        assert_eq!(ended.output.status.code(), Some(REFUSED), "{}", ended.describe());
        assert!(ended.output.stdout.is_empty(), "no verdict is told: {}", ended.describe());
        assert!(ended.stderr().contains(said), "{}", ended.describe());
        assert_eq!(tree::listing(&scratch.join("room")).len(), 0, "a refusal leaves nothing");
    }
    Ok(())
}

fn watch(store: &Store) -> Result<Command, Skip> {
    command()?;
    let mut command = store.command();
    command.args(["audit", "--store", "--json", "--for", "1s"]);
    Ok(command)
}

fn watch_only(scratch: &Scratch) -> Outcome {
    let store = Store::new(scratch, "store", "overlay");
    let layer = id("layer");
    store.create(&layer, None);
    store.mount(&layer);
    let before = (tree::listing(scratch.path()), records(&store));
    let out = must(watch(&store)?);
    let reports: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(reports[0]["ok"], true, "{out}");
    assert_eq!((tree::listing(scratch.path()), records(&store)), before, "watching changes nothing");
    store.unmount(&layer);
    Ok(())
}

/// What drivers found out about a root is kept in the run root; whoever asks them anew tries mounts on the graph root.
fn watch_without_caches(scratch: &Scratch) -> Outcome {
    let store = Store::new(scratch, "store", "overlay");
    store.create(&id("layer"), None);
    let run = store.run_layers_dir().parent().expect("a run root").join("overlay");
    for entry in fs::read_dir(&run).expect("list the home in the run root").flatten() {
        if entry.file_type().expect("a type").is_file() {
            fs::remove_file(entry.path()).expect("forget an answer");
        }
    }
    let before = times(scratch.path());
    must(watch(&store)?);
    assert_eq!(times(scratch.path()), before, "watching changes nothing, for a moment neither");
    // By what is on the root, too.
    let mut unnamed = command()?;
    let named = watch(&store)?;
    let mut args: Vec<_> = named.get_args().map(ToOwned::to_owned).collect();
    let driver = args.iter().position(|arg| arg == "-s").expect("the driver is named");
    args.drain(driver..driver + 2);
    unnamed.args(args);
    assert!(must(unnamed).contains("\"overlay\""), "the driver is found");
    assert_eq!(times(scratch.path()), before, "watching changes nothing, for a moment neither");
    Ok(())
}

/// When something in each directory, and each file, was last changed.
fn times(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).expect("stat in a store");
        found.push(format!("{} {}.{}", path.display(), meta.ctime(), meta.ctime_nsec()));
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).expect("list").map(|entry| entry.expect("list").path()));
        }
    }
    found.sort();
    found
}

fn watch_in_use(scratch: &Scratch) -> Outcome {
    let store = Store::new(scratch, "store", "overlay");
    store.create(&id("base"), None);
    let watching = watch(&store)?.stdout(std::process::Stdio::piped()).spawn().expect("start a watch");
    for number in 0..6 {
        store.create(&id(format!("layer {number}")), Some(&id("base")));
        store.mount(&id(format!("layer {number}")));
        store.unmount(&id(format!("layer {number}")));
    }
    let ended = watching.wait_with_output().expect("the end of the watch");
    let out = String::from_utf8_lossy(&ended.stdout).into_owned();
    let reports: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(reports[0]["ok"], true, "{out}");
    let told: std::collections::BTreeMap<_, _> = verdicts(&reports[0]).into_iter().collect();
    assert_eq!((told["R4"].as_str(), told["R3"].as_str(), told["R6"].as_str()), ("kept", "not judged", "not judged"));
    Ok(())
}

/// The records and the records of the write.
fn records(store: &Store) -> Vec<Vec<u8>> {
    let read = |path: &Path| fs::read(path).unwrap_or_default();
    let layers = store.layers_dir();
    vec![read(&layers.join("layers.json")), read(&layers.join("layers.lock"))]
}

fn watch_finds(scratch: &Scratch) -> Outcome {
    let store = Store::new(scratch, "store", "overlay");
    let layer = id("layer");
    store.create(&layer, None);
    store.mount(&layer);
    let counts = store.run_layers_dir().join("mountpoints.json");
    let counted = fs::read(&counts).expect("read the counts");
    fs::write(&counts, "[]").expect("forget the counts");
    let ended = end(watch(&store)?);
    assert_eq!(ended.output.status.code(), Some(BROKEN), "{}", ended.describe());
    let out = String::from_utf8_lossy(&ended.output.stdout).into_owned();
    assert!(out.contains("mounted and not counted"), "{out}");
    fs::write(&counts, counted).expect("put the counts back");
    store.unmount(&layer);
    Ok(())
}
