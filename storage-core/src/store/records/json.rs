//! JSON as the reference's encoder writes it.
//!
//! Compact, map keys sorted, `<`, `>`, `&` and the two line separators of Unicode escaped, times in UTC with nanoseconds
//! and without trailing zeros.

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::{Error, Kind, Result};

/// The time of what was never dated.
pub(crate) const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// `value` in the reference's form.
pub(crate) fn to_string(value: &impl Serialize) -> Result<String> {
    let plain = serde_json::to_string(value).map_err(|source| Error::new(Kind::Io, "write JSON").because(source))?;
    Ok(escape(&plain))
}

/// Escapes what the reference's encoder escapes. Such characters can stand inside strings only, so the text as a whole may
/// be treated.
fn escape(plain: &str) -> String {
    if !plain.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return plain.to_owned();
    }
    let mut escaped = String::with_capacity(plain.len() + 16);
    for character in plain.chars() {
        match character {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// `value` with the keys of all maps in it sorted.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// This moment, in the reference's form.
pub(crate) fn now() -> String {
    written(OffsetDateTime::now_utc())
}

/// The time `text` (RFC 3339) in the reference's form. One that the reference couldn't read would make all records
/// unreadable for it.
pub fn time(text: &str) -> Result<String> {
    OffsetDateTime::parse(text, &Rfc3339).map(written).map_err(|source| {
        Error::new(Kind::Usage, "read time").detail(format!("{text:?} is no time: {source}")).remedy("write RFC 3339")
    })
}

pub(crate) fn written(time: OffsetDateTime) -> String {
    let seconds = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    let (hours, minutes, _) = time.offset().as_hms();
    let zone = match (hours, minutes) {
        (0, 0) => "Z".to_owned(),
        _ => format!(
            "{}{:02}:{:02}",
            if time.offset().is_negative() { '-' } else { '+' },
            hours.unsigned_abs(),
            minutes.unsigned_abs()
        ),
    };
    let fraction = format!("{:09}", time.nanosecond());
    match fraction.trim_end_matches('0') {
        "" => format!("{seconds}{zone}"),
        digits => format!("{seconds}.{digits}{zone}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_escaped_as_the_reference_does() {
        let written = to_string(&"a<b>&\u{2028}\"").expect("JSON");
        assert_eq!(written, "\"a\\u003cb\\u003e\\u0026\\u2028\\\"\"");
        assert_eq!(serde_json::from_str::<String>(&written).expect("JSON"), "a<b>&\u{2028}\"");
    }

    #[test]
    fn times_have_no_trailing_zeros_and_end_in_z() {
        let now = now();
        assert!(now.ends_with('Z') && now.len() >= 20 && !now.ends_with("0Z") || !now.contains('.'), "{now}");
    }

    #[test]
    fn times_of_others_are_taken_in_their_form_or_refused() {
        for (given, written) in [
            ("2026-11-22T10:41:53.295638581Z", "2026-11-22T10:41:53.295638581Z"),
            ("2026-11-22T10:41:53.500000000+00:00", "2026-11-22T10:41:53.5Z"),
            ("2026-11-22T10:41:53-02:30", "2026-11-22T10:41:53-02:30"),
        ] {
            assert_eq!(time(given).expect(given), written);
        }
        for given in ["", "yesterday", "2026-13-01T00:00:00Z", "12026-11-22T10:41:53Z"] {
            assert!(time(given).is_err(), "{given:?}");
        }
    }
}
