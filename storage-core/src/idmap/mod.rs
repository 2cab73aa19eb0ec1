//! Id mappings: which id inside a container is which id on the host, and files that are seen or kept under mapped ids.
//!
//! [`Maps`] is a pair of lists, one for users and one for groups; an empty list maps every id to itself. Everything about
//! maps is arithmetic, free of the system: reading them ([`parse_map`], [`SubIds`]), choosing them for a new container
//! ([`auto`]), and which owners of directories they can't express ([`parent_owners`]).
//!
//! Two things act on the system. [`Namespace`] is a user namespace with given maps, which id-mapped mounts take
//! (`mount::idmapped`); [`chown_tree`] gives the files of a tree new owners, for filesystems and kernels without such
//! mounts. `docs/id-mappings.md` says when which of the two is done.

mod accounts;
pub mod auto;
mod chown;
mod map;
mod maps;
mod metadata;
mod namespace;
mod owners;
mod set;
mod shift;
mod subid;

pub use accounts::ids_of_accounts;
pub use chown::{Threads, chown_tree};
pub use map::{IdMap, check_map, kernel_text, parse_map, to_container, to_host};
pub use maps::{Maps, Owner};
pub use namespace::Namespace;
pub use owners::{ParentOwners, owners_not_expressed, parent_owners};
pub use set::IdSet;
pub use shift::Shift;
pub use subid::{SubIds, SubRange, Subject};
