//! From the command line to an exit code.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};

use storage_core::{Cancel, Error, Kind, Result};

use crate::flags::{Flag, Misread, Parsed};
use crate::globals::{self, Globals};
use crate::output::{self, Output, complain};
use crate::signals::{Caught, Patience, watch};
use crate::stop::{Outcome, Stop, code, not_yet, usage};
use crate::verbs::{self, Namespace, Verb, later};
use crate::work::Work;
use crate::{help, userns};

/// What a verb acts with.
pub(crate) struct Context {
    pub(crate) globals: Globals,
    pub(crate) flags: Parsed,
    pub(crate) args: Vec<String>,
    pub(crate) out: Output,
    pub(crate) cancel: Cancel,
}

impl Context {
    /// Whether JSON is wanted.
    pub(crate) fn json(&self) -> bool {
        self.flags.on("--json")
    }

    /// Begins a piece of long work.
    pub(crate) fn work(&self, operation: &'static str) -> Work {
        Work::begin(operation, &self.cancel, self.globals.progress)
    }
}

/// Runs the command line `line`, which has no program name, and says how it went.
pub(crate) fn run(line: impl Iterator<Item = OsString>) -> u8 {
    let mut caught = Caught::default();
    match understood(line).and_then(|plan| plan.map_or(Ok(()), |plan| act(plan, &mut caught))) {
        Ok(()) | Err(Stop::PipeClosed) => code::DONE,
        Err(Stop::Reported(number)) => caught.exit_code().filter(|_| number != code::DONE).unwrap_or(number),
        Err(Stop::Failed(error)) => {
            complain(&error);
            match caught.exit_code() {
                Some(signal) if error.kind() == Kind::Cancelled => signal,
                _ => error.kind().code(),
            }
        }
    }
}

/// A command line that was understood.
struct Plan {
    verb: &'static Verb,
    parsed: Parsed,
}

/// Understands a command line; none when it is answered already, as help is.
fn understood(line: impl Iterator<Item = OsString>) -> Outcome<Option<Plan>> {
    let line = line.map(plain).collect::<Result<Vec<String>>>()?;
    let mut parsed = Parsed::default();
    match parsed.read(&line, globals::FLAGS) {
        Ok(()) if parsed.args.is_empty() => return Err(misused("no command is given", true, &help::overview())),
        Ok(()) => {}
        Err(Misread::Help) => return print(&help::overview()).map(|()| None),
        Err(Misread::Flag(text)) => {
            return Err(misused(&format!("{text} while parsing arguments (1)"), false, &help::overview()));
        }
    }
    let called = parsed.args[0].clone();
    let rest = parsed.args.split_off(1);
    if called == "help" {
        return answer_help(&rest).map(|()| None);
    }
    if let Some(subject) = later::subject(&called) {
        return Err(not_yet(&called, subject).into());
    }
    let Some(verb) = verbs::called(&called) else {
        return Err(misused(&format!("{called}: unrecognized command."), false, ""));
    };
    read_verb(verb, &called, &rest, parsed)
}

fn read_verb(verb: &'static Verb, called: &str, rest: &[String], mut parsed: Parsed) -> Outcome<Option<Plan>> {
    let table: Vec<Flag> = [globals::FLAGS, verb.flags].concat();
    match parsed.read(rest, &table) {
        Ok(()) => {}
        Err(Misread::Help) => return print(&help::of(verb, called)).map(|()| None),
        Err(Misread::Flag(text)) => {
            complain(format_args!("{text}; see 'lamina {called} --help'"));
            return Err(Stop::Reported(code::FLAG));
        }
    }
    let (least, most) = verb.count;
    if parsed.args.len() < least {
        return Err(misused(&format!("{called}: more arguments required."), false, &help::of(verb, called)));
    }
    if parsed.args.len() > most {
        let args = parsed.args.join(" ");
        return Err(misused(&format!("{called}: too many arguments ([{args}])."), false, &help::of(verb, called)));
    }
    Ok(Some(Plan { verb, parsed }))
}

/// Enters the namespaces that the verb needs, listens to signals where its work is long, and does it.
fn act(plan: Plan, caught: &mut Caught) -> Outcome {
    let globals = Globals::from_parsed(&plan.parsed, plan.verb.configured)?;
    if globals.unshare && plan.verb.namespace != Namespace::None {
        userns::enter(&globals)?;
    }
    // Only now: entering runs this program again.
    globals.configuration.warnings.iter().for_each(|warning| complain(format_args!("warning: {warning}")));
    if plan.verb.namespace == Namespace::PrivateMounts {
        // Without it the mounts can be seen by others while they are there, and nothing else changes.
        if let Err(error) = userns::private_mounts() {
            complain(format_args!("{error}; going on in the mount namespace of the caller"));
        }
    }
    let cancel = Cancel::default();
    if let Some(patience) = plan.verb.stops {
        *caught = watch(cancel.clone(), patience)?;
    }
    if globals.debug {
        complain(format_args!("debug: Root: {}", globals.graph_root.display()));
        complain(format_args!("debug: Run Root: {}", globals.run_root.display()));
        complain(format_args!("debug: Driver Name: {}", globals.driver.as_deref().unwrap_or_default()));
        complain(format_args!("debug: Driver Options: {:?}", globals.driver_options));
        let read: Vec<_> = globals.configuration.files.iter().map(|file| file.display().to_string()).collect();
        complain(format_args!("debug: Configuration: {}", read.join(" ")));
    }
    let args = plan.parsed.args.clone();
    let mut context = Context { globals, flags: plan.parsed, args, out: Output::new(), cancel };
    let outcome = (plan.verb.action)(&mut context);
    let flushed = context.out.flush();
    outcome.and(flushed)
}

fn answer_help(topic: &[String]) -> Outcome {
    match topic {
        [] => print(&help::overview()),
        [topic, ..] if topic == "exit-codes" => print(&help::exit_codes()),
        [topic, ..] => match verbs::called(topic) {
            Some(verb) => print(&help::of(verb, topic)),
            None => Err(misused(&format!("{topic}: unrecognized command."), false, "")),
        },
    }
}

/// Says why a command line can't be followed: to standard output as the reference does, and to standard error, where a
/// person finds it when the output went elsewhere.
fn misused(reason: &str, silent: bool, text: &str) -> Stop {
    let mut stdout = std::io::stdout().lock();
    let reason_line = if silent { String::new() } else { format!("{reason}\n") };
    let _ = stdout.write_all(format!("{reason_line}{text}").as_bytes()).and_then(|()| stdout.flush());
    if !stdout.is_terminal() {
        output::complain(reason);
    }
    Stop::Reported(code::NO)
}

fn print(text: &str) -> Outcome {
    let mut out = Output::new();
    out.text(text)?;
    out.flush()
}

fn plain(word: OsString) -> Result<String, Error> {
    word.into_string()
        .map_err(|word| usage(format!("{} is not UTF-8", word.display()), "reach the file by a name that is"))
}

/// The patience of verbs that only read, and of those that change something.
pub(crate) const READS: Option<Patience> = Some(Patience::Brief);
/// See [`READS`].
pub(crate) const CHANGES: Option<Patience> = Some(Patience::Endless);
