//! The audit finds every fault under its rule, names the call, blames no rule that the fault has nothing to do with, and finds
//! nothing in good drivers. In CI an audit that can't be tried counts as failed.
//!
//! A program of its own: `--worker WORD` makes it a worker of an audit.

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

use driver_conformance::audit::{self, Effort, Report, Rule, Subject};
use driver_conformance::grounds::{Filesystem, Grounds};
use faulty_drivers::{Fault, registry};
use integration::machine;
use storage_core::mount::in_private_namespace;
use storage_core::{Kind, Result};

/// The word that makes this program a worker.
const WORKER: &str = "--worker";
/// Enough to see every fault: each shows when one process alone does everything, or at the first deaths.
const SHORT: Effort = Effort { processes: 2, rounds: 1, deaths: 14 };

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [first, word] = args.as_slice()
        && first == WORKER
    {
        let done = registry().and_then(|registry| audit::work(&registry, word));
        return done.map_or_else(
            |error| {
                eprintln!("{error}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        );
    }
    let filter = |name: &str| {
        let wanted: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
        wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str()))
    };
    let mut failed = 0;
    for good in ["vfs", "overlay", "btrfs"] {
        failed += run(&format!("nothing_is_found_in::{good}"), &filter, || nothing_is_found(good));
    }
    for fault in Fault::ALL {
        failed += run(&format!("the_rule_and_the_call_are_named::{}", fault.name()), &filter, || is_found(*fault));
    }
    failed += run("the_table_in_the_documentation_is_current", &filter, table_is_current);
    println!("{failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What came of a case: it failed, or could not be tried.
enum Ended {
    Well,
    Skipped(String),
    Failed(String),
}

fn run(name: &str, filter: &dyn Fn(&str) -> bool, case: impl FnOnce() -> Ended) -> u32 {
    if !filter(name) {
        return 0;
    }
    let started = std::time::Instant::now();
    let ended = case();
    let seconds = started.elapsed().as_secs_f32();
    match ended {
        Ended::Well => println!("{name} ... ok ({seconds:.1} s)"),
        Ended::Skipped(why) if machine::forbids_skips() => {
            println!("{name} ... FAILED\nin CI it has to be tried: {why}");
            return 1;
        }
        Ended::Skipped(why) => println!("{name} ... skipped: {why}"),
        Ended::Failed(why) => {
            println!("{name} ... FAILED ({seconds:.1} s)\n{why}");
            return 1;
        }
    }
    0
}

/// In a mount namespace of its own, with a throw-away place that suits the driver.
fn on_grounds<R: Send>(driver: &str, act: impl FnOnce(&Subject<'_>) -> Result<R> + Send) -> Result<R> {
    in_private_namespace(|| {
        let grounds = match Filesystem::for_driver(driver) {
            // One in memory, where it can be had: an audit flushes a lot.
            Filesystem::Plain => {
                Grounds::make(None, Filesystem::Ext4).or_else(|_| Grounds::make(None, Filesystem::Plain))
            }
            needed => Grounds::make(None, needed),
        }?;
        let place = grounds.directory("audit")?;
        let registry = registry()?;
        let worker = || {
            let mut command = Command::new(env::current_exe().unwrap_or_default());
            command.arg(WORKER);
            command
        };
        let subject =
            Subject { registry: &registry, driver: driver.to_owned(), options: Vec::new(), place, worker: &worker };
        let done = act(&subject);
        grounds.remove()?;
        done
    })
}

/// An audit, or why it can't be tried.
fn audited(driver: &str, effort: Effort) -> Result<Report, Ended> {
    on_grounds(driver, |subject| audit::audit(subject, effort)).map_err(|error| match error.kind() {
        Kind::NotSupported | Kind::DriverUnusable | Kind::Permission => Ended::Skipped(error.to_string()),
        _ => Ended::Failed(error.to_string()),
    })
}

fn nothing_is_found(driver: &str) -> Ended {
    match audited(driver, Effort::default()) {
        Ok(report) if report.is_broken() || !report.failures.is_empty() => Ended::Failed(report.to_text()),
        Ok(report) => {
            if env::var_os("AUDIT_REPORT").is_some() {
                println!("{}", report.to_text());
            }
            Ended::Well
        }
        Err(ended) => ended,
    }
}

fn is_found(fault: Fault) -> Ended {
    // A process has to die in the middle of making a layer.
    let effort = if fault == Fault::FailsAfterADeath { Effort { deaths: 35, ..SHORT } } else { SHORT };
    match audited(fault.name(), effort) {
        Ok(report) => {
            let broken = report.broken();
            let named = broken.get(&fault.rule()).is_some_and(|calls| calls.contains(&fault.call()));
            let expected = |rule: &Rule| *rule == fault.rule() || fault.companions().contains(rule);
            if env::var_os("AUDIT_REPORT").is_some() {
                println!("{}: {:?}", fault.name(), report.broken());
            }
            if named && broken.keys().all(expected) && report.exit_code() == Kind::RuleBroken.code() {
                Ended::Well
            } else {
                Ended::Failed(report.to_text())
            }
        }
        Err(ended) => ended,
    }
}

fn table_is_current() -> Ended {
    let made = match on_grounds("vfs", audit::table) {
        Ok(made) => made,
        Err(error) => return Ended::Failed(error.to_string()),
    };
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../storage-core/docs/locking.md");
    let text = std::fs::read_to_string(page).unwrap_or_default();
    if text.contains(&made) {
        return Ended::Well;
    }
    Ended::Failed(format!("docs/locking.md is stale; the table is now\n{made}"))
}
