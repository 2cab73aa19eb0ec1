//! Processes that compete with a case, or are killed by it.
//!
//! A worker is told its store and its job by words, tells what it did on standard output, a line each, and ends with its
//! standard input.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command};

use storage_core::driver::{Descriptor, Plan, Request, Start};
use storage_core::error::OsContext;
use storage_core::{Error, Kind, Result};

use super::check::{Checked, Step, Stop, fail};
use super::store::{Store, chain};
use super::tree::Tree;

/// How a worker of the same driver is started: a command that hands the words added to it on to [`work`].
pub struct Workers(Box<dyn Fn() -> Command + Send + Sync>);

impl Workers {
    /// Workers are started by what `command` gives.
    pub fn new(command: impl Fn() -> Command + Send + Sync + 'static) -> Self {
        Workers(Box::new(command))
    }

    pub(super) fn command(&self) -> Command {
        (self.0)()
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").finish_non_exhaustive()
    }
}

/// A worker from the side of a case. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
}

impl Worker {
    pub(super) fn of(mut child: Child) -> Self {
        let (input, output) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Worker { child, input, output }
    }

    /// The next line that it tells.
    pub(super) fn line(&mut self) -> Checked<String> {
        let mut line = String::new();
        if let Some(output) = &mut self.output {
            output.read_line(&mut line).step("read", "a worker's output")?;
        }
        if line.ends_with('\n') {
            return Ok(line.trim_end().to_owned());
        }
        let mut words = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            let _ = errors.read_to_string(&mut words);
        }
        fail(format!("a worker ended: {}", words.trim()))
    }

    /// Waits for that line.
    pub(super) fn expect(&mut self, wanted: &str) -> Checked {
        match self.line()? {
            line if line == wanted => Ok(()),
            other => fail(format!("a worker said {other:?}, not {wanted:?}")),
        }
    }

    /// Tells it a line.
    pub(super) fn tell(&mut self, line: &str) -> Checked {
        let Some(input) = &mut self.input else { return Ok(()) };
        writeln!(input, "{line}").and_then(|()| input.flush()).step("write", "a worker's input")
    }

    /// Kills it at once, as a crash would.
    pub(super) fn kill(mut self) -> Checked {
        self.child.kill().and_then(|()| self.child.wait()).map(drop).step("kill", "a worker")
    }

    /// Lets it end by itself.
    pub(super) fn finish(mut self) -> Checked {
        drop(self.input.take());
        let ended = self.child.wait().step("wait", "a worker")?;
        if ended.success() { Ok(()) } else { fail(format!("a worker failed: {ended}")) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does what the words tell: the body of a worker process.
///
/// * Fails with [`Kind::Usage`] on words that no case gives.
pub fn work(descriptor: &Descriptor, words: &[String]) -> Result<()> {
    let [home, run_home, job, rest @ ..] = words else { return Err(unknown(words)) };
    let mut store = Store::open(descriptor, Request::of_home(PathBuf::from(home), PathBuf::from(run_home)))?;
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let done = match (job.as_str(), rest.as_slice()) {
        ("make", [prefix, count]) => make(&mut store, prefix, count.parse().unwrap_or(0)),
        ("race", [name]) => race(&mut store, name),
        ("fill", []) => fill(&mut store),
        ("view", [name]) => view(&mut store, name),
        ("trash", [name]) => trash(&mut store, name),
        ("mount", [name]) => mount(&mut store, name),
        ("churn", [base]) => churn(&mut store, base),
        _ => return Err(unknown(words)),
    };
    done.map_err(|stop| match stop {
        Stop::Failed(detail) | Stop::Skipped(detail) => Error::new(Kind::Io, "work for a case").detail(detail),
    })
}

fn unknown(words: &[String]) -> Error {
    Error::new(Kind::Usage, "work for a case").detail(format!("no case has such a worker: {words:?}"))
}

fn say(line: &str) -> Checked {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).os("write", "standard output").map_err(Stop::from)
}

/// The next line of the case; none at the end.
fn told() -> Checked<Option<String>> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line).step("read", "standard input")?;
    Ok((read > 0).then(|| line.trim_end().to_owned()))
}

/// Makes layers, looks at each, and removes every third.
fn make(store: &mut Store, prefix: &str, count: usize) -> Checked {
    for number in 0..count {
        let name = format!("{prefix}{number}");
        let layer = store.make(&[&name, "base"], |tree| tree.write("own", &name))?;
        if store.tree(&layer)?.read("own")? != name {
            return fail(format!("{name} holds something else"));
        }
        if number % 3 == 0 {
            store.delete(&layer)?;
        }
    }
    say("done")
}

/// Makes a layer that others make too, at one word for all.
fn race(store: &mut Store, name: &str) -> Checked {
    let mut staged = store.begin(&Plan::new(Start::OnParent(None)))?;
    Tree::staged(&*staged)?.write("winner", &std::process::id().to_string())?;
    say("ready")?;
    told()?;
    match store.commit(&mut *staged, name) {
        Ok(()) => say(&format!("won {}", std::process::id())),
        Err(error) if error.kind() == Kind::DuplicateId => say("lost"),
        Err(error) => Err(error.into()),
    }
}

/// Has a layer in the making.
fn fill(store: &mut Store) -> Checked {
    let staged = store.begin(&Plan::new(Start::OnParent(Some(chain(&["base"])?))))?;
    let tree = Tree::staged(&*staged)?;
    tree.dir("d")?;
    tree.write("d/half", "done")?;
    say("ready")?;
    told().map(drop)
}

/// Has a view, and tells what is in a file of it when asked.
fn view(store: &mut Store, name: &str) -> Checked {
    let tree = store.tree(&chain(&[name])?)?;
    let view = store.view(&chain(&[name])?)?;
    say("ready")?;
    while told()?.is_some() {
        say(&tree.read("f")?)?;
        drop(view.check());
    }
    Ok(())
}

/// Has a layer in trash.
fn trash(store: &mut Store, name: &str) -> Checked {
    let _trash = store.remove(&chain(&[name])?)?;
    say("ready")?;
    told().map(drop)
}

/// Has a layer mounted, and never releases it.
fn mount(store: &mut Store, name: &str) -> Checked {
    store.mount(&chain(&[name])?)?;
    say("ready")?;
    told().map(drop)
}

/// Makes layers and removes them again, until it is killed. Each holds the same files.
fn churn(store: &mut Store, base: &str) -> Checked {
    for number in 0.. {
        store.make(&[&format!("churn{number}"), base], |tree| {
            (0..20).try_for_each(|file| tree.write(&format!("file{file}"), "whole"))
        })?;
        if number >= 2 {
            store.delete(&chain(&[&format!("churn{}", number - 2), base])?)?;
        }
        say(&number.to_string())?;
    }
    Ok(())
}
