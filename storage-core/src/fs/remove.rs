//! Removal of trees: the one place that deletes below a directory.

use std::path::Path;

use crate::error::{OsContext, Result};
use crate::task::Task;

/// Deletes `path` and everything below it, never through a link. Nothing there is no error.
pub fn remove_tree(path: &Path, task: &Task) -> Result<()> {
    task.step(0, 0)?;
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path).os("remove tree", path),
        Ok(_) => std::fs::remove_file(path).os("unlink", path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).os("lstat", path),
    }
}
