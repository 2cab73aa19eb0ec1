//! Text forms of Go that scripts see: its JSON strings and its quoted strings.

use std::fmt::Write as _;

use serde::Serialize;

/// One line of JSON as Go's encoder writes it: the characters that HTML minds are escaped.
pub(crate) fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let plain = serde_json::to_string(value)?;
    // Outside strings JSON has none of these characters, so they can be replaced in the text.
    let mut text = String::with_capacity(plain.len() + 1);
    for c in plain.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(text, "\\u{:04x}", c as u32);
            }
            _ => text.push(c),
        }
    }
    Ok(text)
}

/// Bytes as Go's `%q` writes them.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_quoted(&mut text, c));
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text.push('"');
    text
}

fn push_quoted(text: &mut String, c: char) {
    let _ = match c {
        '"' => write!(text, "\\\""),
        '\\' => write!(text, "\\\\"),
        '\u{7}' => write!(text, "\\a"),
        '\u{8}' => write!(text, "\\b"),
        '\u{c}' => write!(text, "\\f"),
        '\n' => write!(text, "\\n"),
        '\r' => write!(text, "\\r"),
        '\t' => write!(text, "\\t"),
        '\u{b}' => write!(text, "\\v"),
        '\0'..' ' | '\u{7f}' => write!(text, "\\x{:02x}", c as u32),
        '\'' => write!(text, "'"),
        _ if c.escape_debug().count() == 1 => write!(text, "{c}"),
        _ if (c as u32) < 0x1_0000 => write!(text, "\\u{:04x}", c as u32),
        _ => write!(text, "\\U{:08x}", c as u32),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        assert_eq!(json(&"a<b>&\u{2028}é").expect("a string"), "\"a\\u003cb\\u003e\\u0026\\u2028é\"");
        assert_eq!(quoted(b"/a \"b\"\n\\\x01\xff\xc3\xa9'"), "\"/a \\\"b\\\"\\n\\\\\\x01\\xffé'\"");
    }
}
