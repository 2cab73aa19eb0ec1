//! Mount counting: the steps between a layer's mount and its count.
//!
//! A mount is made before it is counted, and its count is taken back before it is unmounted (R4). In between the layer is
//! named by an intent, so that whoever may mount next finds it and takes away what nobody counts. Every step borrows both
//! guards: what is read of a count is acted upon under the hold under which it was read (R3).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::guarded::{Guarded, WriteGuard, mounting};
use super::key::{Key, MayTake};
use super::level::{Layers, Mounts};
use super::records::Table;
use super::token::{Mounting, Shared};
use super::words::{VERSION, Words};
use super::world::World;
use crate::error::{Error, Kind, Result};
use crate::lockfile::Wait;
pub use crate::mount::elsewhere::Counted;

/// How a mount is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// One mount, if there is one; none is no error.
    One,
    /// One mount; fails with [`Kind::LayerNotMounted`] when there is none.
    IfMounted,
    /// All mounts, whoever made them.
    Force,
}

impl Release {
    /// What it is called where operations are told apart.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Release::One => "unmount one",
            Release::IfMounted => "unmount if mounted",
            Release::Force => "unmount by force",
        }
    }
}

/// What becomes of mounts in namespaces that can't be seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They are in the way.
    Respected,
    /// They lose their count.
    Forgotten,
}

/// Counts of mounts, by layer.
pub trait Counts: Table {
    /// How often the layer is mounted.
    fn count(&self, id: &str) -> u64;
    /// The table with the layer's count set; zero takes it out.
    fn with_count(&self, id: &str, path: &str, count: u64) -> Self;
    /// The table with the layer counted as it was in `former`.
    fn restored(&self, former: &Self, id: &str, path: &str) -> Self {
        self.with_count(id, path, former.count(id))
    }
    /// Whether what was counted can still be mounted.
    fn counted(&self, _id: &str) -> Counted {
        Counted::InThisBoot
    }
}

/// What mounting one layer asks of its driver and of the kernel.
pub trait Mountable {
    /// The layer.
    fn id(&self) -> &str;
    /// Where its mount is shown.
    fn place(&self) -> Result<PathBuf>;
    /// Whether mounts are the kernel's, so that they can get lost.
    fn has_kernel_mounts(&self) -> bool;
    /// Whether it is mounted, as far as can be seen from here.
    fn is_mounted(&self, held: &Shared<'_>) -> Result<bool>;
    /// Mounts it and returns where.
    fn attach(&mut self, held: &mut Mounting<'_>) -> Result<PathBuf>;
    /// Takes away whatever is mounted.
    fn detach(&mut self, held: &mut Mounting<'_>) -> Result<()>;
    /// Fails with [`Kind::Busy`] unless nobody sees a mount of it in another namespace. After a reboot only a mount that shows
    /// makes it fail.
    fn check_gone(&self, counted: Counted) -> Result<()>;
    /// What the mount namespace is called in which it is attached and detached; none where that can't be told.
    fn namespace(&self) -> Option<String>;
    /// Whether it is seen mounted in the namespace of that name, which is another one.
    fn is_left_in(&self, namespace: &str) -> Result<bool>;
}

/// The intent: a layer whose mount and count are about to differ.
#[derive(Debug, Serialize, Deserialize)]
pub struct Apart {
    version: u32,
    /// The layer.
    pub id: String,
    /// In which mount namespace, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl Apart {
    fn of(layer: &impl Mountable) -> Self {
        Apart { version: VERSION, id: layer.id().to_owned(), namespace: layer.namespace() }
    }
}

/// The layers and the mount counts, both held for writing: what every step works on.
#[derive(Debug)]
pub struct Counting<'a, 'l, 'm, T: Table, C: Counts, W: World> {
    layers: &'a mut WriteGuard<'l, Layers, T, W>,
    mounts: &'a mut WriteGuard<'m, Mounts, C, W>,
    words: &'a Words<W, Apart>,
}

/// Holds the mount counts for writing, and puts right what a dead process left: its mount is taken away where nobody counts it,
/// and counted where it stands in another namespace, which this one can't reach. `find` tells what mounts a layer; none for an
/// id that no layer can have.
pub fn write_counts<'g, T: Table, C: Counts, W: World, M: Mountable>(
    counts: &'g Guarded<Mounts, C, W>,
    layers: &mut WriteGuard<'_, Layers, T, W>,
    key: &'g mut impl MayTake<Mounts>,
    wait: &Wait,
    words: &Words<W, Apart>,
    find: impl FnOnce(&T, &str) -> Option<M>,
) -> Result<(WriteGuard<'g, Mounts, C, W>, Key<'g, Mounts>)> {
    let (mut mounts, key) = counts.write(key, wait)?;
    if let Some(left) = words.last()? {
        if let Some(layer) = find(layers.table(), &left.id)
            && mounts.table().count(&left.id) == 0
        {
            settle(layer, left.namespace.as_deref(), layers, &mut mounts)?;
        }
        words.done()?;
    }
    Ok((mounts, key))
}

/// Puts right what is mounted of a layer, which nobody counts, and which a dead process of `namespace` had in its hands.
fn settle<T: Table, C: Counts, W: World>(
    mut layer: impl Mountable,
    namespace: Option<&str>,
    layers: &mut WriteGuard<'_, Layers, T, W>,
    mounts: &mut WriteGuard<'_, Mounts, C, W>,
) -> Result<()> {
    match layer.detach(&mut mounting(layers, mounts)?) {
        // Something that is no mount of ours stands there: it keeps nobody from working with other layers.
        Err(error) if error.kind() == Kind::Busy => {}
        detached => detached?,
    }
    if let Some(namespace) = namespace
        && layer.has_kernel_mounts()
        && layer.is_left_in(namespace)?
    {
        let table = mounts.table().with_count(layer.id(), utf8(&layer.place()?)?, 1);
        mounts.save(table, &[0])?;
    }
    Ok(())
}

impl<'a, 'l, 'm, T: Table, C: Counts, W: World> Counting<'a, 'l, 'm, T, C, W> {
    /// Works under these two holds. Fails with [`Kind::LockMisuse`] at the first step when they are of different stores.
    pub fn new(
        layers: &'a mut WriteGuard<'l, Layers, T, W>,
        mounts: &'a mut WriteGuard<'m, Mounts, C, W>,
        words: &'a Words<W, Apart>,
    ) -> Self {
        Counting { layers, mounts, words }
    }

