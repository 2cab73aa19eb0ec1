//! One process at a time: how long it took and how much memory it had.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use integration::store::Store;
use nix::sys::resource::{UsageWho, getrusage};

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) time: Duration,
    /// The most memory that one process of the run had at once, in KiB.
    pub(crate) memory: u64,
}

impl Sample {
    pub(crate) fn of(time: Duration) -> Self {
        Sample { time, memory: 0 }
    }
}

/// Runs by operation and by who did it.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<(String, String), Vec<Sample>>);

impl Samples {
    pub(crate) fn add(&mut self, operation: &str, who: &str, sample: Sample) {
        self.0.entry((operation.to_owned(), who.to_owned())).or_default().push(sample);
    }

    /// The median time in milliseconds.
    pub(crate) fn median(&self, operation: &str, who: &str) -> Option<f64> {
        let mut times: Vec<Duration> = self.get(operation, who)?.iter().map(|sample| sample.time).collect();
        times.sort();
        Some(times[times.len() / 2].as_secs_f64() * 1000.0)
    }

    /// The most memory, in KiB.
    pub(crate) fn peak(&self, operation: &str, who: &str) -> Option<u64> {
        self.get(operation, who)?.iter().map(|sample| sample.memory).max()
    }

    fn get(&self, operation: &str, who: &str) -> Option<&Vec<Sample>> {
        self.0.get(&(operation.to_owned(), who.to_owned()))
    }
}

/// Runs one command of a store below a helper that does nothing else, so that its children's peak is this command's.
pub(crate) fn run(store: &Store, args: &[&str]) -> Sample {
    let exe = env::current_exe().expect("the path of this program");
    let output = Command::new(exe).arg("--measure").args(store.argv(args)).output().expect("start the helper");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{args:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    let mut numbers = text.split_whitespace().map(|number| number.parse::<u64>().expect("the helper writes numbers"));
    let (nanoseconds, memory) = (numbers.next().expect("a time"), numbers.next().expect("a size"));
    Sample { time: Duration::from_nanos(nanoseconds), memory }
}

/// The helper: runs a command, then writes nanoseconds and KiB.
pub(crate) fn helper(argv: &[String]) -> ExitCode {
    let quiet = fs::File::create("/dev/null").expect("open /dev/null");
    let start = Instant::now();
    let mut child = Command::new(&argv[0]).args(&argv[1..]).stdin(Stdio::null()).stdout(quiet).spawn().expect("start");
    let status = child.wait().expect("wait for the command");
    let time = start.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("ask what the command used");
    println!("{} {}", time.as_nanos(), usage.max_rss());
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
