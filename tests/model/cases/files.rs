//! The simulated files, as lock files and staging places ask for them.

use std::path::Path;

use storage_core::fs::{FileId, Files, Opening, Protocol};
use storage_core::lockfile::{Holder, LockFiles, Mode};
use storage_core::{Error, Result, Task};

use crate::explore::violate;
use crate::world::{Fault, LOCK_SUFFIX, Sim, SimFile, State};

fn os(call: &'static str, path: &Path, number: i32) -> Error {
    Error::os(call, path, std::io::Error::from_raw_os_error(number))
}

/// Fails unless a name can be made at `path`.
fn check_parent(state: &State, path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    if parent == Path::new("/") || state.at(parent).is_some_and(|node| node.directory) {
        return Ok(());
    }
    Err(os("open", path, libc::ENOENT))
}

fn check_free(state: &State, path: &Path) -> Result<()> {
    if state.names.contains_key(path) { Err(os("make", path, libc::EEXIST)) } else { check_parent(state, path) }
}

/// Gives `from` and all below it new names.
fn move_all(state: &mut State, from: &Path, to: &Path) {
    for path in state.below(from) {
        let target = path.strip_prefix(from).map(|rest| to.join(rest)).unwrap_or_default();
        // A path joined with nothing gets a slash, which makes no other name.
        let target = target.components().collect::<std::path::PathBuf>();
        if let Some(node) = state.names.get(&path).copied() {
            state.link(&target, node);
            state.unlink(&path);
        }
    }
}

/// The identity of what isn't compared.
const ANY: FileId = FileId { dev: 2, ino: 0 };

impl Sim {
    /// Whether a fault lets this lock be taken for the one at its path, whatever is there.
    fn is_not_compared(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match self.fault {
            Fault::LockFileNotCompared => name.ends_with(LOCK_SUFFIX),
            Fault::PlaceNotCompared => name.starts_with("lock-"),
            _ => false,
        }
    }
}

impl Files for Sim {
    type File = SimFile;

    fn descriptor<'f>(&self, _file: &'f SimFile) -> Option<std::os::fd::BorrowedFd<'f>> {
        None
    }

    fn open(&self, path: &Path, opening: Opening) -> Result<SimFile> {
        self.step()?;
        let mut state = self.universe.state();
        let node = match (state.names.get(path).copied(), opening) {
            (Some(_), Opening::NewLock) => return Err(os("open", path, libc::EEXIST)),
            (Some(node), _) => node,
            (None, _) => {
                check_parent(&state, path)?;
                state.make(path, false, Vec::new())
            }
        };
        Ok(self.opened(&mut state, node, path))
    }

    fn try_lock(&self, file: &SimFile, _path: &Path, protocol: Protocol, mode: Mode) -> Result<bool> {
        self.step()?;
        Ok(self.universe.state().try_lock(file.description, protocol, mode))
    }

    fn lock(&self, file: &SimFile, _path: &Path, protocol: Protocol, mode: Mode) -> Result<()> {
        self.wait_for(|state| state.try_lock(file.description, protocol, mode))
    }

    fn read_at(&self, file: &SimFile, _path: &Path, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.step()?;
        let state = self.universe.state();
        let bytes = state.nodes.get(&file.node).map_or(&[][..], |node| &node.bytes);
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_start(&self, file: &SimFile, _path: &Path, bytes: &[u8]) -> Result<()> {
        self.step()?;
        self.write_node(file.node, bytes);
        Ok(())
    }

    fn id_of(&self, file: &SimFile, path: &Path) -> Result<FileId> {
        self.step()?;
        if self.is_not_compared(path) {
            return Ok(ANY);
        }
        let state = self.universe.state();
        let number = state.nodes.get(&file.node).map(|node| node.number);
        Ok(FileId { dev: 1, ino: number.ok_or_else(|| Self::no_such(path))? })
    }

    fn id_at(&self, path: &Path) -> Result<Option<FileId>> {
        self.step()?;
        if self.is_not_compared(path) {
            return Ok(Some(ANY));
        }
        Ok(self.universe.state().at(path).map(|node| FileId { dev: 1, ino: node.number }))
    }

    fn names(&self, directory: &Path) -> Result<Vec<String>> {
        self.step()?;
        let state = self.universe.state();
        let inside = state.names.keys().filter(|path| path.parent() == Some(directory));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn make_directory(&self, path: &Path) -> Result<()> {
        self.step()?;
        let mut state = self.universe.state();
        check_free(&state, path)?;
        state.make(path, true, Vec::new());
        Ok(())
    }

    fn make_directories(&self, path: &Path) -> Result<()> {
        self.step()?;
        let mut state = self.universe.state();
        let missing: Vec<_> = path.ancestors().filter(|above| *above != Path::new("/")).collect();
        for above in missing.into_iter().rev() {
            if !state.names.contains_key(above) {
                state.make(above, true, Vec::new());
            }
        }
        Ok(())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> Result<()> {
        self.step()?;
        let mut state = self.universe.state();
        if !state.names.contains_key(from) {
            return Err(os("rename", from, libc::ENOENT));
        }
        check_free(&state, to)?;
        move_all(&mut state, from, to);
        Ok(())
    }

    fn exchange(&self, one: &Path, other: &Path) -> Result<()> {
        self.step()?;
        let mut state = self.universe.state();
        if !state.names.contains_key(one) || !state.names.contains_key(other) {
            return Err(os("exchange", one, libc::ENOENT));
        }
        let between = Path::new("/exchange");
        move_all(&mut state, one, between);
        move_all(&mut state, other, one);
        move_all(&mut state, between, other);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.step()?;
        if self.universe.state().unlink(path) { Ok(()) } else { Err(os("unlink", path, libc::ENOENT)) }
    }

    fn remove_tree(&self, path: &Path, _task: &Task) -> Result<()> {
        loop {
            self.step()?;
            let Some(last) = self.universe.state().below(path).pop() else { return Ok(()) };
            if self.is_viewed_at(path) {
                violate(format!("{} is deleted while it is viewed", path.display()));
            }
            self.universe.state().unlink(&last);
        }
    }

    fn is_viewed(&self, path: &Path) -> Result<bool> {
        self.step()?;
        Ok(self.is_viewed_at(path))
    }

    fn clear_marks(&self, _path: &Path) -> bool {
        false
    }

    fn fresh_name(&self) -> Result<String> {
        self.step()?;
        Ok(self.universe.state().fresh().to_string())
    }
}

impl LockFiles for Sim {
    fn holders(&self, _file: &SimFile, _wanted: Mode) -> Vec<Holder> {
        Vec::new()
    }
}
