//! Every case, in the order in which they run.

use std::process::ExitCode;

use integration::case::Case;

mod bad_input;
mod chain;
mod child;
mod concurrent;
mod copy;
mod full_disk;
mod hammer;
mod house;
mod id_maps;
mod id_maps_auto;
mod id_maps_bad;
mod id_maps_peers;
mod kill;
mod meanwhile;
mod peers;
mod power;
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
    id_maps::CASES,
    id_maps_auto::CASES,
    id_maps_bad::CASES,
    id_maps_peers::CASES,
    kill::CASES,
    chain::CASES,
    copy::CASES,
    full_disk::CASES,
    power::CASES,
    bad_input::CASES,
    tour::CASES,
];

fn main() -> ExitCode {
    integration::runner::main(CASES)
}
