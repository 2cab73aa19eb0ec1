//! Why a verb ends early, and the exit codes of the command.

use storage_core::{Error, Kind};

/// The exit codes that don't come from a [`Kind`].
pub(crate) mod code {
    /// Everything asked for is done.
    pub(crate) const DONE: u8 = 0;
    /// The answer is no (`exists`), or the command line can't be understood.
    pub(crate) const NO: u8 = 1;
    /// A flag of a verb can't be understood. The reference's number.
    pub(crate) const FLAG: u8 = 125;
    /// A signal ended the work: this plus its number.
    pub(crate) const SIGNAL: u8 = 128;
}

/// Why a verb ends before its work is done.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It failed; nothing was said yet.
    Failed(Error),
    /// It failed or answers no; whoever noticed has said so.
    Reported(u8),
    /// The reader of our output has gone: nobody is left to tell, and nothing is wrong.
    PipeClosed,
}

/// What a verb comes to.
pub(crate) type Outcome<T = ()> = Result<T, Stop>;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// An error about the command line.
pub(crate) fn usage(detail: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error::new(Kind::Usage, "read command line").detail(detail).remedy(remedy.into())
}

/// The refusal of something whose subject this version doesn't have.
pub(crate) fn not_yet(what: &str, subject: &str) -> Error {
    Error::new(Kind::NotSupported, what.to_owned())
        .detail(format!("this version has no {subject} yet"))
        .remedy("leave it out, or use containers-storage on the same root")
}
