//! The table in `docs/adding-a-driver.md` names every method of the traits of a driver, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The files with the traits, and how the table names their methods.
const TRAITS: &[(&str, &str, &str)] = &[
    ("traits.rs", "Driver", ""),
    ("traits.rs", "Comparison", "Comparison::"),
    ("staged.rs", "Staged", "Staged::"),
    ("staged.rs", "Trash", "Trash::"),
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../storage-core").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn methods() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (file, name, prefix) in TRAITS {
        let text = read(&format!("src/driver/{file}"));
        let body = text.split_once(&format!("\npub trait {name}: ")).expect(name).1.split_once("\n}\n").expect(name).0;
        let names = body.lines().filter_map(|line| line.strip_prefix("    fn ")?.split_once('(').map(|(name, _)| name));
        all.extend(names.map(|method| format!("{prefix}{method}")));
    }
    all
}

/// What stands between backticks in the second column.
fn named() -> BTreeSet<String> {
    let page = read("docs/adding-a-driver.md");
    let table = page.split_once("\n| group | methods |").expect("the table").1.split_once("\n\n").expect("its end").0;
    let columns = table.lines().skip(2).filter_map(|row| row.split('|').nth(2));
    let names = columns.flat_map(|column| column.split('`').skip(1).step_by(2));
    names.filter(|name| !name.starts_with("Descriptor::")).map(str::to_owned).collect()
}

#[test]
fn every_method_stands_in_the_table() {
    let (methods, named) = (methods(), named());
    assert!(methods.len() > 40, "the traits were not found: {methods:?}");
    let missing: Vec<_> = methods.difference(&named).collect();
    let unknown: Vec<_> = named.difference(&methods).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing: {missing:?}; no methods: {unknown:?}");
}
