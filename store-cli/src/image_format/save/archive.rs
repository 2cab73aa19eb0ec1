//! A layout as a tar archive. Equal images give equal archives.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use storage_core::archive::tar::{Entry, EntryKind, Time};
use storage_core::archive::write::TarWriter;
use storage_core::{Error, Result, Task};

use super::{Fetch, Fitted, Outgoing, directory, fetch_checked, fitted, index};
use crate::image_format::{Digest, oci};

/// How much is written at a time.
const BUFFER: usize = 128 * 1024;

/// Writes images to the file `path`, which is replaced at the end; a pipe or device there is written to.
pub(crate) fn write_archive_file(path: &Path, images: &[Outgoing], fetch: &mut Fetch<'_>, task: &Task) -> Result<()> {
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        let opened = OpenOptions::new().write(true).open(path);
        let mut pipe = opened.map_err(|source| Error::os("open", path, source))?;
        return write_archive(&mut pipe, images, fetch, task);
    }
    directory::replace(path, |file| write_archive(file, images, fetch, task))
}

/// Writes images to `output`. When it fails, what was written has no end and is of no use.
pub(crate) fn write_archive(
    output: &mut dyn Write,
    images: &[Outgoing],
    fetch: &mut Fetch<'_>,
    task: &Task,
) -> Result<()> {
    let images = fitted(images)?;
    let mut tar = TarWriter::new(BufWriter::with_capacity(BUFFER, output));
    put(&mut tar, oci::MARK, index::MARK)?;
    put(&mut tar, oci::INDEX, &index::updated(None, &images)?)?;
    for name in ["blobs/", "blobs/sha256/"] {
        tar.entry(&entry(EntryKind::Directory, name, 0))?;
    }
    let mut written = BTreeSet::new();
    for image in &images {
        put_image(&mut tar, image, &mut written, fetch, task)?;
    }
    tar.finish()?.flush().map_err(storage_core::archive::compression::write_failed)
}

fn put_image<'a, W: Write>(
    tar: &mut TarWriter<W>,
    image: &'a Fitted<'_>,
    written: &mut BTreeSet<&'a Digest>,
    fetch: &mut Fetch<'_>,
    task: &Task,
) -> Result<()> {
    for document in [&image.manifest, &image.config] {
        if written.insert(&document.digest) {
            put(tar, &document.digest.path(), &document.bytes)?;
        }
    }
    for layer in image.layers {
        if written.insert(&layer.digest) {
            tar.entry(&entry(EntryKind::Regular, &layer.digest.path(), layer.size))?;
            fetch_checked(layer, &mut Data(tar), fetch, task)?;
        }
    }
    Ok(())
}

fn put<W: Write>(tar: &mut TarWriter<W>, name: &str, bytes: &[u8]) -> Result<()> {
    tar.entry(&entry(EntryKind::Regular, name, bytes.len() as u64))?;
    tar.data(bytes)
}

/// The data of the current member.
struct Data<'a, W>(&'a mut TarWriter<W>);

impl<W: Write> Write for Data<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.data(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn entry(kind: EntryKind, name: &str, size: u64) -> Entry {
    Entry {
        kind,
        name: name.as_bytes().to_vec(),
        link: Vec::new(),
        mode: if kind == EntryKind::Directory { 0o755 } else { 0o644 },
        uid: 0,
        gid: 0,
        size,
        stored: size,
        mtime: Time::default(),
        atime: None,
        device: (0, 0),
        xattrs: Vec::new(),
        sparse: None,
    }
}
