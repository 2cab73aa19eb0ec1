//! Graph drivers: what one must do, what the caller must hold while it does, and how one is found and chosen.
//!
//! What an operation asks of its caller stands in its argument list as a token ([`Shared`], [`Exclusive`],
//! [`Mounting`]), not in a comment. `docs/adding-a-driver.md` walks through the whole.

mod capability;
mod declared;
mod flaw;
mod gate;
mod homes;
mod layer;
mod naive;
mod pinned;
pub mod plugin;
mod recorded;
mod registry;
mod report;
mod request;
mod scratch;
mod staged;
mod staging;
mod traits;
mod view;

pub use capability::{Capabilities, Capability};
pub use flaw::{Cure, Flaw};
pub use gate::{ExclusiveAccess, Gate, MountingAccess, SharedAccess};
pub use homes::Homes;
pub use layer::{Ancestor, Home, LayerRef, MountOptions, OwnerMaps, Plan, Start};
pub use naive::{Naive, pack_changes, size_of_changes};
pub use pinned::PinnedDir;
pub use registry::{Candidate, Choice, Descriptor, Origin, Registry, Survey};
pub use request::{Request, Roots, is_on};
pub use scratch::ScratchLocks;
pub use staged::{Detached, Refusals, RootFrom, Staged, Trash};
pub use staging::StagingPlace;
pub use traits::{Comparison, Driver, Extent, Swept};
pub use view::{Pin, View};

pub use crate::locks::{Exclusive, Mounting, Shared};
