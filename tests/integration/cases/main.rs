//! Every case, in the order in which they run.

use std::process::ExitCode;

use integration::case::Case;

mod additional;
mod audit;
mod bad_archives;
mod bad_input;
mod both_at_once;
mod chain;
mod check;
mod child;
mod concurrent;
mod containers;
mod copy;
mod deadlock;
mod diff_while_mounted;
mod engines;
mod full_disk;
mod hammer;
mod hostile_store;
mod house;
mod id_maps;
mod id_maps_auto;
mod id_maps_bad;
mod id_maps_peers;
mod image_store;
mod images;
mod kill;
mod kill_at_random;
mod load;
mod loaded;
mod meanwhile;
mod network;
mod on_btrfs;
mod on_zfs;
mod ordinary;
mod peers;
mod plugins;
mod plugins_broken;
mod plugins_judged;
mod power;
mod quiet;
mod records;
mod repair;
mod roundtrip;
mod stall;
mod tour;
mod transient;
mod unmount;
mod zfs_meanwhile;

const CASES: &[&[Case]] = &[
    roundtrip::CASES,
    child::CASES,
    concurrent::CASES,
    peers::CASES,
    images::CASES,
    containers::CASES,
    engines::CASES,
    loaded::CASES,
    records::CASES,
    additional::CASES,
    hostile_store::CASES,
    image_store::CASES,
    transient::CASES,
    network::CASES,
    ordinary::CASES,
    both_at_once::CASES,
    stall::CASES,
    diff_while_mounted::CASES,
    deadlock::CASES,
    unmount::CASES,
    meanwhile::CASES,
    quiet::CASES,
    hammer::CASES,
    house::CASES,
    check::CASES,
    repair::CASES,
    id_maps::CASES,
    id_maps_auto::CASES,
    id_maps_bad::CASES,
    id_maps_peers::CASES,
    kill::CASES,
    kill_at_random::CASES,
    chain::CASES,
    copy::CASES,
    full_disk::CASES,
    load::CASES,
    power::CASES,
    bad_archives::CASES,
    bad_input::CASES,
    plugins::CASES,
    plugins_broken::CASES,
    plugins_judged::CASES,
    tour::CASES,
    on_btrfs::CASES,
    audit::CASES,
    on_zfs::CASES,
    zfs_meanwhile::CASES,
];

fn main() -> ExitCode {
    integration::runner::main(CASES)
}
