//! Who holds what in each operation: a table made of a recording.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use storage_core::Result;

use super::merge::{Story, level_names};
use super::run::{Subject, quiet_story};

/// What is done with a handle, in words.
const PRIVATE: &[(&str, &str)] = &[
    ("fill", "filling a staged layer"),
    ("list changes", "comparing trees"),
    ("size", "adding up sizes"),
    ("pack", "writing the archive"),
    ("reclaim", "deleting trash"),
    ("close mount", "the flush of an unmount"),
];

/// The table of all operations, as Markdown: the order is that of the alphabet.
pub fn table(subject: &Subject<'_>) -> Result<String> {
    Ok(of_story(&quiet_story(subject)?))
}

fn of_story(story: &Story) -> String {
    let levels: Vec<&str> = level_names().collect();
    let mut text = format!("| operation | {} | a driver works without a store lock at |\n", levels.join(" | "));
    let _ = writeln!(text, "|{}", "---|".repeat(levels.len() + 2));
    let holds = story.holds.iter().map(|hold| hold.purpose.as_str());
    let paths: BTreeSet<&str> = holds.chain(story.calls.iter().map(|call| call.purpose.as_str())).collect();
    for path in paths.into_iter().filter(|path| !path.is_empty()) {
        let cells: Vec<String> = (0..levels.len()).map(|level| held(story, path, level)).collect();
        let _ = writeln!(text, "| {path} | {} | {} |", cells.join(" | "), private(story, path));
    }
    text
}

/// How an operation holds a level.
fn held(story: &Story, path: &str, level: usize) -> String {
    let modes = story.holds.iter().filter(|hold| hold.purpose == path && hold.level() == Some(level));
    let (mut shared, mut exclusive) = (false, false);
    for hold in modes.filter(|hold| hold.taken.is_some()) {
        if hold.is_exclusive() { exclusive = true } else { shared = true }
    }
    match (shared, exclusive) {
        (true, true) => "shared, then exclusive",
        (true, false) => "shared",
        (false, true) => "exclusive",
        (false, false) => "",
    }
    .to_owned()
}

fn private(story: &Story, path: &str) -> String {
    let done = |operation: &str| {
        story.calls.iter().any(|call| {
            // Sweeping and closing nothing is done after every write.
            call.purpose == path && call.operation == operation
        })
    };
    let words: Vec<&str> = PRIVATE.iter().filter(|(operation, _)| done(operation)).map(|(_, words)| *words).collect();
    words.join(", ")
}
