//! Where events go.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::Event;
use crate::error::{OsContext, Result};

/// Takes events, from every thread.
pub trait Sink: Send + Sync {
    /// One more event.
    fn note(&self, event: &Event);
}

/// Events as lines of JSON, each appended by one write, so that several processes can share a file.
#[derive(Debug)]
pub struct Lines(File);

impl Lines {
    /// Appends to the file at `path`, which is made when it is missing.
    pub fn append_to(path: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(path).os("open", path)?;
        Ok(Lines(file))
    }
}

impl Sink for Lines {
    fn note(&self, event: &Event) {
        // What can't be written is missing from the recording, which whoever reads it notices.
        if let Ok(mut line) = serde_json::to_vec(event) {
            line.push(b'\n');
            let _ = (&self.0).write_all(&line);
        }
    }
}
