//! Every case, in the order in which they run.

use std::process::ExitCode;

use integration::case::Case;

mod bad_input;
mod chain;
mod check;
mod child;
mod concurrent;
mod full_disk;
mod hammer;
mod house;
mod kill;
mod meanwhile;
mod peers;
mod quiet;
mod repair;
mod roundtrip;
mod stall;
mod tour;

const CASES: &[&[Case]] = &[
    roundtrip::CASES,
    child::CASES,
    concurrent::CASES,
    peers::CASES,
    stall::CASES,
    meanwhile::CASES,
    quiet::CASES,
    hammer::CASES,
    house::CASES,
    check::CASES,
    repair::CASES,
    kill::CASES,
    chain::CASES,
    full_disk::CASES,
    bad_input::CASES,
    tour::CASES,
];

fn main() -> ExitCode {
    integration::runner::main(CASES)
}
