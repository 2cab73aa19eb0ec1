//! Runs cases: which, how many at a time, for how long, and what came of them.
//!
//! ```text
//! integration                     supervises; never mounts or changes anything outside its run directory
//! └── integration --enter NAME    new mount and process namespaces, the time limit
//!     └── integration --inside NAME    first process of the namespace: mounts the scratch disk, runs the case
//! ```
//!
//! What a case says is shown when it fails, and always with `LAMINA_TEST_OUTPUT=1`.
//!
//! Each of the two asks the kernel to be killed when its parent dies, and the death of the innermost ends its namespaces.
//! What stays after a kill is the run directory, which the next run removes: its lock says that nobody uses it.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;

use crate::case::{Case, Outcome, Skip};
use crate::machine;
use crate::rootfs;
use crate::scratch::{RunDir, Scratch};

const SKIPPED: u8 = 77;
const LATE: u8 = 78;
/// Programs that insist on a configuration get one; every call of a test names its own places.
const CONF: &str = "[storage]\ndriver = \"vfs\"\ngraphroot = \"/nonexistent/root\"\nrunroot = \"/nonexistent/run\"\n";
/// How the names of the cases begin that need a pool of zfs.
const ON_ZFS: &str = "zfs::";
const ALLOWED_SKIPS: &str = include_str!("../../allowed-skips");

enum Verdict {
    Passed,
    Skipped(String),
    Failed(String),
}

struct Options {
    filters: Vec<String>,
    exact: bool,
    list: bool,
    jobs: usize,
}

/// The whole program.
pub fn main(cases: &'static [&'static [Case]]) -> ExitCode {
    let mut args: Vec<String> = env::args().skip(1).collect();
    let all: Vec<Case> = cases.iter().flat_map(|list| list.iter().copied()).collect();
    if args.len() == 3 && (args[0] == "--enter" || args[0] == "--inside") {
        let home = PathBuf::from(args.pop().expect("three arguments"));
        let name = args.pop().expect("three arguments");
        let case = all.into_iter().find(|case| case.name == name).expect("a case of that name");
        return if args[0] == "--enter" { enter(&case, &home) } else { inside(&case, &home) };
    }
    if args == ["--prepare"] {
        return prepare();
    }
    match options(args) {
        Ok(options) => supervise(all, &options),
        Err(wrong) => {
            eprintln!("integration: {wrong}; usage: integration [--list] [--exact] [--full] [--jobs N] [NAME...]");
            ExitCode::from(2)
        }
    }
}

/// Makes what cases keep between runs, for a run where it can't be made: in a virtual machine without a network.
fn prepare() -> ExitCode {
    match rootfs::archive(rootfs::Form::Zstd) {
        Ok(_) => ExitCode::SUCCESS,
        Err(Skip(why)) => {
            eprintln!("integration: {why}");
            ExitCode::FAILURE
        }
    }
}

fn options(args: Vec<String>) -> Result<Options, String> {
    let mut options = Options { filters: Vec::new(), exact: false, list: false, jobs: 2 };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--list" => options.list = true,
            "--exact" => options.exact = true,
            "--full" => return Err("set LAMINA_TEST_FULL=1 instead of --full".to_owned()),
            "--jobs" | "--test-threads" => {
                let jobs = args.next().and_then(|number| number.parse().ok());
                options.jobs = jobs.ok_or("--jobs wants a number")?;
            }
            // What `cargo test -- …` hands to every binary of a workspace alike.
            "--nocapture" | "--no-capture" | "--quiet" | "-q" | "--include-ignored" => {}
            unknown if unknown.starts_with('-') => return Err(format!("unknown option {unknown}")),
            filter => options.filters.push(filter.to_owned()),
        }
    }
    options.jobs = options.jobs.clamp(1, 2);
    Ok(options)
}

