//! Writing OCI image layouts, as a directory or as a tar archive.
//!
//! ```text
//! oci-layout            {"imageLayoutVersion": "1.0.0"}
//! index.json            one entry for each name of each image; written last in a directory
//! blobs/sha256/HEX      manifests, configs and layers
//! ```
//!
//! * Nothing half-written stands at a final name: files and new directories are written beside it and renamed.
//! * An image that is written to a directory with a layout is added; an entry of the same name goes.
//! * A blob that is there with the right size is not written again.
//! * Layers are checked while they are written: a wrong digest or size ends the work before the index speaks of them.
//! * One writer at a time may add to a layout; of two at once, the index of one may be lost.

mod archive;
mod compressed;
mod directory;
mod index;
mod rewrite;

pub(crate) use archive::{write_archive, write_archive_file};
pub(crate) use compressed::Compressed;
pub(crate) use directory::write_directory;

use std::io::{self, Write};

use storage_core::archive::Compression;
use storage_core::{Error, Kind, Result, Task};

use super::Digest;
use super::digest::hasher;

/// An image to be written.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// Complete names; none for an image that is found by its digest only.
    pub(crate) names: Vec<String>,
    /// Its manifest as the store has it. It is written unchanged if it is an OCI manifest that fits the layers; else one
    /// is made that does, of the OCI's types.
    pub(crate) manifest: Vec<u8>,
    /// The config, which is written as it is.
    pub(crate) config: Vec<u8>,
    /// The layers as they will be written, from the bottom up.
    pub(crate) layers: Vec<OutgoingLayer>,
}

/// A layer as it will be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutgoingLayer {
    /// The digest of what is written.
    pub(crate) digest: Digest,
    /// The size of what is written.
    pub(crate) size: u64,
    /// Its compression.
    pub(crate) compression: Compression,
}

/// Writes the data of a layer to the writer it is given. It is called once for each blob that has to be written.
pub(crate) type Fetch<'a> = dyn FnMut(&OutgoingLayer, &mut dyn Write) -> Result<()> + 'a;

/// A small blob.
#[derive(Clone, Debug)]
struct Document {
    digest: Digest,
    bytes: Vec<u8>,
}

/// An image whose manifest fits its layers.
#[derive(Clone, Debug)]
struct Fitted<'a> {
    names: &'a [String],
    manifest: Document,
    config: Document,
    layers: &'a [OutgoingLayer],
}

impl Document {
    fn new(bytes: Vec<u8>) -> Result<Self> {
        Ok(Document { digest: Digest::of(&bytes)?, bytes })
    }
}

impl Outgoing {
    fn fitted(&self) -> Result<Fitted<'_>> {
        let config = Document::new(self.config.clone())?;
        let manifest = rewrite::fit(&self.manifest, &config, &self.layers)?;
        Ok(Fitted { names: &self.names, manifest: Document::new(manifest)?, config, layers: &self.layers })
    }
}

/// Makes all manifests fit, before anything is written.
fn fitted(images: &[Outgoing]) -> Result<Vec<Fitted<'_>>> {
    if images.is_empty() {
        return Err(Error::new(Kind::Usage, "write image").detail("no image is given"));
    }
    images.iter().map(Outgoing::fitted).collect()
}

/// Passes on what is written to it, hashes it, and heeds the wish to stop. Whoever fetches counts the bytes as work.
struct Checked<'a, W> {
    output: &'a mut W,
    hasher: storage_core::archive::HashingWriter<io::Sink>,
    left: u64,
    task: &'a Task,
}

impl<W: Write> Write for Checked<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::Error::other(wrong("it is longer than its size says")));
        }
        let length = self.output.write(bytes)?;
        self.hasher.write_all(&bytes[..length])?;
        self.left -= length as u64;
        self.task.step(0, 0).map_err(io::Error::other)?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Fetches a layer into `output`, and makes sure that it is what it must be.
fn fetch_checked<W: Write>(layer: &OutgoingLayer, output: &mut W, fetch: &mut Fetch<'_>, task: &Task) -> Result<()> {
    let mut checked = Checked { output, hasher: hasher(), left: layer.size, task };
    let about = |error: Error| error.detail(format!("in the layer {}", layer.digest));
    fetch(layer, &mut checked).map_err(about)?;
    if checked.left > 0 {
        return Err(about(wrong("it is shorter than its size says")));
    }
    let (_, digest, _) = checked.hasher.finish();
    if digest != layer.digest.as_str() {
        return Err(about(wrong(&format!("its data has the digest {digest}"))));
    }
    Ok(())
}

fn wrong(detail: &str) -> Error {
    Error::new(Kind::Changed, "write image").detail(detail)
}
