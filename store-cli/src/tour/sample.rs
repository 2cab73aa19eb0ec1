//! The layer that the tour imports: an archive that was named, or one made from documentation of this machine.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use storage_core::error::OsContext;
use storage_core::{Error, Kind, Result, Task};

use crate::app::Context;
use crate::engine;
use crate::work::size;

/// Trees that most machines have, which anybody may read and nobody minds to be read.
const TREES: &[&str] = &[
    "/usr/share/doc",
    "/usr/share/man",
    "/usr/share/perl",
    "/usr/lib/python3",
    "/usr/share/locale",
    "/usr/share",
    "/usr/lib",
];

/// When this much is packed, no further file is.
const ENOUGH: u64 = 32 << 20;

/// An archive to import.
#[derive(Debug)]
pub(crate) struct Sample {
    /// The file.
    pub(crate) path: PathBuf,
    /// Where it came from, in words.
    pub(crate) origin: String,
    /// The digest of what it holds uncompressed, as the store records it.
    pub(crate) digest: String,
    /// The size of that, in bytes.
    pub(crate) size: u64,
}

impl Sample {
    /// Takes the archive that `--layer` names, or makes one in `scratch`.
    pub(crate) fn take(context: &Context, scratch: &Path) -> Result<Self> {
        let work = context.work("prepare layer");
        let (path, origin) = if let Some(file) = context.flags.value("--layer") {
            (PathBuf::from(file), format!("{file}, as it was given"))
        } else {
            let path = scratch.join("layer.tar");
            let packed = pack(&path, &work.task)?;
            (path, format!("a tar archive of {}", packed.join(", ")))
        };
        let file = File::open(&path).os("open", &path)?;
        let mut hasher = Sha256::new();
        let mut reader = engine::decompressed(file)?;
        let size = copy(&mut reader, &mut hasher, &work.task).map_err(|error| error.at(&path))?;
        Ok(Sample { path, origin, digest: digest_text(hasher), size })
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({ "origin": self.origin, "digest": self.digest, "size": self.size })
    }

    /// One line about it.
    pub(crate) fn text(&self) -> String {
        format!("{}: {}, {}", self.origin, size(self.size), self.digest)
    }
}

/// A digest as records have it.
pub(crate) fn digest_text(hasher: Sha256) -> String {
    format!("sha256:{:x}", hasher.finalize())
}

fn copy(from: &mut dyn Read, to: &mut dyn Write, task: &Task) -> Result<u64> {
    let mut buffer = vec![0; 1 << 16];
    let mut total = 0;
    loop {
        let count = from.read(&mut buffer).map_err(|source| {
            Error::new(Kind::BadArchive, "read layer").because(source).remedy("name a tar archive, compressed or not")
        })?;
        if count == 0 {
            return Ok(total);
        }
        to.write_all(&buffer[..count]).os("write", "copy of the layer")?;
        task.step(count as u64, 0)?;
        total += count as u64;
    }
}

/// Packs trees of this machine until it is enough. Returns which.
fn pack(path: &Path, task: &Task) -> Result<Vec<&'static str>> {
    let file = File::create_new(path).os("create", path)?;
    let mut packer = Packer { out: BufWriter::new(file), written: 0, links: HashMap::new(), task };
    let mut packed = Vec::new();
    for tree in TREES {
        let before = packer.written;
        if before < ENOUGH && Path::new(tree).is_dir() && !packed.iter().any(|&done| Path::new(done).starts_with(tree))
        {
            packer.tree(Path::new(tree))?;
            if packer.written > before {
                packed.push(*tree);
            }
        }
    }
    packer.out.write_all(&[0; 1024]).and_then(|()| packer.out.flush()).os("write", path)?;
    Ok(packed)
}

/// Writes tar entries: directories, files, hard links and symbolic links, all owned by root.
struct Packer<'a> {
    out: BufWriter<File>,
    written: u64,
    links: HashMap<(u64, u64), Vec<u8>>,
    task: &'a Task,
}

impl Packer<'_> {
    /// Packs `path` and what is below it, sorted. What can't be read is left out.
    fn tree(&mut self, path: &Path) -> Result<()> {
        let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
        if self.written >= ENOUGH {
            return Ok(());
        }
        self.task.step(0, 1)?;
        let name = path.strip_prefix("/").unwrap_or(path).as_os_str().as_bytes().to_vec();
        if metadata.is_symlink() {
            let Ok(target) = std::fs::read_link(path) else { return Ok(()) };
            return self.header(&metadata, &name, b'2', 0, target.as_os_str().as_bytes()).os("write", path);
        }
        if metadata.is_file() {
            return self.file(path, &metadata, name);
        }
        if !metadata.is_dir() {
            return Ok(());
        }
        let Ok(entries) = std::fs::read_dir(path) else { return Ok(()) };
        self.header(&metadata, &[&name[..], b"/"].concat(), b'5', 0, b"").os("write", path)?;
        let mut below: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        below.sort();
        below.iter().try_for_each(|path| self.tree(path))
    }

    fn file(&mut self, path: &Path, metadata: &std::fs::Metadata, name: Vec<u8>) -> Result<()> {
        let inode = (metadata.dev(), metadata.ino());
        if let Some(first) = self.links.get(&inode).cloned() {
            return self.header(metadata, &name, b'1', 0, &first).os("write", path);
        }
        let Ok(content) = std::fs::read(path) else { return Ok(()) };
        self.header(metadata, &name, b'0', content.len() as u64, b"").os("write", path)?;
        let padding = vec![0; (512 - content.len() % 512) % 512];
        self.out.write_all(&content).and_then(|()| self.out.write_all(&padding)).os("write", path)?;
        self.written += content.len() as u64;
        self.task.step(content.len() as u64, 0)?;
        if metadata.nlink() > 1 {
            self.links.insert(inode, name);
        }
        Ok(())
    }

    /// One header block, behind GNU's long-name entries where a name is longer than a block holds.
    fn header(
        &mut self,
        metadata: &std::fs::Metadata,
        name: &[u8],
        kind: u8,
        size: u64,
        link: &[u8],
    ) -> io::Result<()> {
        for (long, kind) in [(link, b'K'), (name, b'L')] {
            if long.len() > 100 {
                let block = block(b"././@LongLink", 0o644, 0, kind, long.len() as u64 + 1, b"");
                self.out.write_all(&block)?;
                self.out.write_all(long)?;
                self.out.write_all(&vec![0; 512 - long.len() % 512])?;
            }
        }
        let mode = metadata.permissions().mode() & 0o7777;
        let mtime = metadata.mtime().max(0) as u64;
        self.out.write_all(&block(name, mode, mtime, kind, size, link))
    }
}

/// A header block in GNU form.
fn block(name: &[u8], mode: u32, mtime: u64, kind: u8, size: u64, link: &[u8]) -> [u8; 512] {
    let mut block = [0_u8; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name[..name.len().min(100)]);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, format!("{mtime:011o}").as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(157, &link[..link.len().min(100)]);
    put(257, b"ustar  \0");
    put(265, b"root");
    put(297, b"root");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
