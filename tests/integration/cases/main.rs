//! Every case, in the order in which they run.

use std::process::ExitCode;

use integration::case::Case;

mod bad_input;
mod chain;
mod child;
mod concurrent;
mod full_disk;
mod hammer;
mod house;
mod kill;
mod meanwhile;
mod on_zfs;
mod peers;
mod quiet;
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
    kill::CASES,
    chain::CASES,
    full_disk::CASES,
    bad_input::CASES,
    tour::CASES,
    on_zfs::CASES,
];

fn main() -> ExitCode {
    integration::runner::main(CASES)
}
