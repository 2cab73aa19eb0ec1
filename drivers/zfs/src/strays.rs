//! Mount points that belong to no layer: a kill came between a mount point's making and its mount, and the layer went later.

use std::path::PathBuf;

use storage_core::error::{OsContext, Result};
use storage_core::mount::is_mount_root;

use crate::home::Home;

/// The mount points without a dataset. The caller holds the layers, so none is being made.
///
/// Where there is no dataset nothing is mounted in any namespace: taking the directory away unmounts nobody's layer.
pub(crate) fn strays(home: &Home) -> Result<Vec<PathBuf>> {
    let graph = home.mount_points();
    let entries = match std::fs::read_dir(&graph) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.os("read directory", &graph)?,
    };
    let listing = home.datasets.listing()?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.os("read directory", &graph)?;
        let has_dataset = entry.file_name().to_str().is_some_and(|name| listing.datasets.contains_key(name));
        if !has_dataset && entry.file_type().is_ok_and(|kind| kind.is_dir()) && !is_mount_root(&entry.path())? {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Takes them away, but for those that hold something. Returns how many went.
pub(crate) fn remove_strays(home: &Home) -> Result<u64> {
    let removed = strays(home)?.iter().filter(|path| std::fs::remove_dir(path).is_ok()).count();
    Ok(removed as u64)
}
