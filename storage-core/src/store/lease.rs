//! Leases: layers that somebody is about to use, kept from being deleted between the steps of a load or a build.
//!
//! ```text
//! GRAPHROOT/<driver>-layers/lamina-lease-X   0600   one line a layer, after a line with the version; held by flock
//! ```
//!
//! A lease lives as long as its process holds it; one that nobody holds is removed by the next holder of the layers. The
//! reference knows nothing of leases: what it deletes is gone, and whoever leased it is told when they use it.
#![allow(clippy::disallowed_methods, reason = "leases are files that only Lamina knows")]

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::Store;
use crate::error::{Kind, OsContext, Result};
use crate::fs::FileId;
use crate::ids::random_name;
use crate::locks::ThreadKey;

/// What the names of leases begin with.
pub(super) const PREFIX: &str = "lamina-lease-";
/// The first line of a lease.
const VERSION: &str = "1";

/// Layers that Lamina doesn't delete while this value lives.
#[derive(Debug)]
#[must_use = "the layers are kept only while the lease lives"]
pub struct Lease<'s> {
    store: &'s Store,
    file: File,
    path: PathBuf,
}

impl Store {
    /// Begins a lease of no layers.
    pub fn lease(&self) -> Result<Lease<'_>> {
        let home = self.layers_home();
        loop {
            let path = home.join(format!("{PREFIX}{}", random_name(b"0123456789", 12)?));
            let made = File::options().create_new(true).append(true).read(true).mode(0o600).open(&path);
            let mut file = made.os("open", &path)?;
            fs2::FileExt::try_lock_exclusive(&file).os("flock", &path)?;
            // Whoever looked between the two took it for a dead one's and removed it.
            if FileId::of_path(&path)? == Some(FileId::of_fd(&file, &path)?) {
                writeln!(file, "{VERSION}").os("write", &path)?;
                return Ok(Lease { store: self, file, path });
            }
        }
    }

    /// The layers that living processes lease. The layers are held for writing: leases of the dead are removed.
    pub(super) fn leased_layers(&self) -> Result<HashSet<String>> {
        let home = self.layers_home();
        let mut leased = HashSet::new();
        for entry in std::fs::read_dir(&home).os("read directory", &home)? {
            let entry = entry.os("read directory", &home)?;
            if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
                continue;
            }
            let path = entry.path();
            let opened = File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(&path);
            let Ok(mut file) = opened else { continue };
            if fs2::FileExt::try_lock_exclusive(&file).is_ok() {
                let _ = std::fs::remove_file(&path);
                continue;
            }
            let mut text = String::new();
            file.read_to_string(&mut text).os("read", &path)?;
            leased.extend(text.lines().skip(1).map(str::to_owned));
        }
        Ok(leased)
    }
}

impl Lease<'_> {
    /// Keeps the layer called `wanted` as well. Holds `layers.lock` shared, so that it is there when it is noted. Fails with
    /// [`Kind::LayerUnknown`]; layers of additional stores need no lease. Returns the layer's id.
    pub fn keep(&mut self, key: &mut ThreadKey, wanted: &str) -> Result<String> {
        let (guard, _key) = self.store.layers.read(key, &self.store.wait)?;
        let layer = match guard.table().resolve(wanted, "lease layer") {
            Ok(layer) => layer,
            Err(error) if error.kind() == Kind::LayerUnknown => {
                return Ok(self.store.sight()?.layer(wanted, "lease layer")?.1.id.clone());
            }
            Err(error) => return Err(error),
        };
        writeln!(self.file, "{}", layer.id).os("write", &self.path)?;
        Ok(layer.id.clone())
    }
}

impl Drop for Lease<'_> {
    /// What can't be removed is removed by the next holder of the layers.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
