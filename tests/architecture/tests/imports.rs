//! Imports go down only, and a driver never sees the store.

use std::fs;
use std::path::{Path, PathBuf};

use architecture::named;

/// The modules of `storage-core`, from the top. A module may import what stands on a later line.
const HOUSE: &[&[&str]] = &[
    &["store"],
    &["driver"],
    &["locks"],
    &["lockfile"],
    &["archive", "mount"],
    &["config", "idmap"],
    &["fs"],
    &["sys"],
    &["task", "ids", "record"],
    &["error"],
];

/// What a driver's crate may see of `storage-core`; the last is the macro of `driver::plugin`.
const FOR_DRIVERS: &[&str] =
    &["driver", "archive", "mount", "idmap", "fs", "sys", "error", "ids", "task", "export_driver"];

fn floor(module: &str) -> Option<usize> {
    HOUSE.iter().position(|floor| floor.contains(&module))
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The top-level module of a file below `src`, and how many modules deep it is.
fn place(src: &Path, file: &Path) -> (String, usize) {
    let inside = file.strip_prefix(src).expect("a file below src").with_extension("");
    let mut parts: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
        parts.pop();
    }
    (parts.first().cloned().unwrap_or_default(), parts.len())
}

#[test]
fn imports_of_the_core_go_down() {
    let src = workspace().join("storage-core/src");
    let (mut wrong, mut edges) = (Vec::new(), 0);
    for file in sources(&src) {
        let (module, depth) = place(&src, &file);
        if module.is_empty() {
            continue; // lib.rs names every module
        }
        let from = floor(&module).unwrap_or_else(|| panic!("{module} has no place in the house: {}", file.display()));
        for (line, target) in named(&fs::read_to_string(&file).expect("read a source file"), "crate", depth) {
            let Some(to) = floor(&target) else { continue };
            edges += 1;
            if target != module && to <= from {
                wrong.push(format!("{}:{line}: {module} imports {target}", file.display()));
            }
        }
    }
    assert!(edges > 20, "the scan saw only {edges} imports");
    assert!(wrong.is_empty(), "imports that go up:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_core_has_a_place() {
    let lib = fs::read_to_string(workspace().join("storage-core/src/lib.rs")).expect("read lib.rs");
    let modules: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
        .map(|rest| rest.trim_end_matches(';'))
        .collect();
    assert!(modules.len() > 5, "the scan saw only {modules:?}");
    let lost: Vec<&&str> = modules.iter().filter(|module| floor(module).is_none()).collect();
    assert!(lost.is_empty(), "no place in the house: {lost:?}");
}

#[test]
fn drivers_see_what_is_for_drivers() {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(workspace().join("drivers")).expect("list the drivers").flatten() {
        for file in sources(&entry.path().join("src")) {
            for (line, target) in named(&fs::read_to_string(&file).expect("read a source file"), "storage_core", 0) {
                let a_module = target.chars().all(|letter| letter.is_lowercase() || letter == '_');
                if a_module && !FOR_DRIVERS.contains(&target.as_str()) {
                    wrong.push(format!("{}:{line}: a driver sees {target}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_scan_sees_every_form() {
    let source = "\
//! Speaks of [`crate::comment`].
use crate::plain::Thing;
use crate::{one, two::{Inner, Other}, three as four};
use super::super::climbed::Thing;
use super::sibling::Thing;
use other_crate::not_ours;
fn call() { crate::called::function(); }
#[cfg(test)]
mod tests { use crate::only_in_tests; }
";
    let heads: Vec<String> = named(source, "crate", 2).into_iter().map(|(_, head)| head).collect();
    assert_eq!(heads, ["plain", "one", "three", "two", "climbed", "called"]);
    let lines: Vec<usize> = named(source, "crate", 2).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [2, 3, 3, 3, 4, 7]);
}
