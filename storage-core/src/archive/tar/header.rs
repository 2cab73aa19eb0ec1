//! The fields of one 512-byte header block.

use crate::archive::tar::bad;
use crate::error::Result;

/// Everything in an archive is a multiple of this many bytes.
pub const BLOCK: usize = 512;

/// The dialects that place the fields behind byte 257 differently.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    V7,
    Ustar,
    Star,
    Gnu,
}

/// A header block whose checksum is right.
pub(super) struct Header<'a>(&'a [u8; BLOCK]);

impl<'a> Header<'a> {
    pub(super) fn checked(block: &'a [u8; BLOCK]) -> Option<Self> {
        let stated = octal(&block[148..156])?;
        // Some old writers summed signed bytes.
        (stated == sum(block).0 || i64::try_from(stated).ok() == Some(sum(block).1)).then_some(Header(block))
    }

    pub(super) fn dialect(&self) -> Dialect {
        match (&self.0[257..263], &self.0[263..265]) {
            (b"ustar ", b" \0") => Dialect::Gnu,
            (b"ustar\0", _) if &self.0[508..512] == b"tar\0" => Dialect::Star,
            (b"ustar\0", _) => Dialect::Ustar,
            _ => Dialect::V7,
        }
    }

    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(&self.0[0..100]);
        let prefix = match self.dialect() {
            Dialect::Ustar => text(&self.0[345..500]),
            Dialect::Star => text(&self.0[345..476]),
            Dialect::V7 | Dialect::Gnu => &[],
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub(super) fn link(&self) -> &'a [u8] {
        text(&self.0[157..257])
    }

    pub(super) fn kind(&self) -> u8 {
        self.0[156]
    }

    pub(super) fn mode(&self) -> Result<u32> {
        Ok(self.number("mode", 100, 8)? as u32 & 0o7777)
    }

    pub(super) fn uid(&self) -> Result<u32> {
        self.small("uid", 108)
    }

    pub(super) fn gid(&self) -> Result<u32> {
        self.small("gid", 116)
    }

    pub(super) fn size(&self) -> Result<u64> {
        let size = self.number("size", 124, 12)?;
        u64::try_from(size).map_err(|_| bad("a negative size"))
    }

    pub(super) fn mtime(&self) -> Result<i64> {
        self.number("mtime", 136, 12)
    }

    pub(super) fn device(&self) -> Result<(u32, u32)> {
        match self.dialect() {
            Dialect::V7 => Ok((0, 0)),
            _ => Ok((self.small("device", 329)?, self.small("device", 337)?)),
        }
    }

    /// The four extents and the flag for more that an old GNU sparse header has, and the real size.
    pub(super) fn gnu_sparse(&self) -> (&'a [u8], bool, Result<u64>) {
        let size =
            self.number("real size", 483, 12).and_then(|size| u64::try_from(size).map_err(|_| bad("a negative size")));
        (&self.0[386..482], self.0[482] != 0, size)
    }

    fn small(&self, what: &str, at: usize) -> Result<u32> {
        u32::try_from(self.number(what, at, 8)?).map_err(|_| bad(format!("the {what} is out of range")))
    }

    fn number(&self, what: &str, at: usize, length: usize) -> Result<i64> {
        number(&self.0[at..at + length]).ok_or_else(|| bad(format!("the {what} is not a number")))
    }
}

/// Whether the bytes begin with a header block that has a right checksum.
pub fn looks_like_header(head: &[u8]) -> bool {
    head.first_chunk::<BLOCK>().is_some_and(|block| Header::checked(block).is_some())
}

/// The sums of a header's bytes, unsigned and signed, with the checksum itself taken as blanks.
fn sum(block: &[u8; BLOCK]) -> (u64, i64) {
    let bytes = block[..148].iter().chain(&block[156..]);
    let unsigned: u64 = bytes.clone().map(|byte| u64::from(*byte)).sum();
    let signed: i64 = bytes.map(|byte| i64::from(byte.cast_signed())).sum();
    (unsigned + 8 * 32, signed + 8 * 32)
}

/// The checksum of a header being written.
pub(crate) fn checksum(block: &[u8; BLOCK]) -> u64 {
    sum(block).0
}

/// A field up to its first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// A number in octal digits between blanks and NULs, or in base 256 when the first bit is set.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 == 0 {
        return octal(field).and_then(|value| i64::try_from(value).ok());
    }
    // Two's complement, big endian; the first bit only marks the form.
    let negative = first & 0x40 != 0;
    let mut value: i64 = if negative { -1 } else { 0 };
    for (at, byte) in field.iter().enumerate() {
        let byte = match (at, negative) {
            (0, false) => *byte & 0x7f,
            _ => *byte,
        };
        value = value.checked_mul(256)? | i64::from(byte);
    }
    Some(value)
}

fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.trim_ascii_start();
    let digits = digits.iter().position(|byte| *byte != 0).map_or(&[][..], |start| &digits[start..]);
    let end = digits.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if !rest.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  644 \0 "), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"77777777"), Some(0o7777_7777));
        assert_eq!(number(b"0000x44\0"), None);
        assert_eq!(number(b"12 34\0\0\0"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]), Some(-2));
        assert_eq!(
            number(&[0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            None,
            "too large"
        );
    }
}
