//! PAX records: `LENGTH KEY=VALUE\n`, one after the other, in the data of an `x` member.

use std::collections::BTreeMap;

use crate::archive::tar::sparse::{self, PaxSparse};
use crate::archive::tar::{Time, bad, shown};
use crate::error::Result;

/// The most extended attributes of one entry: more than a kernel lists for a file.
const MOST_XATTRS: usize = 4096;

/// What the records of one entry say. Fields that no record names stay as the header has them.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Time>,
    pub(super) atime: Option<Time>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) sparse: PaxSparse,
}

impl Records {
    /// Adds the records in `data`; later ones win.
    pub(super) fn parse(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            // Padding that some writers leave behind the last record.
            if data.iter().all(|byte| *byte == 0) {
                break;
            }
            let (key, value, rest) = record(data).ok_or_else(|| bad("a PAX record is malformed"))?;
            self.take(key, value)?;
            data = rest;
        }
        Ok(())
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let wrong = || bad(format!("the PAX record {:?} has a wrong value", shown(key)));
        match key {
            b"path" | b"linkpath" if value.contains(&0) => return Err(wrong()),
            b"path" => self.path = some(value),
            b"linkpath" => self.link = some(value),
            b"size" => self.size = optional(value, decimal).map_err(|()| wrong())?,
            b"uid" => self.uid = optional(value, id).map_err(|()| wrong())?,
            b"gid" => self.gid = optional(value, id).map_err(|()| wrong())?,
            b"mtime" => self.mtime = optional(value, time).map_err(|()| wrong())?,
            b"atime" => self.atime = optional(value, time).map_err(|()| wrong())?,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    if name.is_empty() || name.contains(&0) {
                        return Err(wrong());
                    }
                    self.xattrs.insert(name.to_vec(), value.to_vec());
                    if self.xattrs.len() > MOST_XATTRS {
                        return Err(bad(format!("an entry has more than {MOST_XATTRS} extended attributes")));
                    }
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.take(name, value)?;
                }
            }
        }
        Ok(())
    }
}

/// Splits off the first record: its key, its value, and what follows.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = data.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&data[..blank])?).ok()?;
    if length <= blank + 1 || length > data.len() || data[length - 1] != b'\n' {
        return None;
    }
    let body = &data[blank + 1..length - 1];
    let equals = body.iter().position(|byte| *byte == b'=')?;
    (equals > 0).then_some((&body[..equals], &body[equals + 1..], &data[length..]))
}

/// An empty value takes back what an earlier record said.
fn some(value: &[u8]) -> Option<Vec<u8>> {
    (!value.is_empty()).then(|| value.to_vec())
}

fn optional<T>(value: &[u8], parse: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>, ()> {
    if value.is_empty() { Ok(None) } else { parse(value).map(Some).ok_or(()) }
}

pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn id(value: &[u8]) -> Option<u32> {
    decimal(value).and_then(|id| u32::try_from(id).ok())
}

/// Seconds with an optional fraction, which is cut after nanoseconds; times before 1970 are negative.
fn time(value: &[u8]) -> Option<Time> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let dot = value.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = dot.map_or((value, &[][..]), |dot| (&value[..dot], &value[dot + 1..]));
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanos = digits.fold(0_u32, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    Some(match (negative, nanos) {
        (false, _) => Time { seconds, nanos },
        (true, 0) => Time { seconds: -seconds, nanos },
        (true, _) => Time { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos },
    })
}

/// Reads what the sparse records of an entry without a map in its data say.
pub(super) fn sparse_extents(records: &Records) -> Result<Option<Vec<crate::archive::tar::Extent>>> {
    sparse::from_records(&records.sparse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_split_by_their_length_and_not_by_lines() {
        let mut records = Records::default();
        records
            .parse(b"13 path=a\nb=\n27 SCHILY.xattr.user.x=\0\n=\n19 mtime=1.123456789\n")
            .expect_err("wrong length");
        let mut records = Records::default();
        records.parse(b"13 path=a\nb=\n27 SCHILY.xattr.user.x=\0\n=\n22 mtime=1.1234567899\n").expect("right");
        assert_eq!(records.path.as_deref(), Some(&b"a\nb="[..]));
        assert_eq!(records.xattrs, BTreeMap::from([(b"user.x".to_vec(), b"\0\n=".to_vec())]));
        assert_eq!(records.mtime, Some(Time { seconds: 1, nanos: 123_456_789 }));
    }

    #[test]
    fn attributes_are_limited_and_the_later_one_of_a_name_wins() {
        let mut data = Vec::new();
        for index in 0..MOST_XATTRS {
            data.extend_from_slice(format!("28 SCHILY.xattr.user.{index:04}=x\n").as_bytes());
        }
        data.extend_from_slice(b"28 SCHILY.xattr.user.0007=y\n");
        let mut records = Records::default();
        records.parse(&data).expect("as many as may be");
        assert_eq!(records.xattrs.get(&b"user.0007"[..]).map(Vec::as_slice), Some(&b"y"[..]));
        data.extend_from_slice(b"27 SCHILY.xattr.user.more=\n");
        assert!(Records::default().parse(&data).is_err(), "one more");
    }

    #[test]
    fn malformed_records_are_errors() {
        for data in [
            &b"x"[..],
            b"5 a=b\n",
            b"6 a=bc",
            b"999999999999999999999 a=b\n",
            b"6 =ab\n\n",
            b"7 a=b\n",
            b"13 path=a\0b=\n",
        ] {
            assert!(Records::default().parse(data).is_err(), "{:?}", shown(data));
        }
    }

    #[test]
    fn times_before_1970_round_down() {
        assert_eq!(time(b"-1.25"), Some(Time { seconds: -2, nanos: 750_000_000 }));
        assert_eq!(time(b"-3"), Some(Time { seconds: -3, nanos: 0 }));
        assert_eq!(time(b"1.5x"), None);
        assert_eq!(time(b".5"), None);
    }
}
