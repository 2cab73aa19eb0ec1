//! What the recorder costs: mount and release with it off, against the same built without it, and with it on.
//!
//! ```text
//! cargo build --release -p benches --bin recorder --features without-recorder --target-dir target/without-recorder
//! cargo run --release -p benches --bin recorder -- target/without-recorder/release/recorder [DRIVER [PAIRS [ROUNDS]]]
//! ```
//!
//! Whether a place asks the recorder is compiled in, so the two sides of the first comparison are two builds of this program,
//! of the same sources; the second has the one condition replaced by a constant. Each works in a process of its own on a store of its own
//! on one filesystem, and is started anew now and then: where a process lies in memory and its store on disk makes a few per cent. They take
//! turns, in [`Pairs`].

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use benches::{Ground, Pairs, Size};
use integration::scratch::{RunDir, private_mounts};
use storage_core::record::{self, Lines, Places, Recording};
use storage_core::store::Durability;

/// How often both sides of a comparison are started.
const LAUNCHES: u64 = 16;
const SIZE: Size = Size { files: 20, bytes: 1000, layers: 5 };

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["work", dir, driver, recorder] => work(Path::new(dir), driver, recorder),
        [other, rest @ ..] => compare(other, rest),
        [] => panic!("name the build without the recorder: see the top of benches/recorder/main.rs"),
    }
}

/// Mounts and releases as often as each line of standard input says, and answers with the nanoseconds that it took.
fn work(dir: &Path, driver: &str, recorder: &str) {
    if nix::unistd::geteuid().is_root() {
        private_mounts();
    }
    let mut ground = Ground::new(dir, driver, Durability::default(), SIZE);
    let base = ground.base();
    let layer = ground.create(Some(&base));
    let _recording = (recorder == "on").then(|| record_into(dir, &ground));
    for line in std::io::stdin().lines() {
        let rounds: u64 = line.expect("a line").parse().expect("a number");
        let start = Instant::now();
        for _ in 0..rounds {
            ground.mount(&layer);
            ground.release(&layer);
        }
        println!("{}", start.elapsed().as_nanos());
    }
}

fn record_into(dir: &Path, ground: &Ground) -> Recording {
    let roots = vec![ground.options.graph_root.clone(), ground.options.run_root.clone()];
    let driver = ground.store.driver_name();
    let counts = ground.options.run_root.join(format!("{driver}-layers/mountpoints.json"));
    let places = Places { roots, files: vec![counts.clone()], counts };
    let lines = Lines::append_to(&dir.join("events")).expect("a file for events");
    record::start(places, Box::new(lines)).expect("the only recording")
}

/// One side of a comparison.
struct Side {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Side {
    fn start(program: &Path, dir: PathBuf, driver: &str, recorder: &str) -> Self {
        std::fs::create_dir_all(&dir).expect("make a directory");
        let mut command = Command::new(program);
        command.arg("work").arg(dir).args([driver, recorder]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start a side");
        let (input, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        Side { child, input, output: BufReader::new(output) }
    }

    /// The nanoseconds of so many rounds.
    fn measure(&mut self, rounds: u64) -> f64 {
        writeln!(self.input, "{rounds}").expect("ask a side");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("hear a side");
        line.trim().parse().expect("a number")
    }

    fn end(self) {
        let Side { mut child, input, .. } = self;
        drop(input);
        child.wait().expect("wait for a side");
    }
}

fn compare(other: &str, rest: &[&str]) {
    let number = |at: usize, default: u64| rest.get(at).map_or(default, |text| text.parse().expect("a number"));
    let (driver, pairs, rounds) = (rest.first().copied().unwrap_or("overlay"), number(1, 8000), number(2, 1));
    let own = std::env::current_exe().expect("the path of this program");
    let place = RunDir::make();
    println!("{driver}: {pairs} pairs of {rounds} mounts and releases each, {LAUNCHES} launches of each side");
    let off = Build { program: &own, recorder: "off" };
    let without = Build { program: Path::new(other), recorder: "off" };
    let on = Build { program: &own, recorder: "on" };
    for (what, one, two, pairs) in [
        ("recorder off / built without", &off, &without, pairs),
        ("built without / built without", &without, &without, pairs),
        ("recorder on / off", &on, &off, pairs.div_ceil(8)),
    ] {
        let mut told = Pairs::default();
        for launch in 0..LAUNCHES {
            let dir = place.path.join(format!("{}-{launch}", what.replace(['/', ' '], "-")));
            take_turns(&mut told, &dir, driver, [one, two], launch, pairs.div_ceil(LAUNCHES), rounds);
        }
        told.print(what);
    }
}

/// A build, and how it works.
struct Build<'a> {
    program: &'a Path,
    recorder: &'a str,
}

/// One launch of both sides.
fn take_turns(
    told: &mut Pairs,
    dir: &Path,
    driver: &str,
    builds: [&Build<'_>; 2],
    launch: u64,
    pairs: u64,
    rounds: u64,
) {
    let start = |number: usize| {
        Side::start(builds[number].program, dir.join(number.to_string()), driver, builds[number].recorder)
    };
    // Who is started first has the better place.
    let mut sides = if launch.is_multiple_of(2) {
        let one = start(0);
        [one, start(1)]
    } else {
        let two = start(1);
        [start(0), two]
    };
    // The first rounds warm up what both use.
    for side in &mut sides {
        side.measure(10);
    }
    told.add(pairs, rounds, |side, rounds| sides[side].measure(rounds));
    sides.into_iter().for_each(Side::end);
}
