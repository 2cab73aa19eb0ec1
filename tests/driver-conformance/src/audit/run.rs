//! One audit from its beginning to its end.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use storage_core::driver::{Capability, Registry, Request, Roots};
use storage_core::error::OsContext;
use storage_core::{Error, Kind, Result};

use super::end;
use super::judge::{Facts, Ledger, judge, judge_probe};
use super::merge::{Story, read};
use super::notes::{self, Note};
use super::order::{Deed, Job, Order};
use super::report::Report;
use super::rule::Rule;

/// How long one worker may take.
const LIMIT: Duration = Duration::from_mins(2);
/// How a victim is meant to end.
const SIGKILL: i32 = nix::sys::signal::Signal::SIGKILL as i32;

/// What is audited, and where.
pub struct Subject<'a> {
    /// The drivers of this program.
    pub registry: &'a Registry,
    /// Which of them.
    pub driver: String,
    /// Its options, `[driver.]key=value`.
    pub options: Vec<String>,
    /// An empty directory on a filesystem that suits the driver, in a mount namespace that nobody else uses.
    pub place: PathBuf,
    /// Starts this program again, so that it hands the word which is added to [`super::work`].
    pub worker: &'a dyn Fn() -> Command,
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("driver", &self.driver).field("place", &self.place).finish_non_exhaustive()
    }
}

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Processes of the crowd, each of two threads.
    pub processes: u64,
    /// How often each thread does everything.
    pub rounds: u64,
    /// How many processes are killed.
    pub deaths: u64,
}

impl Default for Effort {
    fn default() -> Self {
        Effort { processes: 3, rounds: 10, deaths: 56 }
    }
}

/// What an audit has at hand.
struct Run<'a> {
    subject: &'a Subject<'a>,
    order: Order,
    facts: Facts,
    ledger: Ledger,
    report: Report,
    /// What deaths left so far.
    told: BTreeSet<String>,
}

/// Audits a driver. Fails only when the audit itself can't be done: what the driver does wrong stands in the report.
pub fn audit(subject: &Subject<'_>, effort: Effort) -> Result<Report> {
    let mut run = Run::begin(subject)?;
    if run.alone(Job::Prepare)? {
        run.alone(Job::Quiet)?;
        run.crowd(effort)?;
        for (number, deed) in Deed::ALL.iter().enumerate() {
            run.deaths(*deed, number as u64, effort.deaths.div_ceil(Deed::ALL.len() as u64))?;
        }
    }
    run.alone(Job::End)?;
    run.at_the_end();
    Ok(run.report.filled(&run.ledger))
}

/// The story that a process alone tells of every operation, for [`super::table`].
pub(super) fn quiet_story(subject: &Subject<'_>) -> Result<Story> {
    let mut run = Run::begin(subject)?;
    let done = run.alone(Job::Prepare)? && run.alone(Job::Quiet)?;
    let story = Story::of(read(&[run.order(Job::Quiet, 0).log()]));
    run.alone(Job::End)?;
    match run.report.failures.first() {
        None if done => Ok(story),
        failure => {
            let why = failure.map_or("a worker died", String::as_str);
            Err(Error::new(Kind::Io, "record operations").detail(why))
        }
    }
}

impl<'a> Run<'a> {
    fn begin(subject: &'a Subject<'a>) -> Result<Self> {
        let place = fs::canonicalize(&subject.place).os("realpath", &subject.place)?;
        let (graph, run, desk) = (place.join("graph"), place.join("run"), place.join("desk"));
        for directory in [&graph, &run, &desk] {
            fs::create_dir_all(directory).os("mkdir", directory)?;
        }
        let descriptor = subject.registry.get(&subject.driver)?;
        let request = Request::new(&Roots::new(&graph, &run), descriptor.name, &subject.options)?;
        let survey = (descriptor.survey)(&request);
        if !survey.usable {
            return Err(Error::new(Kind::DriverUnusable, "audit").at(&place).detail(survey.reason));
        }
        let facts = Facts {
            kernel_mounts: survey.capabilities.has(Capability::KernelMounts),
            homes: vec![request.home.clone(), request.run_home.clone()],
            left: BTreeSet::new(),
        };
        let order = Order {
            job: Job::Prepare,
            driver: descriptor.name.to_owned(),
            options: subject.options.clone(),
            graph,
            run,
            desk,
            number: 0,
            rounds: 1,
            dies_at: None,
        };
        let report = Report::new(descriptor.name, descriptor.version);
        Ok(Run { subject, order, facts, ledger: Ledger::default(), report, told: BTreeSet::new() })
    }

