//! Renames that replace: the one door to them.
#![allow(clippy::disallowed_methods, reason = "this is the one door to them")]

use std::path::Path;

use crate::error::{OsContext, Result};

/// Renames `from` over `to`, so that `to` is the former or the new file at every moment.
pub fn rename_over(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).os("rename", from).map_err(|error| error.detail(format!("to {}", to.display())))
}
