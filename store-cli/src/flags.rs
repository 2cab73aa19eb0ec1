//! Flags as the reference reads them.
//!
//! `-x`, `--long`, `--long=v`, `-l v`, `-l=v`; a switch takes a value only behind `=`; short flags can't be joined; after
//! the first argument that is no flag, everything is an argument; `--` ends the flags. One table says what there is.

use std::collections::BTreeMap;

/// What stands behind a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nothing: it is on or off.
    Switch,
    /// One value; the last one counts.
    Value,
    /// One value each time; all count.
    List,
    /// One value, only behind `=`, or none; the last one counts.
    Optional,
}

/// One flag. The first of its names is the one it is stored under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    pub(crate) names: &'static [&'static str],
    pub(crate) shape: Shape,
    pub(crate) help: &'static str,
}

impl Flag {
    pub(crate) const fn switch(names: &'static [&'static str], help: &'static str) -> Self {
        Flag { names, shape: Shape::Switch, help }
    }

    pub(crate) const fn value(names: &'static [&'static str], help: &'static str) -> Self {
        Flag { names, shape: Shape::Value, help }
    }

    pub(crate) const fn list(names: &'static [&'static str], help: &'static str) -> Self {
        Flag { names, shape: Shape::List, help }
    }

    pub(crate) const fn optional(names: &'static [&'static str], help: &'static str) -> Self {
        Flag { names, shape: Shape::Optional, help }
    }

    /// The value of an optional one that stands alone.
    pub(crate) const BARE: &'static str = "true";
}

/// Why a command line can't be read. The texts are the reference's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Misread {
    /// Help was asked for.
    Help,
    /// The flag is unknown, lacks its value, or has one that it can't have.
    Flag(String),
}

/// What a command line says: flags by their first name, and the arguments behind them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parsed {
    values: BTreeMap<&'static str, Vec<String>>,
    pub(crate) args: Vec<String>,
}

impl Parsed {
    /// Reads flags of `table` from the front of `line`, adding to what was read before; the rest becomes the arguments.
    pub(crate) fn read(&mut self, line: &[String], table: &[Flag]) -> Result<(), Misread> {
        let mut rest = line.iter();
        self.args.clear();
        while let Some(word) = rest.next() {
            if word == "--" {
                break;
            }
            if !word.starts_with('-') || word == "-" {
                self.args.push(word.clone());
                break;
            }
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(unquoted(value).to_owned())),
                None => (word.as_str(), None),
            };
            let Some(flag) = table.iter().find(|flag| flag.names.contains(&name)) else {
                let help = matches!(name, "--help" | "-help" | "-h");
                return Err(if help {
                    Misread::Help
                } else {
                    Misread::Flag(format!("flag provided but not defined: {name}"))
                });
            };
            let value = match (flag.shape, value) {
                (Shape::Switch | Shape::Optional, None) => Flag::BARE.to_owned(),
                (Shape::Switch, Some(value)) => switch_value(name, &value)?.to_owned(),
                (_, Some(value)) => value,
                (_, None) => {
                    rest.next().cloned().ok_or_else(|| Misread::Flag(format!("flag needs an argument: {name}")))?
                }
            };
            self.values.entry(flag.names[0]).or_default().push(value);
        }
        self.args.extend(rest.cloned());
        Ok(())
    }

    /// Whether a switch is on.
    pub(crate) fn on(&self, name: &'static str) -> bool {
        self.value(name) == Some("true")
    }

    /// The last value of a flag. An empty one counts as none, as with the reference.
    pub(crate) fn value(&self, name: &'static str) -> Option<&str> {
        self.values.get(name).and_then(|values| values.last()).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All values of a flag.
    pub(crate) fn list(&self, name: &'static str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }
}

/// The spellings of a switch's value that Go accepts.
fn switch_value(name: &str, value: &str) -> Result<&'static str, Misread> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok("true"),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok("false"),
        _ => Err(Misread::Flag(format!("invalid boolean value {value:?} for {name}"))),
    }
}

/// A value without one pair of quotes around it.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Flag] = &[
        Flag::switch(&["--json", "-j"], ""),
        Flag::value(&["--file", "-f"], ""),
        Flag::list(&["--name", "-n"], ""),
        Flag::optional(&["--size"], ""),
    ];

    fn read(line: &[&str]) -> Result<Parsed, Misread> {
        let line: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
        let mut parsed = Parsed::default();
        parsed.read(&line, TABLE).map(|()| parsed)
    }

    #[test]
    fn every_spelling_of_a_flag_is_read() {
        for (line, json, file, args) in [
            (&["-j", "a"][..], true, None, &["a"][..]),
            (&["--json", "--file=x", "a", "b"], true, Some("x"), &["a", "b"]),
            (&["-f", "x", "-f=y"], false, Some("y"), &[]),
            (&["--file", "-j"], false, Some("-j"), &[]),
            (&["--json=false", "a"], false, None, &["a"]),
            (&["--json", "--json=0"], false, None, &[]),
            (&["a", "-j"], false, None, &["a", "-j"]),
            (&["--", "-j"], false, None, &["-j"]),
            (&["-j", "-", "-f"], true, None, &["-", "-f"]),
            (&["--file='a b'"], false, Some("a b"), &[]),
            (&["--file="], false, None, &[]),
        ] {
            let parsed = read(line).expect("the line can be read");
            assert_eq!(
                (
                    parsed.on("--json"),
                    parsed.value("--file"),
                    parsed.args.iter().map(String::as_str).collect::<Vec<_>>()
                ),
                (json, file, args.to_vec()),
                "{line:?}"
            );
        }
    }

    #[test]
    fn lists_collect_and_misreadings_have_the_words_of_the_reference() {
        assert_eq!(read(&["-n", "a", "--name=b"]).expect("read").list("--name"), ["a", "b"]);
        let size = |line: &[&str]| read(line).expect("read").value("--size").map(str::to_owned);
        assert_eq!(
            size(&["--size", "5"]),
            Some(Flag::BARE.to_owned()),
            "an optional value was taken from the next word"
        );
        assert_eq!(size(&["--size", "--size=5"]), Some("5".to_owned()));
        for (line, text) in [
            (&["-q"][..], "flag provided but not defined: -q"),
            (&["-jj"], "flag provided but not defined: -jj"),
            (&["--name"], "flag needs an argument: --name"),
            (&["--json=maybe"], "invalid boolean value \"maybe\" for --json"),
        ] {
            assert_eq!(read(line).expect_err("misread"), Misread::Flag(text.to_owned()), "{line:?}");
        }
        assert_eq!(read(&["-h"]).expect_err("help"), Misread::Help);
    }
}
