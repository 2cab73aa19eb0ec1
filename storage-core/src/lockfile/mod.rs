//! One lock file between processes, and the record of the last write in it.
//!
//! * A lock is an open file description lock over the whole file ([`crate::sys::ofd`]): it excludes the POSIX locks of the
//!   reference in both directions. Nothing else in this workspace locks a store's files.
//! * Every [`Hold`] has an open file description of its own; none serves two requests. Closing it releases the lock, so a
//!   killed process holds nothing.
//! * After a lock is taken, the descriptor is compared with the path: a file that was replaced meanwhile is opened again.
//! * A wait may have a deadline. There is no timed wait in the kernel: a wait with a deadline tries again with growing
//!   pauses; a wait without one blocks in the kernel. When a deadline passes, the error names the holders.
//! * A reader of ours lets a waiting writer of ours go first, by a turn on a file that only Lamina knows: readers that
//!   overlap endlessly would otherwise keep every writer out, since the kernel's locks have no queue.

mod file;
mod holder;
mod last_write;
mod wait;

pub use crate::sys::ofd::Mode;
pub use file::{Access, Hold, LockFile};
pub use holder::{Holder, LockFiles};
pub use last_write::LastWrite;
pub use wait::{LockWait, Wait};
