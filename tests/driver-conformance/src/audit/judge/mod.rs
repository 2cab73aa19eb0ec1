//! Judging a story by the rules.
//!
//! Several processes work at once, so what a look shows may be another's doing. A judge blames a call only where nobody else can
//! have done it: the recorder tells of every hold from before it is had until after it is given back, so a time without a hold of
//! `mountpoints.lock` is a time in which nobody may attach, detach or count.

mod change;
mod held;
mod order;
mod probed;
mod rest;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::merge::{Call, Story};
use super::notes::Note;
use super::rule::Rule;

pub(super) use held::millis;
pub(super) use rest::{Counted, counts_of, disagreements, layer_mounts};

/// What a judge must know beside the story.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Whether the driver's mounts are the kernel's.
    pub(super) kernel_mounts: bool,
    /// The places of the driver that may be mounts without being a layer's.
    pub(super) homes: Vec<PathBuf>,
    /// Where a death left something mounted, which was told.
    pub(super) left: BTreeSet<String>,
}

/// What was found about one path and one rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// How often it was looked at.
    pub(super) checked: u64,
    /// How often a look could not tell, because others were at work that may do this.
    pub(super) unsure: u64,
    /// What was broken: the call, and how.
    pub(super) broken: Vec<Breach>,
    /// What was seen, by name.
    pub(super) seen: BTreeMap<&'static str, u64>,
    /// The greatest of something, by name, with words.
    pub(super) most: BTreeMap<&'static str, (u64, String)>,
}

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// What the driver was asked; what the store did, where it was not the driver.
    pub call: String,
    /// What happened.
    pub what: String,
    /// How often.
    pub times: u64,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) entries: BTreeMap<(String, Rule), Entry>,
}

/// The most kinds of breaches that are kept for one path and rule.
const MOST: usize = 8;

impl Ledger {
    pub(super) fn entry(&mut self, path: &str, rule: Rule) -> &mut Entry {
        let path = if path.is_empty() { "(no operation)" } else { path };
        self.entries.entry((path.to_owned(), rule)).or_default()
    }

    pub(super) fn checked(&mut self, path: &str, rule: Rule) -> &mut Entry {
        let entry = self.entry(path, rule);
        entry.checked += 1;
        entry
    }

    pub(super) fn broken(&mut self, path: &str, rule: Rule, call: &str, what: impl Into<String>) {
        let (broken, what) = (&mut self.entry(path, rule).broken, what.into());
        // One fault shows many times, each with other numbers.
        if let Some(breach) = broken.iter_mut().find(|breach| breach.call == call && alike(&breach.what, &what)) {
            breach.times += 1;
        } else if broken.len() < MOST {
            broken.push(Breach { call: call.to_owned(), what, times: 1 });
        }
    }

    fn breach(&mut self, call: &Call, rule: Rule, what: impl Into<String>) {
        self.broken(&call.purpose, rule, &call.operation, what);
    }
}

impl Entry {
    pub(super) fn saw(&mut self, what: &'static str) -> &mut Self {
        *self.seen.entry(what).or_default() += 1;
        self
    }

    pub(super) fn at_most(&mut self, what: &'static str, value: u64, words: impl FnOnce() -> String) -> &mut Self {
        if self.most.get(what).is_none_or(|(most, _)| value > *most) {
            self.most.insert(what, (value, words()));
        }
        self
    }
}

/// Whether two texts say the same of other things: they begin with the same words.
fn alike(one: &str, other: &str) -> bool {
    let start = |text: &str| text.split(' ').take(4).collect::<Vec<_>>().join(" ");
    start(one) == start(other)
}

/// Judges one story.
pub(super) fn judge(story: &Story, facts: &Facts, ledger: &mut Ledger) {
    change::judge(story, facts, ledger);
    order::judge(story, ledger);
    held::judge(story, ledger);
    rest::judge(story, facts, ledger);
}

/// Judges what the kernel answered the probe beside a story.
pub(super) fn judge_probe(story: &Story, notes: &[Note], ledger: &mut Ledger) {
    probed::judge(story, notes, ledger);
}
