//! A view: a read-only sight of a layer's whole tree that needs no lock once it is there.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::Result;

/// A hold on one layer's place, kept while something of it is being read.
///
/// It tells afterwards whether the place is still the same, and, where it can, it keeps Lamina's own reclaiming away.
pub trait Pin: fmt::Debug + Send + Sync {
    /// Fails with [`crate::Kind::Changed`] when the layer's place is not the one that was pinned.
    fn check(&self) -> Result<()>;
}

impl<P: Pin + ?Sized> Pin for std::sync::Arc<P> {
    fn check(&self) -> Result<()> {
        (**self).check()
    }
}

/// A read-only sight of a tree: a directory descriptor, and what must stay open or unchanged for it to be true.
#[derive(Debug)]
pub struct View {
    root: OwnedFd,
    pins: Vec<Box<dyn Pin>>,
}

impl View {
    /// A view of `root`, which is true as long as all `pins` hold.
    pub fn new(root: OwnedFd, pins: Vec<Box<dyn Pin>>) -> Self {
        View { root, pins }
    }

    /// The same with one more pin.
    pub(super) fn with(mut self, pin: Box<dyn Pin>) -> Self {
        self.pins.push(pin);
        self
    }

    /// What it is made of, to carry it across the border to plugins.
    pub(crate) fn into_parts(self) -> (OwnedFd, Vec<Box<dyn Pin>>) {
        (self.root, self.pins)
    }

    /// The root directory of the tree, readable, for `openat` and its kin.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Fails with [`crate::Kind::Changed`] when a layer below this view was removed or replaced since it was made.
    ///
    /// This is the half of the check that a driver can make; the other half is a look at fresh records.
    pub fn check(&self) -> Result<()> {
        self.pins.iter().try_for_each(|pin| pin.check())
    }
}
