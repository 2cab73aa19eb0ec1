//! Filling a staged layer: what it starts from, an archive, a flush. No store lock is held meanwhile (R6).

use std::fmt;
use std::io::{BufWriter, Read};
use std::os::fd::AsFd;

use super::Store;
use super::create::NewLayer;
use super::layers::Layer;
use super::options::Durability;
use crate::archive::{Compression, Ending, Ingest, Ingested, ingest};
use crate::driver::{Refusals, RootFrom, Staged};
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::TempDir;
use crate::locks::ThreadKey;
use crate::mount::in_user_namespace;
use crate::task::Task;

/// What goes into a staged layer beyond what it starts from.
pub(super) enum Content<'a> {
    /// Nothing.
    None,
    /// An archive.
    Archive(Box<dyn Read + Send + 'a>),
    /// An archive of which it is known what it must be.
    Known(Box<dyn Read + Send + 'a>, Digests<'a>),
}

/// What an archive must be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digests<'a> {
    /// The digest of its bytes as they are read.
    pub(super) blob: &'a str,
    /// Its digest without compression.
    pub(super) diff: &'a str,
}

/// A staged layer that is complete and, as far as the store promises it, on disk.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) staged: Box<dyn Staged>,
    pub(super) tar_split: Option<TarSplit>,
    ingested: Option<Ingested>,
}

/// A tar-split file in staging.
#[derive(Debug)]
pub(super) struct TarSplit {
    pub(super) place: TempDir,
    pub(super) name: String,
}

impl Store {
    /// Makes a layer and fills it with `archive`, compressed or not. Returns it with the size of its uncompressed archive.
    ///
    /// As [`Store::create_layer`]; besides fails with [`crate::Kind::BadArchive`] or [`crate::Kind::Escape`] for an archive
    /// that is damaged or leads out of the layer.
    pub fn import_layer(
        &self,
        key: &mut ThreadKey,
        new: &NewLayer,
        archive: impl Read + Send,
        task: &Task,
    ) -> Result<(Layer, i64)> {
        let _purpose = crate::record::purpose("import layer");
        self.make(key, new, Content::Archive(Box::new(archive)), task)
    }

    /// Fills `staged` with what it starts from and with `content`, and flushes it.
    pub(super) fn fill(&self, mut staged: Box<dyn Staged>, content: Content<'_>, task: &Task) -> Result<Filled> {
        staged.fill(task)?;
        let (tar_split, ingested) = match content {
            Content::None => (None, None),
            Content::Archive(archive) => {
                let (tar_split, ingested) = self.extract(&*staged, archive, Ending::Required, task)?;
                (Some(tar_split), Some(ingested))
            }
            Content::Known(archive, digests) => {
                let (tar_split, ingested) = self.extract(&*staged, archive, Ending::Optional, task)?;
                digests.check(&ingested)?;
                (Some(tar_split), Some(ingested))
            }
        };
        self.flush(&*staged)?;
        Ok(Filled { staged, tar_split, ingested })
    }

    /// Puts what is staged on disk, as far as the store promises it.
    pub(super) fn flush(&self, staged: &dyn Staged) -> Result<()> {
        if self.durability == Durability::None {
            return Ok(());
        }
        let root = staged.root()?;
        rustix::fs::syncfs(&root).os("syncfs", &self.places.graph_root)
    }

    fn extract(
        &self,
        staged: &dyn Staged,
        archive: Box<dyn Read + Send + '_>,
        ending: Ending,
        task: &Task,
    ) -> Result<(TarSplit, Ingested)> {
        let tar_split = TarSplit { place: self.side_places().create()?, name: "tar-split.gz".to_owned() };
        let path = tar_split.place.path().join(&tar_split.name);
        let file = {
            use std::os::unix::fs::OpenOptionsExt;
            std::fs::File::options().create_new(true).write(true).mode(0o600).open(&path).os("open", &path)?
        };
        let root = staged.root()?;
        let to_flush = file.try_clone().os("dup", &path)?;
        let options = Ingest {
            tar_split: Some(Box::new(BufWriter::with_capacity(1 << 16, file))),
            maps: staged.maps().clone(),
            ignore_chown_errors: staged.refusals() == Refusals::Ignored,
            in_user_ns: in_user_namespace(),
            ending,
            ..Ingest::new(staged.whiteouts())
        };
        let ingested = ingest(archive, root.as_fd(), options, task)
            .map_err(|error| error.remedy("check the archive with `tar tf`; the store is as before"))?;
        // It may stand on another filesystem than the layer does.
        if self.durability != Durability::None {
            to_flush.sync_data().os("fdatasync", &path)?;
        }
        Ok((tar_split, ingested))
    }
}

impl Digests<'_> {
    fn check(&self, found: &Ingested) -> Result<()> {
        let differs = |what: &str, found: &str, wanted: &str| {
            Err(Error::new(Kind::BadArchive, "import layer").detail(format!("{what} {found}, not {wanted}")))
        };
        if found.diff_digest != self.diff {
            return differs("its archive without compression has the digest", &found.diff_digest, self.diff);
        }
        if found.compressed_digest != self.blob {
            return differs("its archive has the digest", &found.compressed_digest, self.blob);
        }
        Ok(())
    }
}

impl Filled {
    /// The size of the uncompressed archive, -1 without one.
    pub(super) fn size(&self) -> i64 {
        self.ingested.as_ref().map_or(-1, |ingested| ingested.diff_size)
    }

    /// Where the root's owner and mode come from.
    pub(super) fn root_owner(&self) -> RootFrom {
        match &self.ingested {
            Some(ingested) if ingested.has_root => RootFrom::Archive,
            _ => RootFrom::Parent,
        }
    }

    /// Writes into `layer` what the archive was; returns the size of the uncompressed archive, -1 without one.
    pub(super) fn describe(&self, layer: &mut Layer) -> i64 {
        let Some(ingested) = &self.ingested else { return -1 };
        layer.compressed_digest.clone_from(&ingested.compressed_digest);
        layer.compressed_size = ingested.compressed_size;
        layer.diff_digest.clone_from(&ingested.diff_digest);
        layer.diff_size = ingested.diff_size;
        layer.compression = Compression::code(ingested.compression);
        layer.uids.clone_from(&ingested.uids);
        layer.gids.clone_from(&ingested.gids);
        ingested.diff_size
    }
}

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Content::None => "None",
            Content::Archive(_) => "Archive",
            Content::Known(..) => "Known",
        })
    }
}
