//! A layout as a directory.

use std::fs::{DirBuilder, Metadata, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use storage_core::fs::atomic::rename_over;
use storage_core::{Error, Kind, Result, Task};

use super::{Document, Fetch, Fitted, OutgoingLayer, fetch_checked, fitted, index};
use crate::image_format::directory::Directory;
use crate::image_format::files::Files;
use crate::image_format::{Digest, oci};

/// Adds images to the layout at `path`, which is made where there is none.
///
/// A new layout appears whole or not at all. Of one that was there, `index.json` changes last: when the work fails, the
/// layout has the images that it had, and perhaps blobs that none of them uses.
pub(crate) fn write_directory(
    path: &Path,
    images: &[super::Outgoing],
    fetch: &mut Fetch<'_>,
    task: &Task,
) -> Result<()> {
    let images = fitted(images)?;
    match existing(path)? {
        Existing::Nothing => write_new(path, &images, fetch, task),
        Existing::Empty => fill(path, None, &images, fetch, task),
        Existing::Layout(index) => fill(path, Some(&index), &images, fetch, task),
    }
}

enum Existing {
    Nothing,
    Empty,
    /// With its index.
    Layout(Vec<u8>),
}

fn existing(path: &Path) -> Result<Existing> {
    let mut entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Existing::Nothing),
        entries => entries.map_err(|source| Error::os("open directory", path, source))?,
    };
    if entries.next().is_none() {
        return Ok(Existing::Empty);
    }
    let files = Files::Directory(Directory::open(path)?);
    if files.find(oci::MARK)?.is_none() {
        return Err(Error::new(Kind::Usage, "write image")
            .at(path)
            .detail("the directory holds something else than an OCI image layout")
            .remedy("name a new or empty directory, or one with a layout"));
    }
    oci::check_mark(&files).map_err(|error| error.at(path))?;
    let index = files.find(oci::INDEX)?.map(|piece| crate::image_format::verify::read_document(&piece));
    Ok(index.transpose()?.map_or(Existing::Empty, Existing::Layout))
}

/// Writes a layout beside its place and moves it there.
fn write_new(path: &Path, images: &[Fitted<'_>], fetch: &mut Fetch<'_>, task: &Task) -> Result<()> {
    let parent = parent(path);
    let staged = tempfile::Builder::new()
        .prefix(".lamina-save-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in(parent)
        .map_err(|source| Error::os("make temporary directory", parent, source))?;
    fill(staged.path(), None, images, fetch, task)?;
    // A rename of a directory replaces an empty one at most; no flag for that is needed, which some filesystems lack.
    rename_over(staged.path(), path)?;
    // It has another name now; nothing is left to be removed.
    let _ = staged.keep();
    Ok(())
}

/// The directory that `path` stands in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn fill(top: &Path, old_index: Option<&[u8]>, images: &[Fitted<'_>], fetch: &mut Fetch<'_>, task: &Task) -> Result<()> {
    let index = index::updated(old_index, images)?;
    let blobs = make_directory(&top.join("blobs")).and_then(|blobs| make_directory(&blobs.join("sha256")))?;
    for image in images {
        for layer in image.layers {
            put_layer(&blobs, layer, fetch, task)?;
        }
        put_document(&blobs, &image.config)?;
        put_document(&blobs, &image.manifest)?;
    }
    replace(&top.join(oci::MARK), |file| write(file, index::MARK))?;
    replace(&top.join(oci::INDEX), |file| write(file, &index))
}

/// Makes a directory, or finds a real one.
fn make_directory(path: &Path) -> Result<PathBuf> {
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && is(path, Metadata::is_dir) => {}
        made => made.map_err(|source| Error::os("mkdir", path, source))?,
    }
    Ok(path.to_path_buf())
}

/// Whether something of this kind stands at `path` itself, which is no link to it.
fn is(path: &Path, kind: impl FnOnce(&Metadata) -> bool) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| kind(&metadata))
}

fn has(blobs: &Path, digest: &Digest, size: u64) -> bool {
    is(&blobs.join(digest.hex()), |metadata| metadata.is_file() && metadata.len() == size)
}

fn put_layer(blobs: &Path, layer: &OutgoingLayer, fetch: &mut Fetch<'_>, task: &Task) -> Result<()> {
    if has(blobs, &layer.digest, layer.size) {
        return Ok(());
    }
    replace(&blobs.join(layer.digest.hex()), |file| fetch_checked(layer, file, fetch, task))
}

fn put_document(blobs: &Path, document: &Document) -> Result<()> {
    if has(blobs, &document.digest, document.bytes.len() as u64) {
        return Ok(());
    }
    replace(&blobs.join(document.digest.hex()), |file| write(file, &document.bytes))
}

fn write(file: &mut std::fs::File, bytes: &[u8]) -> Result<()> {
    file.write_all(bytes).map_err(storage_core::archive::compression::write_failed)
}

/// Writes a file beside its place, flushes it, and moves it there.
pub(super) fn replace(path: &Path, write: impl FnOnce(&mut std::fs::File) -> Result<()>) -> Result<()> {
    let parent = parent(path);
    let staged = tempfile::Builder::new()
        .prefix(".lamina-save-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(parent)
        .map_err(|source| Error::os("make temporary file", parent, source))?;
    let (mut file, staged) = staged.into_parts();
    write(&mut file)?;
    file.sync_all().map_err(|source| Error::os("fsync", path, source))?;
    rename_over(&staged, path)?;
    // It has another name now; nothing is left to be removed.
    let _ = staged.keep();
    Ok(())
}
