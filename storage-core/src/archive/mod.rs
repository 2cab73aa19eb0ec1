//! Layer archives: tar in and out, whiteouts, changes between trees, compression, and tar-split.

pub mod changes;
pub mod compression;
mod content;
mod extract;
mod feed;
mod hash;
pub mod ingest;
mod names;
mod pack;
pub mod tar;
pub mod tar_split;
pub mod verify;
pub(crate) mod walk;
pub mod write;

pub use changes::{Change, ChangeKind, Tree, compare, compare_paths};
pub use compression::{Compression, Encoder, decoder};
pub use content::same_content;
pub use hash::HashingWriter;
pub use ingest::{Ending, Ingest, Ingested, Whiteouts, ingest};
pub use pack::{pack, pack_owned_by};
pub use tar_split::{Loss, Replayed, replay, replay_all};
pub use verify::{Difference, Expected, Ignore};
