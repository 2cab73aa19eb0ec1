//! Asks the kernel as the reference would, by a POSIX lock, whether the layers are locked.
//!
//! `fcntl(F_GETLK)` takes nothing. It tells of OFD locks too, so it shows whether our holds keep the reference out (R10).

use std::fs::File;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};

use super::notes::{Note, Notes};
use super::order::Order;

/// How long the probe pauses between two questions.
const PAUSE: Duration = Duration::from_micros(300);

/// Asks until the file `stop` in the order's desk is there.
pub(super) fn probe(order: &Order, notes: &Notes) {
    let lock = order.graph.join(format!("{}-layers", order.driver)).join("layers.lock");
    let stop = order.desk.join("stop");
    while !stop.exists() {
        // Opened each time: what counts is who finds the file by its path.
        if let Ok(file) = File::options().read(true).write(true).open(&lock) {
            let mut asked = libc::flock {
                l_type: libc::F_WRLCK as libc::c_short,
                l_whence: libc::SEEK_SET as libc::c_short,
                l_start: 0,
                l_len: 0,
                l_pid: 0,
            };
            let from = now();
            let answered = fcntl(&file, FcntlArg::F_GETLK(&mut asked));
            let to = now();
            if answered.is_ok() {
                let locked = i32::from(asked.l_type) != libc::F_UNLCK;
                notes.add(&Note::Asked { from, to, locked, holder: i64::from(asked.l_pid) });
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// Nanoseconds of the clock that the recorder uses.
pub(super) fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
