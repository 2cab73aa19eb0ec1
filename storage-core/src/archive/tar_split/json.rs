//! One line, as Go's encoder writes it and as any JSON reader reads it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::error::{Error, Kind, Result};

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Raw bytes of the archive, decoded into the buffer that was given.
    Segment,
    /// A file of the layer: its name in the archive, its size, and the checksum of its content if it has any.
    File { name: Cow<'a, [u8]>, size: u64, crc: Option<u64> },
}

/// The form of both kinds of line.
#[derive(Deserialize)]
struct Form<'a> {
    r#type: u8,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name_raw: Option<Cow<'a, str>>,
    #[serde(default)]
    size: i64,
    #[serde(borrow, default)]
    payload: Option<Cow<'a, str>>,
}

/// A tar-split file that can't be understood.
pub(super) fn corrupt(detail: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, "read tar-split").detail(detail)
}

/// Reads one line; the bytes of a segment are added to `raw`.
pub(super) fn parse<'a>(line: &'a [u8], raw: &mut Vec<u8>) -> Result<Line<'a>> {
    if let Some(payload) = plain_segment(line) {
        STANDARD.decode_vec(payload, raw).map_err(|error| corrupt("a payload is not base64").because(error))?;
        return Ok(Line::Segment);
    }
    let form: Form<'_> =
        serde_json::from_slice(line).map_err(|error| corrupt("a line is not understood").because(error))?;
    let payload = form.payload.as_deref().unwrap_or("").as_bytes();
    match form.r#type {
        2 => {
            STANDARD.decode_vec(payload, raw).map_err(|error| corrupt("a payload is not base64").because(error))?;
            Ok(Line::Segment)
        }
        1 => {
            let name = match (form.name, form.name_raw) {
                (_, Some(encoded)) if !encoded.is_empty() => Cow::Owned(
                    STANDARD
                        .decode(encoded.as_bytes())
                        .map_err(|error| corrupt("a name is not base64").because(error))?,
                ),
                (Some(Cow::Borrowed(name)), _) => Cow::Borrowed(name.as_bytes()),
                (Some(Cow::Owned(name)), _) => Cow::Owned(name.into_bytes()),
                (None, _) => Cow::Borrowed(&b""[..]),
            };
            let size = u64::try_from(form.size).map_err(|_| corrupt("a size is negative"))?;
            Ok(Line::File { name, size, crc: checksum(payload)? })
        }
        other => Err(corrupt(format!("a line has the unknown type {other}"))),
    }
}

/// The payload of a segment in the exact form in which everyone writes it, found without a JSON parser.
fn plain_segment(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"{\"type\":2,\"payload\":\"")?;
    let end = rest.iter().rposition(|byte| *byte == b'"')?;
    let end = rest[..end].strip_suffix(b"\",\"position").map(<[u8]>::len)?;
    Some(&rest[..end])
}

fn checksum(payload: &[u8]) -> Result<Option<u64>> {
    if payload.is_empty() {
        return Ok(None);
    }
    let bytes = STANDARD.decode(payload).map_err(|error| corrupt("a checksum is not base64").because(error))?;
    let bytes = <[u8; 8]>::try_from(bytes).map_err(|_| corrupt("a checksum has not eight bytes"))?;
    Ok(Some(u64::from_be_bytes(bytes)))
}

/// Adds a line with raw bytes.
pub(super) fn push_segment(out: &mut Vec<u8>, raw: &[u8], position: u32) {
    out.extend_from_slice(b"{\"type\":2,\"payload\":\"");
    push_base64(out, raw);
    out.extend_from_slice(format!("\",\"position\":{position}}}\n").as_bytes());
}

/// Adds a line for a file; one without content has no checksum.
pub(super) fn push_file(out: &mut Vec<u8>, name: &[u8], size: u64, crc: u64, position: u32) {
    out.extend_from_slice(b"{\"type\":1");
    match std::str::from_utf8(name) {
        Ok("") => {}
        Ok(name) => {
            out.extend_from_slice(b",\"name\":\"");
            push_escaped(out, name);
            out.push(b'"');
        }
        Err(_) => {
            out.extend_from_slice(b",\"name_raw\":\"");
            push_base64(out, name);
            out.push(b'"');
        }
    }
    if size > 0 {
        out.extend_from_slice(format!(",\"size\":{size},\"payload\":\"").as_bytes());
        push_base64(out, &crc.to_be_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(b",\"payload\":null");
    }
    out.extend_from_slice(format!(",\"position\":{position}}}\n").as_bytes());
}

fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The room is exactly what the encoding takes.
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

/// Escapes as Go's encoder does, which also hides what HTML and JavaScript could misread.
fn push_escaped(out: &mut Vec<u8>, text: &str) {
    for char in text.chars() {
        match char {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(char)).as_bytes());
            }
            _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_as_the_reference_writes_them() {
        let mut out = Vec::new();
        push_segment(&mut out, b"", 11);
        push_file(&mut out, b"data/", 0, 0, 1);
        push_file(&mut out, b"data/a", 3, 0x6131_db30_0000_0000, 3);
        push_file(&mut out, b"a<\xc3\xa4>\x01\"\n", 0, 0, 4);
        push_file(&mut out, b"\xff", 0, 0, 5);
        let expected = concat!(
            "{\"type\":2,\"payload\":\"\",\"position\":11}\n",
            "{\"type\":1,\"name\":\"data/\",\"payload\":null,\"position\":1}\n",
            "{\"type\":1,\"name\":\"data/a\",\"size\":3,\"payload\":\"YTHbMAAAAAA=\",\"position\":3}\n",
            "{\"type\":1,\"name\":\"a\\u003cä\\u003e\\u0001\\\"\\n\",\"payload\":null,\"position\":4}\n",
            "{\"type\":1,\"name_raw\":\"/w==\",\"payload\":null,\"position\":5}\n",
        );
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut out = Vec::new();
        for name in [&b"a/b"[..], b"\xff\xfe", b"tab\there", "\u{2028}ü<>".as_bytes(), b""] {
            out.clear();
            push_file(&mut out, name, 7, 42, 0);
            let line = parse(&out, &mut Vec::new()).expect("parse");
            assert_eq!(line, Line::File { name: Cow::Borrowed(name), size: 7, crc: Some(42) });
        }
        let mut raw = b"x".to_vec();
        out.clear();
        push_segment(&mut out, b"some bytes", 3);
        assert_eq!(parse(&out, &mut raw).expect("parse"), Line::Segment);
        assert_eq!(
            parse(b"{ \"position\": 1, \"payload\": \"IQ==\", \"type\": 2 }", &mut raw).expect("parse"),
            Line::Segment
        );
        assert_eq!(raw, b"xsome bytes!");
    }

    #[test]
    fn damaged_lines_are_errors() {
        for line in [
            &b"{\"type\":2,\"payload\":\"%\",\"position\":1}"[..],
            b"{\"type\":3,\"payload\":\"\",\"position\":1}",
            b"{\"type\":1,\"name\":\"a\",\"size\":1,\"payload\":\"AA==\",\"position\":1}",
            b"{\"type\":1,\"name\":\"a\",\"size\":-1,\"payload\":null,\"position\":1}",
            b"{\"type\":2",
            b"",
        ] {
            assert_eq!(parse(line, &mut Vec::new()).map_err(|error| error.kind()), Err(Kind::Corrupt));
        }
    }
}
