//! Choosing a driver: by name, by what is on the root, by priority; each with its reasons. And the example that shows it.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::path::Path;
use std::process::Command;

use storage_core::driver::{Descriptor, Origin, Registry, Roots, Survey};
use storage_core::{Error, Kind};

/// A driver that works or doesn't, and can't be opened.
const fn driver(name: &'static str, priority: i32, automatic: bool, usable: bool) -> Descriptor {
    Descriptor {
        name,
        version: "1",
        priority,
        automatic,
        origin: Origin::Linked,
        survey: if usable { &|_| survey(true, "it is good here") } else { &|_| survey(false, "it is bad here") },
        open: &|_| Err(Error::new(Kind::DriverUnusable, "open")),
    }
}

fn survey(usable: bool, reason: &str) -> Survey {
    Survey { usable, reason: reason.to_owned(), capabilities: storage_core::driver::Capabilities::NONE }
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    for each in [
        driver("last", 0, true, true),
        driver("best", 50, true, false),
        driver("shy", 40, false, true),
        driver("good", 30, true, true),
    ] {
        registry.add(each).unwrap();
    }
    registry
}

fn prior(root: &Path, name: &str) {
    std::fs::create_dir_all(root.join(name).join("layer")).unwrap();
}

#[test]
fn the_rules_are_name_then_root_then_priority_and_each_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (roots, registry) = (Roots::new(dir.path(), dir.path().join("run")), registry());
    let choice = registry.choose(&roots, None, &[]).unwrap();
    assert_eq!((choice.descriptor.name, choice.reason.as_str()), ("good", "it is the first usable one by priority"));
    let order: Vec<_> = choice.candidates.iter().map(|each| each.descriptor.name).collect();
    assert_eq!(order, ["best", "shy", "good", "last"]);
    let choice = registry.choose(&roots, Some("shy"), &[]).unwrap();
    assert_eq!((choice.descriptor.name, choice.reason.as_str()), ("shy", "it was asked for by name"));
    prior(dir.path(), "last");
    let choice = registry.choose(&roots, None, &[]).unwrap();
    assert_eq!((choice.descriptor.name, choice.reason.as_str()), ("last", "the root holds its layers already"));
    let told = choice.to_string();
    assert!(
        told.contains("best is not usable: it is bad here") && told.contains("(its layers are on this root)"),
        "{told}"
    );
    let json = choice.to_json();
    assert_eq!((&json["chosen"], &json["drivers"][3]["prior"]), (&"last".into(), &true.into()));
    assert_eq!(
        (&json["drivers"][0]["reason"], &json["drivers"][0]["origin"]),
        (&"it is bad here".into(), &"linked".into())
    );
}

#[test]
fn what_cannot_be_chosen_is_refused_with_the_reasons_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (roots, registry) = (Roots::new(dir.path(), dir.path().join("run")), registry());
    let refused = |wanted| registry.choose(&roots, wanted, &[]).map(|choice| choice.reason).unwrap_err();
    let named = refused(Some("best"));
    assert_eq!(named.kind(), Kind::DriverUnusable);
    assert!(named.to_string().contains("best: it is bad here"), "{named}");
    let unknown = refused(Some("none"));
    assert_eq!(unknown.kind(), Kind::DriverUnknown);
    assert!(unknown.to_string().contains("choose one of best, good, last, shy"), "{unknown}");
    prior(dir.path(), "good");
    prior(dir.path(), "shy");
    let several = refused(None);
    assert_eq!(several.kind(), Kind::DriverUnusable);
    let (told, homes) = (several.to_string(), dir.path().display());
    assert!(told.contains("contains several valid graphdrivers: shy, good"), "{told}");
    assert!(told.contains(&format!("{homes}/shy")) && told.contains(&format!("{homes}/good")), "{told}");
    assert!(told.contains("choose one with --storage-driver"), "{told}");
    let mut none = Registry::default();
    none.add(driver("best", 50, true, false)).unwrap();
    none.add(driver("shy", 40, false, true)).unwrap();
    let empty = Roots::new(dir.path().join("empty"), dir.path().join("run"));
    let none = none.choose(&empty, None, &[]).map(|choice| choice.reason).unwrap_err().to_string();
    assert!(none.contains("best: it is bad here; shy: it is good here"), "{none}");
}

#[test]
fn the_example_tells_the_survey_and_its_reasons() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let mut example = Command::new(env!("CARGO"));
    example.args(["run", "--quiet", "--locked", "-p", "storage-core", "--example", "choose", "--"]).arg(&root);
    let out = example.env_remove("LAMINA_PLUGIN_PATH").current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let told = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{told}{}", String::from_utf8_lossy(&out.stderr));
    for word in ["overlay ", "btrfs ", "vfs works here: it works on every filesystem", "zfs ", "As JSON: {", "can: "] {
        assert!(
            told.contains(word) || word == "As JSON: {" && told.contains("None is chosen"),
            "{word} is not in {told}"
        );
    }
    assert!(!root.exists(), "the survey made something");
}
