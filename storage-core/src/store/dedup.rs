//! Files that are the same in several layers, made to share their blocks.
//!
//! The kernel does it (`FIDEDUPERANGE`), and only after it has compared the bytes itself, under its own locks: whatever is
//! mistaken here, no content changes. Where the filesystem can't share blocks, nothing is done.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType};

use super::Store;
use super::big_data::copy_hashed;
use crate::driver::PinnedDir;
use crate::error::{Kind, OsContext, Result};
use crate::fs::beneath::{self, Links};
use crate::fs::{FileId, Ladder, entries};
use crate::locks::ThreadKey;
use crate::sys::dedupe;
use crate::task::Task;

/// How files that may be the same are found, before the kernel compares them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DedupBy {
    /// By size alone.
    Size,
    /// By size and a checksum.
    Crc,
    /// By size and SHA-256.
    #[default]
    Sha256,
}

/// What was shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DedupReport {
    /// Bytes that are stored once now and were stored twice.
    pub bytes: u64,
    /// Files whose blocks are shared now.
    pub files: u64,
    /// Whether the filesystem can share blocks at all.
    pub supported: bool,
}

/// Files smaller than a block share nothing.
const LEAST: u64 = 4096;

/// The own files of a layer, on the filesystem itself: a read-only sight would keep the kernel from sharing.
struct Tree {
    pin: PinnedDir,
}

/// A file of some layer: which layer, and where in it.
struct Candidate {
    layer: usize,
    path: PathBuf,
}

impl Store {
    /// Makes files that are the same in layers share their blocks. No content changes, and none is believed: the kernel
    /// compares what it shares. Holds `layers.lock` shared for a moment for each layer, no lock while files are read.
    pub fn dedup(&self, key: &mut ThreadKey, by: DedupBy, task: &Task) -> Result<DedupReport> {
        let _purpose = crate::record::purpose("dedup");
        let supported = crate::fs::probe::has_reflink(
            &self.gate.name_directories(crate::driver::Home::Own)?.first().cloned().unwrap_or_default(),
        );
        let mut report = DedupReport { supported, ..DedupReport::default() };
        if !supported {
            return Ok(report);
        }
        let trees = self.trees_of_layers(key)?;
        let mut by_size: BTreeMap<u64, Vec<Candidate>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for (layer, tree) in trees.iter().enumerate() {
            gather(layer, tree, &mut by_size, &mut seen, task)?;
        }
        for (size, candidates) in by_size.into_iter().filter(|(_, candidates)| candidates.len() > 1) {
            for group in alike(&trees, candidates, by, task)? {
                share(&trees, &group, size, &mut report, task)?;
            }
        }
        Ok(report)
    }

    /// The own files of every layer that can be read.
    fn trees_of_layers(&self, key: &mut ThreadKey) -> Result<Vec<Tree>> {
        let ids: Vec<String> = self.layers()?.iter().map(|layer| layer.id.clone()).collect();
        let mut trees = Vec::new();
        for id in ids {
            let (guard, _key) = self.layers.read(key, &self.wait)?;
            let Some(layer) = guard.table().get(&id) else { continue };
            let Ok(id) = layer.layer_id() else { continue };
            let Some(path) = self.gate.own_directory(&id, layer.home())? else { continue };
            match PinnedDir::open(path) {
                Ok(pin) => trees.push(Tree { pin }),
                // `check` tells what is wrong with it.
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Changed) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(trees)
    }
}

/// Those of one size that seem to be the same, in groups.
fn alike(trees: &[Tree], candidates: Vec<Candidate>, by: DedupBy, task: &Task) -> Result<Vec<Vec<Candidate>>> {
    if by == DedupBy::Size {
        return Ok(vec![candidates]);
    }
    let mut groups: HashMap<String, Vec<Candidate>> = HashMap::new();
    for candidate in candidates {
        task.step(0, 1)?;
        let Some(mut file) = open(trees, &candidate)? else { continue };
        let hash = if by == DedupBy::Crc { crc(&mut file)? } else { copy_hashed(&mut file, std::io::sink())?.0 };
        groups.entry(hash).or_default().push(candidate);
    }
    Ok(groups.into_values().filter(|group| group.len() > 1).collect())
}

/// Notes the files of a layer by their size; a file of several names once.
fn gather(
    layer: usize,
    tree: &Tree,
    by_size: &mut BTreeMap<u64, Vec<Candidate>>,
    seen: &mut HashSet<FileId>,
    task: &Task,
) -> Result<()> {
    let root = beneath::open_dir(tree.pin.as_fd(), Path::new(""), Links::Refuse)?;
    let mut ladder = Ladder::new(root, tree.pin.path())?;
    let mut here = PathBuf::new();
    let mut pending: Vec<Vec<(OsString, FileType)>> = vec![entries(ladder.here(), &here)?];
    while let Some(names) = pending.last_mut() {
        let Some((name, _)) = names.pop() else {
            pending.pop();
            if ladder.ascend()?.is_some() {
                here.pop();
            }
            continue;
        };
        task.step(0, 1)?;
        let Ok(stat) = rustix::fs::statat(ladder.here(), &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if ladder.descend(&name).is_ok() => {
                here.push(&name);
                pending.push(entries(ladder.here(), &ladder.path_of(OsStr::new(".")))?);
            }
            FileType::RegularFile
                if stat.st_size as u64 >= LEAST && seen.insert(FileId { dev: stat.st_dev, ino: stat.st_ino }) =>
            {
                by_size.entry(stat.st_size as u64).or_default().push(Candidate { layer, path: here.join(&name) });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Shares the blocks of the first file with all others of a group.
fn share(trees: &[Tree], group: &[Candidate], size: u64, report: &mut DedupReport, task: &Task) -> Result<()> {
    let mut files = group.iter();
    let Some(first) = files.next() else { return Ok(()) };
    let Some(source) = open(trees, first)? else { return Ok(()) };
    for candidate in files {
        let Some(target) = open(trees, candidate)? else { continue };
        task.step(size, 1)?;
        // On another filesystem the kernel shares nothing. Which one a file is on it knows best: each subvolume of a btrfs has
        // a number of its own.
        let shared = dedupe::dedupe(source.as_fd(), target.as_fd(), size).unwrap_or(0);
        if shared > 0 {
            report.bytes += shared;
            report.files += 1;
        }
    }
    Ok(())
}

fn open(trees: &[Tree], candidate: &Candidate) -> Result<Option<File>> {
    let Some(tree) = trees.get(candidate.layer) else { return Ok(None) };
    match beneath::open_file(tree.pin.as_fd(), &candidate.path, Links::Refuse) {
        Ok(file) => Ok(Some(file)),
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Escape | Kind::Permission) => Ok(None),
        Err(error) => Err(error),
    }
}

fn crc(file: &mut File) -> Result<String> {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(digest.finalize().to_string()),
            Ok(length) => digest.update(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).os("read", ""),
        }
    }
}
