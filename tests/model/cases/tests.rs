//! What is explored, and how soon each fault is found.
#![allow(clippy::print_stdout, reason = "the figures are for who reads the test's output")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::explore::{Explored, Order, Violation, explore};
use crate::scenarios::{ALL, DEADLOCK, Scenario};
use crate::world::Fault;

/// Schedules of each scenario, in each order.
const SCHEDULES: u64 = 8_000;
/// Distinct schedules that one run explores at least, over all scenarios.
const DISTINCT: usize = 100_000;
/// Both orders, in turn.
const ORDERS: [Order; 2] = [Order::Random, Order::Priority];

/// Each fault with the scenario that finds it and the number of schedules by priority within which it does.
const FAULTS: [(Fault, &str, Order, u64); 8] = [
    (Fault::RecordsBeforeLastWriter, "writers", Order::Priority, 20_000),
    (Fault::JudgedByNumber, "numbers", Order::Random, 10_000),
    (Fault::CountBeforeLock, "mounts", Order::Priority, 500),
    (Fault::LockFileNotCompared, "replaced-lock", Order::Priority, 1_000),
    (Fault::PlaceNotCompared, "staging", Order::Priority, 2_000),
    (Fault::StaleAfterRetry, "retry", Order::Priority, 500),
    (Fault::PublishedBeforeSaved, "snapshots", Order::Priority, 2_000),
    (Fault::CountedBeforeMounted, "mounts", Order::Priority, 2_000),
];

fn scenario(name: &str) -> Scenario {
    *ALL.iter().find(|scenario| scenario.name == name).unwrap_or_else(|| panic!("no scenario {name:?}"))
}

fn run(scenario: Scenario, fault: Fault, orders: &[Order], first: u64, limit: u64) -> Explored {
    // A runner keeps what runs in its scenario on this thread, so the scenario can be a plain function.
    thread_local! {
        static CURRENT: std::cell::Cell<(Scenario, Fault)> = const { std::cell::Cell::new((ALL[0], Fault::None)) };
    }
    CURRENT.set((scenario, fault));
    let current = || {
        let (scenario, fault) = CURRENT.get();
        (scenario.run)(fault);
    };
    explore(current, scenario.length, orders, first, limit)
}

/// The line with which a schedule is run again.
fn replay_line(scenario: &str, fault: Fault, violation: &Violation) -> String {
    format!("LAMINA_MODEL={scenario}:{fault:?}:{:?}:{}", violation.order, violation.seed)
}

/// The seed from which schedules are explored.
fn first_seed() -> u64 {
    std::env::var("LAMINA_MODEL_FIRST").map_or(1, |seed| seed.parse().expect("a seed"))
}

/// Whether one schedule is to be run and nothing else.
fn replays() -> bool {
    std::env::var_os("LAMINA_MODEL").is_some()
}

/// Explores a scenario; returns the number of distinct schedules, and what broke.
fn explore_all(scenario: Scenario) -> (usize, Option<String>) {
    let started = Instant::now();
    let explored = run(scenario, Fault::None, &ORDERS, first_seed(), SCHEDULES);
    println!(
        "{:14} {:6} schedules, {:6} distinct, {:4} choices each, {:.1} s",
        scenario.name,
        explored.schedules,
        explored.distinct.len(),
        explored.choices / explored.schedules as u64,
        started.elapsed().as_secs_f32()
    );
    let violation = explored.violation;
    let told = violation.map(|it| format!("{}\n    {}", replay_line(scenario.name, Fault::None, &it), it.what));
    (explored.distinct.len(), told)
}

#[test]
fn nothing_is_violated_in_a_hundred_thousand_distinct_schedules() {
    if replays() {
        return;
    }
    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(scenario) = ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push(explore_all(*scenario));
        }
        done
    };
    let all: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    let broken: Vec<_> = all.iter().filter_map(|(_, violation)| violation.as_deref()).collect();
    assert!(broken.is_empty(), "run again with\n{}", broken.join("\n"));
    let distinct: usize = all.iter().map(|(distinct, _)| distinct).sum();
    println!("{distinct} distinct schedules in {:.1} s", started.elapsed().as_secs_f32());
    assert!(distinct >= DISTINCT, "only {distinct} distinct schedules");
}

#[test]
fn a_deadlock_is_seen() {
    if replays() {
        return;
    }
    for order in ORDERS {
        let violation = run(DEADLOCK, Fault::None, &[order], 1, 1_000).violation;
        let what = violation.map(|violation| violation.what).unwrap_or_default();
        assert!(what.contains("deadlock"), "{order:?}: {what:?}");
    }
}

#[test]
fn each_fault_is_found_within_its_bound() {
    if replays() {
        return;
    }
    let mut missed = Vec::new();
    for (fault, name, order, bound) in FAULTS {
        let started = Instant::now();
        let explored = run(scenario(name), fault, &[order], 1, bound);
        let seconds = started.elapsed().as_secs_f32();
        if let Some(found) = explored.violation {
            println!("{fault:?}: schedule {} of {bound} of {name}, {seconds:.1} s: {}", found.seed, found.what);
        } else {
            println!("{fault:?}: not found in {bound} schedules of {name}, {seconds:.1} s");
            missed.push(fault);
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

/// Runs the schedule that `LAMINA_MODEL` names.
#[test]
fn a_named_schedule_is_run_again() {
    let Ok(named) = std::env::var("LAMINA_MODEL") else { return };
    let parts: Vec<_> = named.split(':').collect();
    let &[name, fault, order, seed] = &parts[..] else { panic!("LAMINA_MODEL is SCENARIO:FAULT:ORDER:SEED") };
    let faults = FAULTS.iter().map(|(fault, ..)| *fault).chain([Fault::None]);
    let fault = faults.into_iter().find(|known| format!("{known:?}") == fault).expect("a fault");
    let order = ORDERS.into_iter().find(|known| format!("{known:?}") == order).expect("an order");
    let explored = run(scenario(name), fault, &[order], seed.parse().expect("a seed"), 1);
    if let Some(violation) = explored.violation {
        panic!("{named}: {}", violation.what);
    }
}