fn supervise(all: Vec<Case>, options: &Options) -> ExitCode {
    let wanted = |case: &Case| {
        let hit = |filter: &String| if options.exact { case.name == filter } else { case.name.contains(filter) };
        options.filters.is_empty() || options.filters.iter().any(hit)
    };
    let chosen: VecDeque<Case> = all.into_iter().filter(wanted).collect();
    if options.list {
        for case in &chosen {
            println!("{}: test", case.name);
        }
        return ExitCode::SUCCESS;
    }
    let Some(bin) = machine::lamina() else {
        eprintln!(
            "integration: there is no command to test: run `cargo build --release -p store-cli`, or set LAMINA_BIN"
        );
        return ExitCode::FAILURE;
    };
    println!("running {} cases against {}", chosen.len(), bin.display());
    if machine::stand_in() {
        println!("the reference stands in for the command under test: this tries the tests, not Lamina");
    }
    let run = RunDir::make();
    let queue = Mutex::new(chosen);
    let verdicts = Mutex::new(Vec::new());
    let work = || {
        while let Some(case) = next(&queue) {
            let start = Instant::now();
            let verdict = one(&case, &run.path);
            report(&case, &verdict, start.elapsed());
            verdicts.lock().expect("no thread panicked").push((case.name, verdict));
        }
    };
    thread::scope(|scope| (0..options.jobs).for_each(|_| drop(scope.spawn(work))));
    close(&verdicts.into_inner().expect("no thread panicked"))
}

fn next(queue: &Mutex<VecDeque<Case>>) -> Option<Case> {
    queue.lock().expect("no thread panicked").pop_front()
}

fn report(case: &Case, verdict: &Verdict, took: Duration) {
    let seconds = took.as_secs_f32();
    let mut out = io::stdout().lock();
    let _ = match verdict {
        Verdict::Passed => writeln!(out, "{} ... ok ({seconds:.1} s)", case.name),
        Verdict::Skipped(why) => writeln!(out, "{} ... skipped: {why}", case.name),
        Verdict::Failed(why) => writeln!(out, "{} ... FAILED ({seconds:.1} s)\n{}", case.name, indent(why)),
    };
}

fn indent(text: &str) -> String {
    text.lines().fold(String::new(), |all, line| all + "    " + line + "\n")
}

fn close(verdicts: &[(&str, Verdict)]) -> ExitCode {
    let (forbidding, pool) = (machine::forbids_skips(), machine::zfs_pool());
    let (mut passed, mut skipped, mut failed) = (0, 0, Vec::new());
    for (name, verdict) in verdicts {
        match verdict {
            Verdict::Passed => passed += 1,
            Verdict::Skipped(why) if forbidding && !allowed(name, pool.as_deref()) => {
                failed.push(format!("{name} (skipped, and not in tests/allowed-skips: {why})"));
            }
            Verdict::Skipped(_) => skipped += 1,
            Verdict::Failed(_) => failed.push((*name).to_owned()),
        }
    }
    for name in &failed {
        println!("failed: {name}");
    }
    println!("{passed} passed, {} failed, {skipped} skipped", failed.len());
    let nothing = verdicts.is_empty();
    if nothing {
        println!("no case has such a name");
    }
    if failed.is_empty() && !nothing { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether a case may be skipped where `pool` is the pool of zfs for tests: with one, those that need one are tried.
fn allowed(name: &str, pool: Option<&OsStr>) -> bool {
    let entries = ALLOWED_SKIPS.lines().map(|line| line.split('#').next().unwrap_or("").trim());
    let mut entries = entries.filter(|entry| !entry.is_empty() && (pool.is_none() || !entry.starts_with(ON_ZFS)));
    entries.any(|entry| match entry.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == entry,
    })
}

fn one(case: &Case, run: &Path) -> Verdict {
    if !nix::unistd::geteuid().is_root() {
        return Verdict::Skipped("root is missing: loop devices and namespaces need it".to_owned());
    }
    let home = run.join(case.name.replace("::", "."));
    fs::create_dir_all(&home).expect("make the directory of a case");
    let log = File::create(home.join("log")).expect("make the log of a case");
    let exe = env::current_exe().expect("the path of the running test");
    let status = Command::new(exe)
        .args(["--enter", case.name])
        .arg(&home)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("share the log of a case"))
        .stderr(log)
        .status()
        .expect("start a case");
    let verdict = match status.code().map(u8::try_from) {
        Some(Ok(0)) => {
            if env::var_os("LAMINA_TEST_OUTPUT").is_some() {
                print!("{}", indent(&tail(&home.join("log"))));
            }
            Verdict::Passed
        }
        Some(Ok(SKIPPED)) => Verdict::Skipped(fs::read_to_string(home.join("skip")).unwrap_or_default()),
        Some(Ok(LATE)) => {
            Verdict::Failed(format!("{}\nended after its limit of {} s", tail(&home.join("log")), case.limit))
        }
        _ => Verdict::Failed(format!("{}\n{status}", tail(&home.join("log")))),
    };
    let _ = fs::remove_dir_all(&home);
    verdict
}