    fn order(&self, job: Job, number: u64) -> Order {
        Order { job, number, ..self.order.clone() }
    }

    fn start(&self, order: &Order) -> Result<Child> {
        let said = order.desk.join(format!("{}.said", order.name()));
        let said = File::create(&said).os("create", &said)?;
        let mut command = (self.subject.worker)();
        command.arg(order.to_word()?).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        command.spawn().os("execve", "this program")
    }

    /// Waits for a worker, and ends it when it takes too long. How it ended.
    fn wait(&mut self, child: &mut Child, order: &Order) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait().os("wait", "a worker")? {
                return Ok(status);
            }
            // Each round of the crowd is given a second more.
            if started.elapsed() > LIMIT + Duration::from_secs(order.rounds) {
                child.kill().os("kill", "a worker")?;
                self.report.failures.push(format!("{}: it did not end within its limit", order.name()));
                return child.wait().os("wait", "a worker");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// One worker and its story. Whether it did all it was told.
    fn alone(&mut self, job: Job) -> Result<bool> {
        let order = self.order(job, 0);
        let mut child = self.start(&order)?;
        self.wait(&mut child, &order)?;
        self.judge(std::slice::from_ref(&order), Vec::new());
        Ok(self.heed(&order))
    }

    /// Judges the story of some workers, of whom some died.
    fn judge(&mut self, orders: &[Order], deaths: Vec<(u32, u64)>) -> Story {
        let logs: Vec<PathBuf> = orders.iter().map(Order::log).collect();
        let mut story = Story::of(read(&logs));
        for (process, at) in deaths {
            story.died(process, at);
        }
        judge(&story, &self.facts, &mut self.ledger);
        self.report.count(&story);
        story
    }

    /// Takes in what a worker noted. Whether it did all it was told.
    fn heed(&mut self, order: &Order) -> bool {
        let mut done = false;
        for note in notes::read(&order.notes()) {
            match note {
                Note::Done => done = true,
                Note::Read { operation, files, differences } => {
                    let entry = self.ledger.checked(&operation, Rule::R1);
                    entry.at_most("files of the store as before", files as u64, || files.to_string());
                    if let Some(first) = differences.first() {
                        let what = format!("it changed {} files of the store: {first}", differences.len());
                        self.ledger.broken(&operation, Rule::R1, &operation, what);
                    }
                }
                Note::Wrong { operation, what } => self.ledger.broken(&operation, Rule::R3, &operation, what),
                Note::Failed { operation, why } => self.report.failures.push(format!("{operation}: {why}")),
                Note::Asked { .. } => {}
            }
        }
        if !done {
            let said = fs::read_to_string(order.desk.join(format!("{}.said", order.name()))).unwrap_or_default();
            let last = said.lines().last().unwrap_or("it was killed").to_owned();
            self.report.failures.push(format!("the worker \"{}\" did not get to its end: {last}", order.name()));
        }
        done
    }

    /// Processes of two threads each, and a probe beside them.
    fn crowd(&mut self, effort: Effort) -> Result<()> {
        let probe = self.order(Job::Probe, 0);
        let mut prober = self.start(&probe)?;
        let orders: Vec<Order> = (0..effort.processes)
            .map(|number| Order { rounds: effort.rounds, ..self.order(Job::Crowd, number) })
            .collect();
        let started: Result<Vec<Child>> = orders.iter().map(|order| self.start(order)).collect();
        let mut children = started?;
        for (child, order) in children.iter_mut().zip(&orders) {
            self.wait(child, order)?;
        }
        let stop = probe.desk.join("stop");
        fs::write(&stop, "").os("write", &stop)?;
        self.wait(&mut prober, &probe)?;
        let story = self.judge(&orders, Vec::new());
        judge_probe(&story, &notes::read(&probe.notes()), &mut self.ledger);
        for order in orders.iter().chain([&probe]) {
            self.heed(order);
        }
        Ok(())
    }

    /// Kills processes that do `deed`: at the borders of what they do, and whenever.
    fn deaths(&mut self, deed: Deed, kind: u64, rounds: u64) -> Result<()> {
        let first = 1000 * (kind + 1);
        let whole = self.order(Job::Victim(deed), first);
        let began = Instant::now();
        let mut child = self.start(&whole)?;
        self.wait(&mut child, &whole)?;
        let took = began.elapsed();
        if !self.heed(&whole) {
            if kind > 0 {
                // Others died before, and deeds of their kind were done by the crowd.
                self.could_not_go_on(deed, &whole);
            }
            return Ok(());
        }
        let events = read(&[whole.log()]).len() as u64;
        self.after_death(deed, &whole, None)?;
        for round in 1..=rounds {
            let mut order = self.order(Job::Victim(deed), first + round);
            let at_event = round % 2 == 1;
            order.dies_at = at_event.then(|| 1 + (round / 2) * events / rounds.div_ceil(2).max(1));
            let mut child = self.start(&order)?;
            if !at_event {
                // Spread over the time that it takes.
                std::thread::sleep(took * round as u32 / rounds as u32);
                let _ = child.kill();
            }
            let process = child.id();
            let ended = self.wait(&mut child, &order)?;
            // One that ended by itself, and not well, met what an earlier one left.
            if !ended.success() && ended.signal() != Some(SIGKILL) {
                self.heed(&order);
                self.could_not_go_on(deed, &order);
            }
            self.after_death(deed, &order, Some(process))?;
        }
        Ok(())
    }

    /// A victim failed by itself, after others had died.
    fn could_not_go_on(&mut self, deed: Deed, victim: &Order) {
        let story = Story::of(read(&[victim.log()]));
        let failed = story.calls.iter().rfind(|call| call.after.is_some() && call.outcome != "ok");
        let call = failed.map_or(deed.name(), |call| call.operation.as_str());
        self.ledger.checked(deed.name(), Rule::R8).saw("processes that could not go on after deaths");
        self.ledger.broken(deed.name(), Rule::R8, call, "after a death another process could not go on");
    }

    /// Lets the next process work, and looks at what is there then.
    fn after_death(&mut self, deed: Deed, order: &Order, died: Option<u32>) -> Result<()> {
        let at = super::probe::now();
        let settle = self.order(Job::Settle, order.number);
        let mut child = self.start(&settle)?;
        self.wait(&mut child, &settle)?;
        let story =
            self.judge(&[order.clone(), settle.clone()], died.map(|process| (process, at)).into_iter().collect());
        let last = story.calls.iter().rfind(|call| Some(call.process) == died);
        let call = last.map_or(deed.name().to_owned(), |call| call.operation.clone());
        let mut wrong = end::disagreements(&self.order, &self.facts)?;
        if !self.heed(&settle) {
            wrong.push("the next process could not go on".to_owned());
        }
        let entry = self.ledger.checked(deed.name(), Rule::R8);
        entry.saw(if order.dies_at.is_some() { "deaths at a border" } else { "deaths at any time" });
        for what in wrong {
            // What one death left, and nobody takes away, is told once.
            if !self.told.insert(what.clone()) {
                continue;
            }
            self.facts.left.extend(what.rsplit_once(": ").map(|(_, point)| point.to_owned()));
            self.ledger.broken(deed.name(), Rule::R8, &call, format!("after a death {what}"));
        }
        Ok(())
    }

    /// What is left when everything was taken away.
    fn at_the_end(&mut self) {
        self.ledger.checked("everything, at the end", Rule::R8).saw("looks for what is left");
        for what in end::left(&self.order, &self.facts) {
            let call = self.report.last_call(&what);
            self.ledger.broken("everything, at the end", Rule::R8, &call, what);
        }
    }
}
