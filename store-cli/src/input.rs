//! What a layer or an item is read from: a file, or standard input.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use storage_core::{Cancel, Error, Kind, Result};

/// How long one look for input takes before the wish to stop is heeded.
const LOOK_MS: u16 = 100;

/// A file or standard input, whose reader doesn't hang when the work is to stop.
#[derive(Debug)]
pub(crate) struct Input {
    file: File,
    cancel: Cancel,
}

impl Input {
    /// Opens `path`, or standard input when there is none. Standard input that is a terminal is refused.
    pub(crate) fn open(operation: &'static str, path: Option<&str>, cancel: &Cancel) -> Result<Self> {
        let file = match path {
            Some(path) => File::open(path).map_err(|source| Error::os("open", path, source))?,
            None if io::stdin().is_terminal() => {
                return Err(Error::new(Kind::Usage, operation)
                    .detail("standard input is a terminal")
                    .remedy("name a file with -f FILE, or send one into standard input"));
            }
            None => {
                let stdin = io::stdin().as_fd().try_clone_to_owned();
                stdin.map_err(|source| Error::os("dup", "standard input", source))?.into()
            }
        };
        Ok(Input { file, cancel: cancel.clone() })
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.cancel.is_cancelled() {
                return Err(io::Error::other(Error::new(Kind::Cancelled, "read input")));
            }
            let mut polled = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            match nix::poll::poll(&mut polled, PollTimeout::from(LOOK_MS)) {
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => return self.file.read(buffer),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