fn tail(log: &Path) -> String {
    const LONGEST: i64 = 6000;
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(log) {
        let _ = file.seek(SeekFrom::End(-LONGEST)).or_else(|_| file.seek(SeekFrom::Start(0)));
        let _ = file.read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

/// Ends this process when its parent dies, also when the parent is already gone.
fn die_with_parent() {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("ask to be ended with the parent");
}

/// Single-threaded: after the call that makes a process namespace the kernel refuses to start threads.
fn enter(case: &Case, home: &Path) -> ExitCode {
    die_with_parent();
    let processes = if case.sees_all_processes() { CloneFlags::empty() } else { CloneFlags::CLONE_NEWPID };
    unshare(CloneFlags::CLONE_NEWNS | processes).expect("enter new namespaces");
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("make every mount private");
    let mnt = home.join("mnt");
    fs::create_dir_all(&mnt).expect("make the scratch directory");
    let conf = home.join("storage.conf");
    fs::write(&conf, CONF).expect("write a storage.conf that leads nowhere else");
    let exe = env::current_exe().expect("the path of the running test");
    let mut child = Command::new(exe)
        .args(["--inside", case.name])
        .arg(home)
        .env("HOME", home)
        .env("TMPDIR", &mnt)
        .env("CONTAINERS_STORAGE_CONF", &conf)
        .env_remove("STORAGE_DRIVER")
        .env_remove("STORAGE_OPTS")
        .env_remove("XDG_RUNTIME_DIR")
        .env("RUST_BACKTRACE", "0")
        .spawn()
        .expect("start the inside of a case");
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("wait for a case") {
            return ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(99));
        }
        if start.elapsed() > Duration::from_secs(case.limit) {
            let _ = child.kill();
            let _ = child.wait();
            return ExitCode::from(LATE);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn inside(case: &Case, home: &Path) -> ExitCode {
    die_with_parent();
    if !case.sees_all_processes() {
        let none = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let mounted = mount(Some("proc"), "/proc", Some("proc"), none, None::<&str>);
        mounted.expect("mount /proc of the new process namespace");
    }
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let scratch =
        if case.name.starts_with(ON_ZFS) { Scratch::on_zfs(home) } else { Scratch::mount(home, case.filesystem()) };
    let outcome: Outcome = scratch.and_then(|scratch| {
        env::set_current_dir(scratch.path()).expect("enter the scratch directory");
        (case.run)(&scratch)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Skip(why)) => {
            fs::write(home.join("skip"), why).expect("note why a case is skipped");
            ExitCode::from(SKIPPED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_pool_of_zfs_is_no_case_on_zfs_may_be_skipped() {
        let other = "unmount::corrected_when_every_process_was_asked::overlay";
        for (name, pool, may) in [
            ("zfs::a_dataset_of_somebody", None, true),
            ("zfs::a_dataset_of_somebody", Some("lamina"), false),
            (other, None, true),
            (other, Some("lamina"), true),
            ("unmount::another::overlay", None, false),
        ] {
            assert_eq!(allowed(name, pool.map(OsStr::new)), may, "{name} with the pool {pool:?}");
        }
    }
}
