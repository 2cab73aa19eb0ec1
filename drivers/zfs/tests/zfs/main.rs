//! The driver on a real zfs. `tests/zfs-vm/run` runs this in a virtual machine, where `LAMINA_ZFS_POOL` names a pool that
//! may be filled with datasets and destroyed.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests do to files what others might, and panic")]
#![allow(clippy::print_stderr, reason = "figures are shown")]

mod bench;
mod compare;
mod edits;
mod harness;
mod layers;
mod lost;
mod mounting;
mod pools;
mod view;
