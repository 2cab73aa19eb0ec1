//! What a plugin says went wrong, as the library's own error.

use std::{fmt, io};

use super::super::table::{Failure, Str, received};
use crate::error::{Error, Kind};

/// What a plugin told, with a kind that is not known yet: the number comes with the return of the call.
#[derive(Debug, Default)]
pub(super) struct Told {
    operation: String,
    path: Option<std::path::PathBuf>,
    detail: Option<String>,
    remedy: Option<String>,
    cause: Option<String>,
    number: i32,
    /// What was wrong with the telling itself.
    garbled: Option<String>,
}

/// A cause on the other side of the border.
#[derive(Debug)]
struct Beyond {
    text: String,
    number: io::Error,
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Beyond {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.number)
    }
}

impl Told {
    /// Reads what a plugin tells.
    ///
    /// # Safety
    ///
    /// `failure` is null, or a structure as long as its size says, whose strings live as long as the call.
    pub(super) unsafe fn read(failure: *const Failure) -> Told {
        // SAFETY: the caller vouches for it.
        let Some(failure) = (unsafe { received(failure) }) else {
            return Told { garbled: Some("its error has no address or no size".to_owned()), ..Told::default() };
        };
        let mut told = Told { number: failure.number, ..Told::default() };
        let mut text = |part: Str| {
            // SAFETY: the caller vouches for the strings.
            match unsafe { part.text() } {
                Ok("") => None,
                Ok(text) => Some(one_line(text)),
                Err(wrong) => {
                    told.garbled = Some(format!("its error can't be read: {wrong}"));
                    None
                }
            }
        };
        let operation = text(failure.operation).unwrap_or_default();
        let (detail, remedy, cause) = (text(failure.detail), text(failure.remedy), text(failure.cause));
        // SAFETY: the caller vouches for the strings.
        let path = match unsafe { failure.path.path() } {
            Ok(path) => Some(path).filter(|path| !path.as_os_str().is_empty()),
            Err(wrong) => {
                told.garbled = Some(format!("its error can't be read: {wrong}"));
                None
            }
        };
        Told { operation, path, detail, remedy, cause, ..told }
    }

    /// The error of kind `kind` that was told by `plugin` in `operation`.
    pub(super) fn error(self, kind: Kind, plugin: &str, operation: &'static str) -> Error {
        let named = if self.operation.is_empty() { operation.to_owned() } else { self.operation };
        let mut error = Error::new(kind, named);
        if let Some(path) = self.path {
            error = error.at(path);
        }
        if let Some(detail) = self.detail {
            error = error.detail(detail);
        }
        if let Some(garbled) = self.garbled {
            error = error.detail(format!("the plugin {plugin} failed in {operation}, and {garbled}"));
        }
        if let Some(remedy) = self.remedy {
            error = error.remedy(remedy);
        }
        let number = (self.number != 0).then(|| io::Error::from_raw_os_error(self.number));
        match (self.cause, number) {
            (None, None) => error,
            (None, Some(number)) => error.because(number),
            (Some(text), None) => error.because(io::Error::other(text)),
            (Some(text), Some(number)) => error.because(Beyond { text, number }),
        }
    }
}

/// An error is one line, whatever a plugin writes.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
