//! What the types forbid: each program in `compile_fail/` breaks the rule that its name begins with, and must not compile, with
//! the message beside it. Those called `reference_…` after the rule do what the reference does, as `docs/locking.md` tells.
//!
//! The programs about the order of locks (R5, R7) are made from the list of levels, one for each ordered pair. After a level
//! was added, `TRYBUILD=overwrite` writes them anew.

#[path = "compile_pass/r5_levels_in_order.rs"]
mod levels_in_order;
#[path = "compile_pass/r1_reading_asks_for_a_shared_hold.rs"]
mod reading;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the levels are listed in their order.
const LEVELS: &str = include_str!("../src/locks/level.rs");

#[test]
fn programs_that_break_a_locking_rule_do_not_compile() {
    the_programs_about_the_order_are_there();
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}

/// They were compiled with this test.
#[test]
fn levels_are_taken_in_their_order_and_reading_asks_for_a_shared_hold() {
    levels_in_order::every_pair();
    let _ = reading::every_reading;
}

/// Every illegal use is named by its rule, so that what proves a rule can be counted.
#[test]
fn every_program_is_named_by_a_rule_that_can_be_a_type() {
    for path in programs("compile_fail") {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let rule = ["r2_", "r3_", "r5_", "r7_", "r9_"].iter().find(|rule| name.starts_with(**rule));
        let said = fs::read_to_string(&path).expect("read a program");
        let rule = rule.unwrap_or_else(|| panic!("{name} is named by no rule")).trim_end_matches('_').to_uppercase();
        assert!(said.starts_with(&format!("//! {rule}: ")), "{name} doesn't say how it breaks {rule}");
        assert!(path.with_extension("stderr").is_file(), "{name} has no message");
    }
}

/// The committed programs are those that the list of levels makes: none is missing, none is left over.
fn the_programs_about_the_order_are_there() {
    let levels = levels();
    assert!(levels.len() > 5 && levels[0] == "Graph", "the list of levels can't be read: {levels:?}");
    let mut wanted: BTreeMap<PathBuf, String> =
        illegal(&levels).map(|(name, text)| (place("compile_fail").join(name), text)).collect();
    wanted.insert(place("compile_pass").join("r5_levels_in_order.rs"), legal(&levels));
    if std::env::var_os("TRYBUILD").is_some_and(|value| value == "overwrite") {
        for (path, text) in &wanted {
            fs::write(path, text).expect("write a program");
        }
    }
    for (path, text) in &wanted {
        let said = fs::read_to_string(path).unwrap_or_default();
        assert!(said == *text, "{} isn't what the list of levels makes: use TRYBUILD=overwrite", path.display());
    }
    for path in programs("compile_fail") {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_pair = name.contains("_after_") && (name.starts_with("r5_") || name.starts_with("r7_"));
        assert!(!is_pair || wanted.contains_key(&path), "{name} is about no pair of levels");
    }
}

/// The levels as the source lists them, without the one that stands for no hold at all.
fn levels() -> Vec<&'static str> {
    let list = LEVELS.split("\nlevels! {").nth(1).expect("the list of levels");
    let names = list.lines().filter_map(|line| line.trim().split_once(" = \"")).map(|(name, _)| name);
    names.filter(|name| *name != "Nothing").collect()
}

/// A program for every ordered pair of levels of which the second must not be taken while the first is held.
fn illegal<'a>(levels: &'a [&'a str]) -> impl Iterator<Item = (String, String)> + 'a {
    let pairs = levels.iter().enumerate().flat_map(move |(number, held)| {
        levels[..=number]
            .iter()
            .map(move |wanted| if held == wanted { ("r7", held, wanted) } else { ("r5", held, wanted) })
    });
    pairs.map(|(rule, held, wanted)| {
        let name = format!("{rule}_{}_after_{}.rs", words(wanted, '_'), words(held, '_'));
        let (wants, holds) = (words(wanted, ' '), words(held, ' '));
        let (says, imports) = if held == wanted {
            (format!("a thread that holds \"{holds}\" never takes it again"), (*held).to_owned())
        } else {
            let mut both = [*held, *wanted];
            both.sort_unstable();
            (
                format!("\"{wants}\" comes before \"{holds}\", and is never taken after it"),
                format!("{{{}}}", both.join(", ")),
            )
        };
        let text = format!(
            "//! {}: {says}.\n\
             use storage_core::lockfile::Wait;\n\
             use storage_core::locks::level::{imports};\n\
             use storage_core::locks::{{Guarded, Kernel, NoRecords, ThreadKey}};\n\n\
             type Level<L> = Guarded<L, NoRecords, Kernel>;\n\n\
             fn wrong(held: &Level<{held}>, wanted: &Level<{wanted}>, key: &mut ThreadKey) {{\n    \
                 let (_held, mut key) = held.read(key, &Wait::forever()).unwrap();\n    \
                 let _wanted = wanted.read(&mut key, &Wait::forever());\n\
             }}\n\n\
             fn main() {{}}\n",
            rule.to_uppercase(),
        );
        (name, text)
    })
}

/// One program that takes every pair in order, and every level alone, for reading and for writing.
fn legal(levels: &[&str]) -> String {
    let mut text = format!(
        "//! R5: what comes later in the order may be taken.\n\
         use storage_core::lockfile::Wait;\n\
         use storage_core::locks::level::{{{}}};\n\
         use storage_core::locks::{{Guarded, Kernel, NoRecords, ThreadKey}};\n\n\
         type Level<L> = Guarded<L, NoRecords, Kernel>;\n",
        sorted(levels).join(", "),
    );
    let mut names = Vec::new();
    for (number, wanted) in levels.iter().enumerate() {
        for held in &levels[..number] {
            let name = format!("{}_after_{}", words(wanted, '_'), words(held, '_'));
            let _ = write!(
                text,
                "\nfn {name}(held: &Level<{held}>, wanted: &Level<{wanted}>, key: &mut ThreadKey) {{\n    \
                     let (_held, mut key) = held.read(key, &Wait::forever()).expect(\"a lock\");\n    \
                     drop(wanted.read(&mut key, &Wait::forever()));\n    \
                     drop(wanted.write(&mut key, &Wait::forever()));\n\
                 }}\n",
            );
            names.push(name);
        }
        let name = format!("{}_alone", words(wanted, '_'));
        let _ = write!(
            text,
            "\nfn {name}(wanted: &Level<{wanted}>, key: &mut ThreadKey) {{\n    \
                 drop(wanted.read(key, &Wait::forever()));\n    \
                 drop(wanted.write(key, &Wait::forever()));\n\
             }}\n",
        );
        names.push(name);
    }
    text += "\npub(crate) fn every_pair() {\n";
    for name in names {
        let _ = writeln!(text, "    let _ = {name};");
    }
    text + "}\n"
}

fn sorted<'a>(levels: &[&'a str]) -> Vec<&'a str> {
    let mut levels = levels.to_vec();
    levels.sort_unstable();
    levels
}

/// `UserNamespaces` as `user_namespaces`.
fn words(level: &str, between: char) -> String {
    let mut text = String::new();
    for letter in level.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push(between);
        }
        text.extend(letter.to_lowercase());
    }
    text
}

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn programs(name: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(place(name)).expect("list programs").flatten().map(|entry| entry.path());
    all.filter(|path| path.extension().is_some_and(|kind| kind == "rs")).collect()
}
