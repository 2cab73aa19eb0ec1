//! From a source to the images in it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage_core::archive::Compression;
use storage_core::archive::compression::DETECT;
use storage_core::archive::tar::looks_like_header;
use storage_core::{Error, Result, Task};

use super::archive::Archive;
use super::directory::Directory;
use super::files::Files;
use super::{Image, bad, docker, oci, refused, spool};

/// Where images come from.
pub(crate) enum Source {
    /// A directory, an archive, or a pipe with a name.
    Path(PathBuf),
    /// Something that can be read once, such as standard input.
    Stream(Box<dyn Read + Send>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Source::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// Reads the manifests and configs of all images in `source`, and finds their layers.
///
/// What can't be read in place (a compressed archive, a stream) is copied into a file without a name in `place`, which
/// goes with the last of the images. Everything else is read where it is, and must stay there while the images are used.
pub(crate) fn read_images(source: Source, place: &Path, task: &Task) -> Result<Vec<Image>> {
    match source {
        Source::Stream(input) => from_archive(spool::spool(input, place, task)?, task),
        Source::Path(path) => from_path(&path, place, task).map_err(|error| match error.path() {
            Some(inner) if inner.starts_with(&path) => error,
            Some(inner) => {
                let inner = inner.display().to_string();
                error.detail(inner).at(&path)
            }
            None => error.at(&path),
        }),
    }
}

fn from_path(path: &Path, place: &Path, task: &Task) -> Result<Vec<Image>> {
    let metadata = std::fs::metadata(path).map_err(|source| Error::os("stat", path, source))?;
    if metadata.is_dir() {
        return from_directory(path, task);
    }
    let file = File::open(path).map_err(|source| Error::os("open", path, source))?;
    if !metadata.is_file() {
        return from_archive(spool::spool(file, place, task)?, task);
    }
    let head = head(&file).map_err(|source| Error::os("read", path, source))?;
    match Compression::detect(&head) {
        Compression::None if looks_like_header(&head) => from_archive(file, task),
        Compression::None => Err(spool::not_an_archive()),
        _ => from_archive(spool::spool(file, place, task)?, task),
    }
}

fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; DETECT];
    let mut have = 0;
    while have < head.len() {
        match file.read_at(&mut head[have..], have as u64)? {
            0 => break,
            length => have += length,
        }
    }
    head.truncate(have);
    Ok(head)
}

fn from_directory(path: &Path, task: &Task) -> Result<Vec<Image>> {
    let files = Arc::new(Files::Directory(Directory::open(path)?));
    if oci::is_layout(&files)? {
        return oci::read(&files, task);
    }
    if files.find(docker::MANIFEST)?.is_some() {
        return Err(refused("the directory has a manifest.json but no index.json: it is no OCI image layout")
            .remedy("a docker archive is read as the tar file that docker save wrote"));
    }
    Err(bad("the directory has no index.json: it is no OCI image layout"))
}

/// Docker writes archives that are both; the layout has the manifests as they were pulled.
fn from_archive(file: File, task: &Task) -> Result<Vec<Image>> {
    let files = Arc::new(Files::Archive(Archive::index(file, task)?));
    if oci::is_layout(&files)? {
        return oci::read(&files, task);
    }
    if files.find(docker::MANIFEST)?.is_some() {
        return docker::read(&files, task);
    }
    if files.find("repositories")?.is_some() {
        return Err(refused("it is a docker archive without manifest.json, from before docker 1.10"));
    }
    Err(bad("it is neither an OCI image layout (index.json) nor a docker archive (manifest.json)"))
}
