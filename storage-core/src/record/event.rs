//! What is noted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When: nanoseconds of `CLOCK_MONOTONIC`, which all processes of a machine share.
    pub time: u64,
    /// In which process.
    pub process: u32,
    /// In which thread: the kernel's number of it.
    pub thread: u64,
    /// For which operation of the store; empty outside of any.
    pub purpose: String,
    /// What.
    pub what: What,
}

/// What happened. Holds and calls have numbers that are unique in their process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum What {
    /// A lock file is open and is about to be locked.
    Wanted {
        /// The number of the hold.
        hold: u64,
        /// The lock file.
        path: String,
        /// How it is wanted.
        mode: LockMode,
        /// Whether the thread waits for it.
        waits: bool,
    },
    /// The lock was had.
    Taken {
        /// The number of the hold.
        hold: u64,
        /// Nanoseconds since it was wanted.
        waited: u64,
    },
    /// The lock was not had.
    Missed {
        /// The number of the hold.
        hold: u64,
    },
    /// The lock was given back.
    Released {
        /// The number of the hold.
        hold: u64,
        /// Nanoseconds since it was taken.
        held: u64,
    },
    /// A last-writer record or a file of records was written.
    Wrote {
        /// The file.
        path: String,
    },
    /// A driver is about to be asked.
    Begun {
        /// The number of the call.
        call: u64,
        /// What it is asked.
        operation: String,
        /// What proof it was given.
        proof: Proof,
        /// About which layer, where it is about one.
        layer: Option<String>,
        /// What was true before.
        truth: Truth,
    },
    /// The driver answered.
    Ended {
        /// The number of the call.
        call: u64,
        /// `ok`, or the name of the kind of error.
        outcome: String,
        /// What was true after.
        truth: Truth,
    },
}

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockMode {
    /// Together with other shared holders.
    Shared,
    /// Alone.
    Exclusive,
}

/// What a call of a driver was given as proof of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// Nothing: it needs none.
    None,
    /// The layers are held for reading.
    Shared,
    /// The layers are held for writing.
    Exclusive,
    /// The layers and the mount counts are held for writing.
    Mounting,
    /// An owned handle, which works without a lock.
    Private,
}

/// What was true at the border of a call, as the kernel and the disk say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// When the look began. Between that and the time of the event it was taken.
    pub since: u64,
    /// The mounts below the roots, as this thread's mount namespace has them.
    pub mounts: Vec<Mounted>,
    /// How often this process noticed that something was attached or detached in its mount namespace. Between two looks that
    /// differ in it something was, even if the tables are the same.
    pub stirs: u64,
    /// What `mountpoints.json` holds.
    pub counts: Option<String>,
    /// The watched files with something that changes when they do.
    pub files: BTreeMap<String, String>,
    /// The locks of this process on files below the roots.
    pub locks: Vec<LockSeen>,
    /// How many bytes this thread has read and written so far, where the kernel tells.
    pub moved: Option<u64>,
}

/// A mount that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mounted {
    /// The kernel's number of it.
    pub id: u64,
    /// Where it is, as the kernel writes it.
    pub point: String,
    /// The type of its filesystem.
    pub kind: String,
}

/// A lock that this process was seen to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockSeen {
    /// The locked file.
    pub path: String,
    /// How it is held.
    pub mode: LockMode,
    /// The kernel's word for the kind of lock: `OFDLCK`, `POSIX`.
    pub kind: String,
    /// The number of the hold whose descriptor this is; none for a descriptor that the library doesn't know.
    pub hold: Option<u64>,
    /// The number of the hold whose lock this is: that of another descriptor too, if it was made from a hold's. None for a
    /// lock that somebody took behind the library's back.
    pub made_by: Option<u64>,
    /// The thread that took that hold.
    pub thread: Option<u64>,
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(super) fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The kernel's number of this thread.
pub(super) fn thread() -> u64 {
    u64::from(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs())
}
