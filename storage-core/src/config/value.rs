//! Values of keys: whether one is what its key needs, and if not, what would be.

use toml::de::{DeInteger, DeValue};

use super::keys::Shape;

/// A value that was found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    List(Vec<String>),
    /// To be put behind what an earlier file says.
    More(Vec<String>),
    Switch(bool),
    Number(u32),
}

/// What is wrong with a value, and how to write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) detail: String,
    pub(super) remedy: &'static str,
}

/// The largest value of `force_mask`.
const LARGEST_MASK: u32 = 0o7777;

/// Reads a value of `shape`.
pub(super) fn read(value: &DeValue<'_>, shape: Shape) -> Result<Value, Wrong> {
    match (shape, value) {
        (Shape::Switch, DeValue::Boolean(on)) => Ok(Value::Switch(*on)),
        (Shape::Switch, _) => Err(wrong_type(value, "true or false", "write true or false, without quotes")),
        (Shape::Count, DeValue::Integer(number)) => count(number),
        (Shape::Count, _) => Err(wrong_type(value, "a number", "write a number, without quotes")),
        (Shape::List | Shape::Paths, DeValue::Array(_)) => list(value, shape),
        (Shape::List | Shape::Paths, _) => Err(wrong_type(value, "a list of strings", "write [\"one\", \"two\"]")),
        (Shape::Mask, DeValue::Integer(number)) => mask_number(number),
        (_, DeValue::String(text)) => check_text(text, shape).map(|()| Value::Text(text.clone().into_owned())),
        (_, _) => Err(wrong_type(value, "a string", "write the value in quotes")),
    }
}

fn wrong_type(value: &DeValue<'_>, needed: &str, remedy: &'static str) -> Wrong {
    Wrong { detail: format!("is of type {}, and {needed} is needed", value.type_str()), remedy }
}

fn count(number: &DeInteger<'_>) -> Result<Value, Wrong> {
    u32::from_str_radix(number.as_str(), number.radix()).map(Value::Number).map_err(|_| Wrong {
        detail: format!("{} is no number of ids", number.as_str()),
        remedy: "write a number from 0 to 4294967295",
    })
}

fn mask_number(number: &DeInteger<'_>) -> Result<Value, Wrong> {
    match u32::from_str_radix(number.as_str(), number.radix()) {
        Ok(0) => Ok(Value::Text(String::new())),
        Ok(mask) if mask <= LARGEST_MASK => Ok(Value::Text(format!("{mask:o}"))),
        _ => Err(Wrong { detail: format!("{} is no file mode", number.as_str()), remedy: MASK_REMEDY }),
    }
}

const MASK_REMEDY: &str = "write \"shared\", \"private\" or octal digits such as \"0755\"";

/// A list; `{append = true}` as its last item puts it behind what an earlier file says.
fn list(value: &DeValue<'_>, shape: Shape) -> Result<Value, Wrong> {
    let mut items = Vec::new();
    let mut append = false;
    for item in value.as_array().into_iter().flatten() {
        match item.get_ref() {
            DeValue::String(text) if shape == Shape::Paths && !text.starts_with('/') => {
                return Err(Wrong {
                    detail: format!("{text:?} is no absolute path"),
                    remedy: "write the path from / on",
                });
            }
            DeValue::String(text) => items.push(text.clone().into_owned()),
            DeValue::Table(table) if table.len() == 1 && table.contains_key("append") => {
                append = table.get("append").is_some_and(|on| on.get_ref().as_bool() == Some(true));
            }
            other => return Err(wrong_type(other, "a string", "write every item in quotes")),
        }
    }
    Ok(if append { Value::More(items) } else { Value::List(items) })
}

/// Checks a string that isn't empty; an empty one means that nothing is set.
fn check_text(text: &str, shape: Shape) -> Result<(), Wrong> {
    let (good, what, remedy) = match shape {
        _ if text.is_empty() => return Ok(()),
        Shape::SwitchText => (switch(text).is_some(), "neither true nor false", "write \"true\" or \"false\""),
        Shape::Size => (is_size(text), "no size", "write a number with a unit, such as \"10G\" or \"512M\""),
        Shape::Inodes => (text.parse::<u64>().is_ok(), "no number of inodes", "write a number in quotes"),
        Shape::Mask | Shape::MaskText => (is_mask(text), "no file mode", MASK_REMEDY),
        Shape::Sync => (matches!(text, "none" | "filesystem"), "no way to sync", "write \"none\" or \"filesystem\""),
        _ => return Ok(()),
    };
    if good { Ok(()) } else { Err(Wrong { detail: format!("{text:?} is {what}"), remedy }) }
}

