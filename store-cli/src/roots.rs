//! Whom the command works for, and paths as it is given them.

use std::path::{Path, PathBuf};

use storage_core::config::Environment;
use storage_core::{Error, Result};

use crate::userns;

/// The environment of this process, for the user that it works for: also inside a user namespace that was entered for an
/// ordinary user, that user.
pub(crate) fn environment() -> Environment {
    Environment::of_process(userns::ordinary_user().unwrap_or(0))
}

/// `path` from the root of the filesystem on.
pub(crate) fn absolute(path: impl AsRef<Path>) -> Result<PathBuf> {
    let path = path.as_ref();
    std::path::absolute(path).map_err(|source| Error::os("find current directory for", path, source))
}
