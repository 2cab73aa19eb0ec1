//! Strings at the border: bytes with their number, checked before they are believed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub(super) use super::table::Str;

/// The longest text or path that is taken.
pub(super) const LONGEST: usize = 1 << 20;

impl Str {
    pub(super) const EMPTY: Str = Str { data: std::ptr::null(), length: 0 };

    pub(super) const fn new(text: &str) -> Str {
        Str { data: text.as_ptr(), length: text.len() }
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Str {
        Str { data: bytes.as_ptr(), length: bytes.len() }
    }

    pub(super) fn of_path(path: &Path) -> Str {
        Str::of_bytes(path.as_os_str().as_bytes())
    }

    /// The bytes; or what is wrong with them.
    ///
    /// # Safety
    ///
    /// `data` is good for `length` bytes as long as `'a`, or null, or `length` is absurd.
    pub(super) unsafe fn bytes<'a>(self, most: usize) -> Result<&'a [u8], String> {
        match (self.length, self.data.is_null()) {
            (0, _) => Ok(&[]),
            (length, true) => Err(format!("a string of {length} bytes has no address")),
            (length, _) if length > most => Err(format!("a string has {length} bytes, and {most} are the most")),
            // SAFETY: the caller vouches for the bytes.
            (length, false) => Ok(unsafe { std::slice::from_raw_parts(self.data, length) }),
        }
    }

    /// The text; or what is wrong with it.
    ///
    /// # Safety
    ///
    /// As [`Str::bytes`].
    pub(super) unsafe fn text<'a>(self) -> Result<&'a str, String> {
        // SAFETY: the caller vouches for the bytes.
        let bytes = unsafe { self.bytes(LONGEST) }?;
        std::str::from_utf8(bytes).map_err(|_| format!("a text is not UTF-8: {:?}", String::from_utf8_lossy(bytes)))
    }

    /// The path; or what is wrong with it.
    ///
    /// # Safety
    ///
    /// As [`Str::bytes`].
    pub(super) unsafe fn path(self) -> Result<PathBuf, String> {
        // SAFETY: the caller vouches for the bytes.
        let bytes = unsafe { self.bytes(LONGEST) }?;
        if bytes.contains(&0) {
            return Err("a path has a zero byte in it".to_owned());
        }
        Ok(PathBuf::from(OsStr::from_bytes(bytes)))
    }
}

/// The items of an array; or what is wrong with it.
///
/// # Safety
///
/// `items` is good for `count` items as long as `'a`, or null, or `count` is absurd.
pub(super) unsafe fn array<'a, T>(items: *const T, count: usize) -> Result<&'a [T], String> {
    match (count, items.is_null()) {
        (0, _) => Ok(&[]),
        (count, true) => Err(format!("a list of {count} items has no address")),
        (count, _) if count > LONGEST => Err(format!("a list has {count} items, and {LONGEST} are the most")),
        (_, false) if !items.is_aligned() => Err("a list has an odd address".to_owned()),
        // SAFETY: the caller vouches for the items.
        (count, false) => Ok(unsafe { std::slice::from_raw_parts(items, count) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_that_cannot_be_are_told_apart_from_those_that_can() {
        // SAFETY: every string is one of the test's own, or is refused before it is read.
        unsafe {
            assert_eq!(Str::new("a\u{e9}").text(), Ok("a\u{e9}"));
            assert_eq!(Str::EMPTY.text(), Ok(""));
            assert!(Str { data: std::ptr::null(), length: 3 }.text().is_err());
            assert!(Str { data: b"x".as_ptr(), length: usize::MAX }.text().is_err());
            assert!(Str::of_bytes(b"\xff").text().expect_err("bytes").contains("not UTF-8"));
            assert_eq!(Str::of_bytes(b"/\xff").path(), Ok(PathBuf::from(OsStr::from_bytes(b"/\xff"))));
            assert!(Str::of_bytes(b"a\0b").path().is_err());
            assert!(array::<Str>(std::ptr::null(), 1).is_err());
            assert_eq!(array::<u8>(std::ptr::null(), 0), Ok(&[][..]));
        }
    }
}
