//! A throw-away store of one driver, as a case uses it: the driver is reached only through its gate, with real tokens.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use storage_core::archive::{Change, Ingest, Ingested, ingest};
use storage_core::driver::{
    Comparison, Descriptor, Detached, ExclusiveAccess, Extent, Gate, Home, LayerRef, MountOptions, MountingAccess,
    OwnerMaps, Plan, Request, ScratchLocks, SharedAccess, Staged, Start, Swept, Trash, View,
};
use storage_core::locks::ThreadKey;
use storage_core::{LayerId, Result, Task};

use super::check::{Checked, must};
use super::tree::Tree;

/// What the threads of a case share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) gate: Gate,
    locks: ScratchLocks,
}

/// A store, in the hands of one thread.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) request: Request,
    pub(super) shared: Arc<Shared>,
    key: ThreadKey,
}

/// What a layer that is replaced held before, as its store knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Nothing,
    Something,
}

/// The layer's id.
pub(super) fn id(name: &str) -> Result<LayerId> {
    LayerId::for_new(name)
}

/// The layer `names[0]` on the others, the nearest first.
pub(super) fn chain(names: &[&str]) -> Result<LayerRef> {
    let mut ids = names.iter().map(|name| id(name)).collect::<Result<Vec<_>>>()?;
    let own = ids.remove(0);
    Ok(LayerRef::own(own, ids))
}

/// Work that nobody watches.
pub(super) fn task() -> Task {
    Task::new("case")
}

impl Store {
    /// Opens the driver on `request`. The locks lie beside its home.
    pub(super) fn open(descriptor: &Descriptor, request: Request) -> Result<Self> {
        let driver = (descriptor.open)(&request)?;
        let root = request.home.parent().unwrap_or(&request.home).to_path_buf();
        let locks = ScratchLocks::in_directory(&root);
        let gate = locks.gate(driver);
        Ok(Store { request, shared: Arc::new(Shared { gate, locks }), key: ThreadKey::take()? })
    }

