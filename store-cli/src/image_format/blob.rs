//! The data of a layer, to be read as often as anybody likes.

use std::io::{self, Read};
use std::sync::Arc;

use storage_core::archive::Compression;
use storage_core::archive::compression::read_failed;
use storage_core::{Result, Task, archive};

use super::bad;
use super::digest::{Digest, hasher};
use super::files::{Files, Piece};
use super::spool;
use super::verify::Verified;

/// What of a file is a blob's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The file as it is.
    AsIs,
    /// What the file is when its compression is undone.
    Decompressed,
}

/// Data with a known digest and size, in one of an image's files.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    files: Arc<Files>,
    path: String,
    form: Form,
    digest: Digest,
    size: u64,
}

impl Blob {
    /// The blob of an image layout that has this digest. It must be there with this size.
    pub(super) fn of_layout(files: &Arc<Files>, digest: &Digest, size: u64) -> Result<Self> {
        let path = digest.path();
        let found = find(files, &path)?;
        if found.size() != size {
            let detail = format!("the blob has {} bytes, its descriptor says {size}", found.size());
            return Err(bad(detail).at(&path));
        }
        Ok(Blob { files: Arc::clone(files), path, form: Form::AsIs, digest: digest.clone(), size })
    }

    /// The layer of a docker archive at `path`, whose content has the digest `diff_id` without compression. Of a
    /// compressed one everything is read to learn its size.
    pub(super) fn of_archive(files: &Arc<Files>, path: String, diff_id: &Digest, task: &Task) -> Result<Self> {
        let found = find(files, &path)?;
        let (compression, mut content) = archive::decoder(found.reader()).map_err(|error| error.at(&path))?;
        let (form, size) = if compression == Compression::None {
            (Form::AsIs, found.size())
        } else {
            let mut counter = hasher();
            spool::copy(&mut content, &mut counter, task).map_err(|error| error.at(&path))?;
            (Form::Decompressed, counter.finish().2)
        };
        Ok(Blob { files: Arc::clone(files), path, form, digest: diff_id.clone(), size })
    }

    /// Its size.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// A reader of its own; see [`super::Layer::open`].
    pub(super) fn open(&self) -> Result<Box<dyn Read + Send>> {
        let piece = find(&self.files, &self.path)?;
        let content: Box<dyn Read + Send> = match self.form {
            Form::AsIs => Box::new(piece.reader()),
            Form::Decompressed => archive::decoder(piece.reader())?.1,
        };
        Ok(Box::new(Verified::new(content, self.digest.clone(), self.size)))
    }

    /// All of a small blob, checked.
    pub(super) fn read(&self) -> Result<Vec<u8>> {
        let piece = find(&self.files, &self.path)?;
        let bytes = super::verify::read_document(&piece)?;
        let mut checked = Verified::new(&bytes[..], self.digest.clone(), self.size);
        io::copy(&mut checked, &mut io::sink()).map_err(|error| read_failed(error).at(&self.path))?;
        Ok(bytes)
    }
}

fn find(files: &Files, path: &str) -> Result<Piece> {
    files.find(path)?.ok_or_else(|| bad("the image has no such file").at(path))
}
