//! Everything the command writes goes through here: answers to standard output, the rest to standard error.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::os::fd::AsFd;

use serde::Serialize;
use storage_core::error::OsContext;
use storage_core::{Error, Kind};

use crate::go;
use crate::stop::{Outcome, Stop};

/// Standard output, buffered.
pub(crate) struct Output {
    stdout: BufWriter<StdoutLock<'static>>,
}

impl Output {
    pub(crate) fn new() -> Self {
        Output { stdout: BufWriter::new(io::stdout().lock()) }
    }

    /// One line of an answer.
    pub(crate) fn line(&mut self, text: impl fmt::Display) -> Outcome {
        writeln!(self.stdout, "{text}").map_err(closed)
    }

    /// Text of an answer, as it is.
    pub(crate) fn text(&mut self, text: impl fmt::Display) -> Outcome {
        write!(self.stdout, "{text}").map_err(closed)
    }

    /// Bytes of an answer, as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Outcome {
        self.stdout.write_all(bytes).map_err(closed)
    }

    /// One line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Outcome {
        let text = go::json(value).map_err(|source| Error::new(Kind::Io, "write JSON").because(source))?;
        self.line(text)
    }

    /// Hands everything on.
    pub(crate) fn flush(&mut self) -> Outcome {
        self.stdout.flush().map_err(closed)
    }
}

fn closed(error: io::Error) -> Stop {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Stop::PipeClosed;
    }
    Stop::Failed(Error::os("write", "standard output", error))
}

/// One line on standard error. When that fails there is nobody to tell.
pub(crate) fn say(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// What went wrong, on standard error.
pub(crate) fn complain(text: impl fmt::Display) {
    say(format_args!("lamina: {text}"));
}

/// Standard output for a stream of bytes. Refused on a terminal, which such bytes garble.
pub(crate) fn stream(what: &'static str) -> Result<File, Error> {
    let stdout = io::stdout();
    if stdout.is_terminal() {
        return Err(Error::new(Kind::Usage, what)
            .detail("standard output is a terminal")
            .remedy("write into a file or a pipe, or name a file with -f FILE"));
    }
    Ok(stdout.as_fd().try_clone_to_owned().os("dup", "standard output")?.into())
}