    /// The layers.
    pub fn layers(&self) -> &T {
        self.layers.table()
    }

    /// How often the layer is mounted.
    pub fn count(&self, id: &str) -> u64 {
        self.mounts.table().count(id)
    }

    /// Proof of the hold.
    pub fn mounting(&mut self) -> Result<Mounting<'_>> {
        mounting(self.layers, self.mounts)
    }

    /// Whether the layer is mounted, as far as can be seen from here.
    pub fn is_mounted(&self, layer: &impl Mountable) -> Result<bool> {
        layer.is_mounted(&self.layers.shared())
    }

    /// Mounts the layer and counts it; one that is mounted here already is counted once more. Returns where it is to be seen.
    ///
    /// Fails with [`Kind::Busy`] when it is counted as mounted, but not to be seen from here.
    pub fn mount(&mut self, layer: &mut impl Mountable) -> Result<PathBuf> {
        let path = layer.place()?;
        let mut count = self.count(layer.id());
        let mounted = self.is_mounted(layer)?;
        if count > 0 && mounted {
            self.set_count(layer.id(), &path, count + 1)?;
            return Ok(path);
        }
        if count > 0 && (layer.has_kernel_mounts() || self.mounts.table().counted(layer.id()) == Counted::BeforeBoot) {
            layer.check_gone(self.mounts.table().counted(layer.id()))?;
            count = 0;
            self.set_count(layer.id(), &path, count)?;
        }
        if mounted {
            // Nobody counts it: whoever made it is gone.
            layer.detach(&mut self.mounting()?)?;
        }
        self.words.say(&Apart::of(layer))?;
        let attached = self.mounting().and_then(|mut held| layer.attach(&mut held));
        let counted = attached.and_then(|path| self.set_count(layer.id(), &path, count + 1).map(|()| path));
        if counted.is_err() && layer.has_kernel_mounts() {
            layer.detach(&mut self.mounting()?)?;
        }
        self.words.done()?;
        counted
    }

    /// Gives back a mount. Returns whether the layer is still mounted.
    pub fn release(&mut self, layer: &mut impl Mountable, release: Release) -> Result<bool> {
        match (release, self.count(layer.id())) {
            (Release::IfMounted, 0) => Err(Error::new(Kind::LayerNotMounted, "unmount")
                .at(layer.place()?)
                .detail(format!("layer {} has no mount that is counted", layer.id()))),
            // A count of what isn't to be seen here is somebody else's, or nobody's any more.
            (Release::One | Release::IfMounted, count @ 2..)
                if !layer.has_kernel_mounts() || self.is_mounted(layer)? =>
            {
                self.set_count(layer.id(), &layer.place()?, count - 1)?;
                Ok(true)
            }
            (Release::Force, _) => self.take_away(layer, Others::Forgotten).map(|()| false),
            _ => self.take_away(layer, Others::Respected).map(|()| false),
        }
    }

    /// Takes away all mounts of the layer, if it is counted or mounted here.
    pub fn take_away_if_any(&mut self, layer: &mut impl Mountable, others: Others) -> Result<()> {
        if self.count(layer.id()) > 0 || self.is_mounted(layer)? {
            self.take_away(layer, others)?;
        }
        Ok(())
    }

    /// Uncounts, then unmounts (R4). Fails with [`Kind::Busy`] when the mounts of others are respected, and the layer is
    /// counted, not mounted here, and may be mounted in another namespace.
    fn take_away(&mut self, layer: &mut impl Mountable, others: Others) -> Result<()> {
        let (path, count) = (layer.place()?, self.count(layer.id()));
        if others == Others::Respected && count > 0 && layer.has_kernel_mounts() && !self.is_mounted(layer)? {
            layer.check_gone(self.mounts.table().counted(layer.id()))?;
        }
        self.words.say(&Apart::of(layer))?;
        let former = Arc::clone(self.mounts.table());
        if count > 0 {
            self.set_count(layer.id(), &path, 0)?;
        }
        let detached = self.mounting().and_then(|mut held| layer.detach(&mut held));
        if let Err(error) = detached {
            let table = self.mounts.table().restored(&former, layer.id(), utf8(&path)?);
            self.mounts.save(table, &[0])?;
            self.words.done()?;
            return Err(error);
        }
        self.words.done()
    }

    /// Sets the count of a layer to what its mounts are.
    pub fn set_count(&mut self, id: &str, path: &Path, count: u64) -> Result<()> {
        let table = self.mounts.table().with_count(id, utf8(path)?, count);
        self.mounts.save(table, &[0])
    }
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::new(Kind::NotSupported, "count mount").at(path).detail("the path of the store is not UTF-8")
    })
}
