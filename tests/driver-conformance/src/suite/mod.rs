//! The cases: every operation and every documented behaviour of the traits of `storage_core::driver`.
//!
//! A case makes throw-away stores on the [grounds](crate::grounds), and reaches the driver only through their gates. What a
//! driver has declared is tested; what it has not is tested to be refused before the driver is asked. The file `expected`
//! beside this one names every case with what it needs, so that one that vanished, or asks for more than it did, fails.
//!
//! Some cases need processes of their own, to kill or to compete with. The program that embeds the suite says how one is
//! started ([`Workers`]), and calls [`work`] in it.

mod bench;
mod cases;
mod check;
mod expected;
mod need;
mod report;
mod run;
mod store;
mod tree;
mod worker;

pub use expected::{expected, vanished};
pub use need::Need;
pub use report::{Done, Outcome, Report};
pub use run::{Suite, all};
pub use worker::{Workers, work};

use bench::Bench;
use check::Checked;

/// One promise of a driver's, and how it is tried.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// `subject::behaviour`.
    pub name: &'static str,
    /// What is promised, in one sentence.
    pub promise: &'static str,
    /// What has to be there for it.
    pub needs: &'static [Need],
    run: fn(&Bench) -> Checked,
}

/// Shorthand for an entry in a list of cases.
const fn case(name: &'static str, promise: &'static str, needs: &'static [Need], run: fn(&Bench) -> Checked) -> Case {
    Case { name, promise, needs, run }
}
