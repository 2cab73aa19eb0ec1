//! Mount counts, and what they must agree with: the kernel.
//!
//! ```text
//! RUNROOT/<driver>-layers/              0700
//!   mountpoints.json                    0600   the counts, shared with the reference
//!   mountpoints.lock                    0644
//!   lamina-mounting                     0600   the layer whose count and mount are about to differ (an intent)
//!   lamina-turn                         0600   lets waiting writers of Lamina's go before its readers
//! ```
//!
//! A mount is made before it is counted, and its count is taken back before it is unmounted (R4). In between the layer is
//! named by the intent, so that whoever may mount next finds it and takes away what nobody counts.

mod table;

pub(crate) use table::MountTable;
