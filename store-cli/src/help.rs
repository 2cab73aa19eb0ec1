//! Usage texts. They go where the reference sends them: to standard output.

use std::fmt::Write as _;

use crate::flags::{Flag, Shape};
use crate::globals;
use crate::verbs::{self, Verb, later};

/// The width of the column of flags.
const FLAG_COLUMN: usize = 32;

/// What `lamina` alone prints.
pub(crate) fn overview() -> String {
    let mut text = String::from(
        "Usage: lamina command [options [...]]\n\n\
         Start with `lamina tour`: it shows on this machine what a layer store does.\n\nCommands:\n\n",
    );
    for verb in verbs::all() {
        let _ = writeln!(text, "  {:<30}{}", verb.names[0], verb.summary);
    }
    text.push_str("\nKnown, and refused by this version:\n\n");
    for line in wrapped(&later::names(), 108) {
        let _ = writeln!(text, "  {line}");
    }
    text.push_str("\nOptions (before or after the command):\n\n");
    text.push_str(&flags(globals::FLAGS));
    text.push_str("\nWithout -g, -R, -s and --storage-opt, roots, driver and options are those of storage.conf and the environment\n");
    text.push_str("(`lamina config` shows them). With one of these flags, files say no more than where a root is that wasn't given.\n");
    text.push_str("\n`lamina COMMAND --help` tells more about one. Exit codes: 0 done, 1 no or not understood, 125 unknown flag,\n");
    text.push_str(
        "129, 130 and 143 stopped by a signal, else the number of what went wrong (`lamina help exit-codes`).\n",
    );
    text
}

/// What `lamina VERB --help` prints.
pub(crate) fn of(verb: &Verb, called: &str) -> String {
    let mut text = format!("Usage: lamina {called} {}\n\n{}\n", verb.arguments, verb.summary);
    if !verb.more.is_empty() {
        let _ = writeln!(text, "\n{}", verb.more);
    }
    if verb.names.len() > 1 {
        let _ = writeln!(text, "\nAlso called: {}", verb.names[1..].join(", "));
    }
    let table: Vec<Flag> = [verb.flags, globals::FLAGS].concat();
    text.push_str("\nOptions:\n\n");
    text.push_str(&flags(&table));
    text
}

/// The kinds of failure with their exit codes.
pub(crate) fn exit_codes() -> String {
    let mut text = String::from("  0  done\n  1  no (`exists`), or the command line is not understood\n");
    for kind in storage_core::Kind::ALL {
        let words = if kind.words().is_empty() { String::new() } else { format!(" ({})", kind.words()) };
        let _ = writeln!(text, "{:>3}  {}{words}", kind.code(), kind.name());
    }
    text.push_str("125  unknown flag, or a flag without its value\n129  stopped by SIGHUP\n130  stopped by SIGINT\n143  stopped by SIGTERM\n");
    text
}

fn flags(table: &[Flag]) -> String {
    let mut sorted: Vec<&Flag> = table.iter().collect();
    sorted.sort_by_key(|flag| flag.names[0].trim_start_matches('-'));
    let mut text = String::new();
    for flag in sorted {
        let value = match flag.shape {
            Shape::Switch => "",
            Shape::Value => "=VALUE",
            Shape::List => "=[]",
            Shape::Optional => "[=VALUE]",
        };
        let names = format!("{}{value}", flag.names.join(", "));
        let _ = writeln!(text, "  {names:<FLAG_COLUMN$}{}", flag.help);
    }
    text
}

fn wrapped(words: &[&str], width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words {
        let last = lines.len() - 1;
        if lines[last].len() + word.len() + 2 > width {
            lines[last].push(',');
            lines.push(String::new());
        }
        let last = lines.len() - 1;
        let gap = if lines[last].is_empty() { "" } else { ", " };
        let _ = write!(lines[last], "{gap}{word}");
    }
    lines
}
