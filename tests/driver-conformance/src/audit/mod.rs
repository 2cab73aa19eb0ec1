//! The audit: a driver is made to do everything it can, by several processes of several threads, with deaths in between, while
//! a recorder runs; then what was recorded is judged by the rules of locking, path by path.
//!
//! ```text
//! audit            prepares, starts workers, waits for them, judges
//! ├── quiet        one process, one thread: every operation, each look exact
//! ├── crowd        processes of threads that mount, release, diff and delete the same layers
//! ├── probe        beside the crowd: asks the kernel, as the reference would, whether the layers are locked
//! └── victims      die at the borders of what they do, each followed by a process that goes on after them
//! ```
//!
//! Workers are this program, started again ([`Subject::worker`]): they open the store as every user of the library does. What
//! the recorder notes is kept in files of JSON lines, one for each worker, and merged by their times.

mod deeds;
mod dying;
mod end;
mod judge;
mod merge;
mod notes;
mod order;
mod outside;
mod probe;
mod quiet;
mod report;
mod rule;
mod run;
mod table;
mod work;

pub use judge::Breach;
pub use outside::{Mounts, OutsideOptions, watch};
pub use report::{Line, Report, Verdict};
pub use rule::Rule;
pub use run::{Effort, Subject, audit};
pub use table::table;
pub use work::work;