/// The truth of a text in one of Go's spellings.
pub(super) fn switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn is_mask(text: &str) -> bool {
    matches!(text, "shared" | "private") || u32::from_str_radix(text, 8).is_ok_and(|mask| mask <= LARGEST_MASK)
}

/// Whether `text` is a size as people write it: a number, maybe a unit with or without `i` and `b`.
fn is_size(text: &str) -> bool {
    let split = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let known = match unit.strip_suffix('i').unwrap_or(unit) {
        "" => !unit.ends_with('i'),
        unit => matches!(unit, "k" | "m" | "g" | "t" | "p"),
    };
    known && number.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, shape: Shape) -> Result<Value, Wrong> {
        read(DeValue::parse(text).expect(text).get_ref(), shape)
    }

    #[test]
    fn good_values_are_taken() {
        let text = |text: &str| Ok(Value::Text(text.to_owned()));
        for (written, shape, value) in [
            ("\"\"", Shape::Size, text("")),
            ("\"10G\"", Shape::Size, text("10G")),
            ("\"1.5 GiB\"", Shape::Size, text("1.5 GiB")),
            ("\"4096\"", Shape::Size, text("4096")),
            ("\"0700\"", Shape::MaskText, text("0700")),
            ("\"shared\"", Shape::Mask, text("shared")),
            ("0o755", Shape::Mask, text("755")),
            ("\"True\"", Shape::SwitchText, text("True")),
            ("true", Shape::Switch, Ok(Value::Switch(true))),
            ("65_536", Shape::Count, Ok(Value::Number(65_536))),
            ("\"filesystem\"", Shape::Sync, text("filesystem")),
            ("[\"/a\"]", Shape::Paths, Ok(Value::List(vec!["/a".into()]))),
            ("[\"b\", {append = true}]", Shape::List, Ok(Value::More(vec!["b".into()]))),
            ("[\"b\", {append = false}]", Shape::List, Ok(Value::List(vec!["b".into()]))),
        ] {
            assert_eq!(of(written, shape), value, "{written} as {shape:?}");
        }
    }

    #[test]
    fn bad_values_and_wrong_types_are_refused_with_a_remedy() {
        for (written, shape, words) in [
            ("\"10X\"", Shape::Size, "\"10X\" is no size"),
            ("\"G\"", Shape::Size, "no size"),
            ("\"1i\"", Shape::Size, "no size"),
            ("10", Shape::Size, "is of type integer, and a string is needed"),
            ("\"0999\"", Shape::MaskText, "no file mode"),
            ("\"10000\"", Shape::MaskText, "no file mode"),
            ("493", Shape::MaskText, "a string is needed"),
            ("-1", Shape::Mask, "no file mode"),
            ("\"yes\"", Shape::SwitchText, "neither true nor false"),
            ("true", Shape::SwitchText, "is of type boolean"),
            ("\"true\"", Shape::Switch, "is of type string"),
            ("-1", Shape::Count, "no number of ids"),
            ("4294967296", Shape::Count, "no number of ids"),
            ("\"1024\"", Shape::Count, "a number is needed"),
            ("\"layer\"", Shape::Sync, "no way to sync"),
            ("\"x\"", Shape::Inodes, "no number of inodes"),
            ("\"/a,/b\"", Shape::Paths, "a list of strings is needed"),
            ("[\"a\"]", Shape::Paths, "no absolute path"),
            ("[1]", Shape::List, "is of type integer"),
            ("[{append = true, more = 1}]", Shape::List, "is of type table"),
        ] {
            let wrong = of(written, shape).expect_err(written);
            assert!(wrong.detail.contains(words) && !wrong.remedy.is_empty(), "{written}: {wrong:?}");
        }
    }
}