    /// The same store for another thread, which takes it there.
    pub(super) fn again(request: &Request, shared: &Arc<Shared>) -> Result<Self> {
        Ok(Store { request: request.clone(), shared: Arc::clone(shared), key: ThreadKey::take()? })
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    pub(super) fn shared<R>(&mut self, ask: impl FnOnce(&SharedAccess<'_, '_>) -> Result<R>) -> Result<R> {
        let Shared { gate, locks } = &*self.shared;
        locks.shared(&mut self.key, |held| ask(&gate.shared(held)?))?
    }

    pub(super) fn exclusive<R>(&mut self, ask: impl FnOnce(&mut ExclusiveAccess<'_, '_>) -> Result<R>) -> Result<R> {
        let Shared { gate, locks } = &*self.shared;
        locks.exclusive(&mut self.key, |held| ask(&mut gate.exclusive(held)?))?
    }

    pub(super) fn mounting<R>(&mut self, ask: impl FnOnce(&mut MountingAccess<'_, '_>) -> Result<R>) -> Result<R> {
        let Shared { gate, locks } = &*self.shared;
        locks.mounting(&mut self.key, |held| ask(&mut gate.mounting(held)?))?
    }

    #[allow(clippy::redundant_closure_for_method_calls, reason = "the method itself is not general enough")]
    pub(super) fn strays(&mut self) -> Result<Vec<PathBuf>> {
        self.shared(|driver| driver.strays())
    }

    #[allow(clippy::redundant_closure_for_method_calls, reason = "the method itself is not general enough")]
    pub(super) fn remove_strays(&mut self) -> Result<u64> {
        self.exclusive(|driver| driver.remove_strays())
    }

    #[allow(clippy::redundant_closure_for_method_calls, reason = "the method itself is not general enough")]
    pub(super) fn retire(&mut self) -> Result<Detached> {
        self.mounting(|driver| driver.retire())
    }

    pub(super) fn exists(&mut self, name: &str) -> Result<bool> {
        let id = id(name)?;
        self.shared(|driver| driver.exists(&id, Home::Own))
    }

    /// The names of all layers, sorted.
    pub(super) fn list(&mut self) -> Result<Vec<String>> {
        let mut names = self.shared(|driver| driver.list(Home::Own))?;
        names.sort();
        Ok(names)
    }

    pub(super) fn identity(&mut self, layer: &LayerRef) -> Result<String> {
        self.shared(|driver| driver.identity(&layer.id, layer.home))
    }

    /// A layer in the making that begins as `plan` says and is filled with that.
    pub(super) fn begin(&mut self, plan: &Plan) -> Result<Box<dyn Staged>> {
        let mut staged = self.shared(|driver| driver.begin(plan))?;
        staged.fill(&task())?;
        Ok(staged)
    }

    pub(super) fn commit(&mut self, staged: &mut dyn Staged, name: &str) -> Result<()> {
        let id = id(name)?;
        self.exclusive(|driver| driver.commit(staged, &id))
    }

    /// Makes the layer `names[0]` on the others, with what `fill` adds.
    pub(super) fn make(&mut self, names: &[&str], fill: impl FnOnce(&Tree) -> Checked) -> Checked<LayerRef> {
        let layer = chain(names)?;
        self.make_as(layer.clone(), &Plan::new(Start::OnParent(layer.parent_ref())), fill)
    }

    /// Makes `layer` as `plan` says, with what `fill` adds.
    pub(super) fn make_as(
        &mut self,
        layer: LayerRef,
        plan: &Plan,
        fill: impl FnOnce(&Tree) -> Checked,
    ) -> Checked<LayerRef> {
        let mut staged = self.begin(plan)?;
        fill(&Tree::staged(&*staged)?)?;
        self.exclusive(|driver| driver.commit(&mut *staged, &layer.id))?;
        Ok(layer)
    }

    /// Makes the layer `names[0]` on the others of an archive.
    pub(super) fn import(&mut self, names: &[&str], archive: &[u8]) -> Checked<(LayerRef, Ingested)> {
        let layer = chain(names)?;
        let mut staged = self.begin(&Plan::new(Start::OnParent(layer.parent_ref())))?;
        let ingested = extract(&*staged, archive)?;
        self.exclusive(|driver| driver.commit(&mut *staged, &layer.id))?;
        Ok((layer, ingested))
    }

    pub(super) fn view(&mut self, layer: &LayerRef) -> Result<View> {
        self.shared(|driver| driver.view(layer))
    }

    /// What a view of the layer shows.
    pub(super) fn tree(&mut self, layer: &LayerRef) -> Checked<Tree> {
        Tree::view(&self.view(layer)?)
    }

    pub(super) fn listing(&mut self, layer: &LayerRef) -> Checked<Vec<String>> {
        self.tree(layer)?.listing()
    }

    pub(super) fn compare(&mut self, layer: &LayerRef, base: Option<&LayerRef>) -> Result<Box<dyn Comparison>> {
        self.shared(|driver| driver.compare(layer, base, &OwnerMaps::default()))
    }

    /// The changes of a layer, a line each.
    pub(super) fn changes(&mut self, layer: &LayerRef, base: Option<&LayerRef>) -> Result<Vec<String>> {
        lines(&*self.compare(layer, base)?)
    }

    /// The archive of what a layer changes.
    pub(super) fn diff(&mut self, layer: &LayerRef, base: Option<&LayerRef>) -> Result<Vec<u8>> {
        let mut archive = Vec::new();
        self.compare(layer, base)?.pack(&mut archive, &mut || Ok(()), &task())?;
        Ok(archive)
    }

    pub(super) fn mount(&mut self, layer: &LayerRef) -> Result<PathBuf> {
        self.mount_as(layer, &MountOptions::default())
    }

    pub(super) fn mount_as(&mut self, layer: &LayerRef, options: &MountOptions) -> Result<PathBuf> {
        self.mounting(|driver| driver.mount(layer, options))
    }

    pub(super) fn unmount(&mut self, layer: &LayerRef, extent: Extent) -> Result<Detached> {
        self.mounting(|driver| driver.unmount(&layer.id, layer.home, extent))
    }

    pub(super) fn is_mounted(&mut self, layer: &LayerRef) -> Result<bool> {
        self.shared(|driver| driver.is_mounted(&layer.id, layer.home))
    }

    /// Mounts the layer, changes it, and releases the mount.
    pub(super) fn edit(&mut self, layer: &LayerRef, edit: impl FnOnce(&Tree) -> Checked) -> Checked {
        let done = edit(&Tree::at(self.mount(layer)?));
        drop(self.unmount(layer, Extent::One)?);
        done
    }

    pub(super) fn remove(&mut self, layer: &LayerRef) -> Result<Box<dyn Trash>> {
        self.exclusive(|driver| driver.remove(&layer.id, layer.home))
    }

    /// Removes the layer and deletes what it held.
    pub(super) fn delete(&mut self, layer: &LayerRef) -> Result<()> {
        self.remove(layer)?.reclaim(&task())
    }

    pub(super) fn sweep(&self) -> Result<Swept> {
        self.gate().sweep(Instant::now() + Duration::from_mins(1), &task())
    }

    /// Replaces the content of the layer with what `change` makes of it.
    pub(super) fn replace(
        &mut self,
        layer: &LayerRef,
        held: Held,
        change: impl FnOnce(&Tree) -> Checked,
    ) -> Checked<Box<dyn Trash>> {
        let mut staged =
            self.begin(&Plan::new(Start::Replacing { layer: layer.clone(), empty: held == Held::Nothing }))?;
        change(&Tree::staged(&*staged)?)?;
        Ok(self.exclusive(|driver| driver.replace(&mut *staged, &layer.id))?)
    }

    /// Checks that nothing is left in staging and trash that nobody holds. Between the fork and the exec of a process that
    /// another thread starts, its child holds our locks too; so a sweep may find them taken for a moment.
    pub(super) fn must_be_clean(&self) -> Checked {
        let mut left = self.leftovers()?;
        for _ in 0..500 {
            if left.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            left = self.leftovers()?;
        }
        must(left.is_empty(), format!("staging or trash isn't empty after a sweep: {left:?}"))
    }

    fn leftovers(&self) -> Checked<Vec<String>> {
        let swept = self.sweep()?;
        let mut left = Vec::new();
        if swept.left > 0 {
            left.push(format!("{} places are in use", swept.left));
        }
        for home in self.gate().staging_homes()? {
            if home.is_dir() {
                left.extend(Tree::at(home).names("")?);
            }
        }
        Ok(left)
    }
}

/// Extracts an archive into a layer in the making, as a store does.
pub(super) fn extract(staged: &dyn Staged, archive: &[u8]) -> Result<Ingested> {
    let root = staged.root()?;
    let mut options = Ingest::new(staged.whiteouts());
    options.maps = staged.maps().clone();
    options.in_user_ns = storage_core::mount::in_user_namespace();
    ingest(archive, std::os::fd::AsFd::as_fd(&root), options, &task())
}

/// The changes that a comparison tells, a line each.
pub(super) fn lines(comparison: &dyn Comparison) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    comparison.changes(&task(), &mut |Change { path, kind }| {
        lines.push(Change { path, kind }.to_string());
        Ok(())
    })?;
    Ok(lines)
}
