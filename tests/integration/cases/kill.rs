//! SIGKILL before every call that changes something: the next command finds a store in order.
//!
//! strace kills the command just before its n-th call of a kind. In half of the runs the next command is the reference's,
//! in half it is ours; then one of ours has the last word, and nothing may be left: no lock, no half-made layer, no count
//! without a mount, and everything that was acknowledged is there. `LAMINA_TEST_FULL=1` tries every point, otherwise a
//! bounded choice of them.

use std::fs;
use std::path::PathBuf;

use integration::case::{Case, case};
use integration::store::{Store, id};
use integration::trace::{self, Point};
use integration::tree::Tree;
use integration::{Outcome, Scratch, archive, invariants, machine, tree};

pub(crate) const CASES: &[Case] = &[
    case("kill::create::overlay", 300, |s| sweep(s, "overlay", Deed::Create)),
    case("kill::create::vfs", 300, |s| sweep(s, "vfs", Deed::Create)),
    case("kill::create::btrfs", 300, |s| sweep(s, "btrfs", Deed::Create)),
    case("kill::import::overlay", 300, |s| sweep(s, "overlay", Deed::Import)),
    case("kill::import::vfs", 300, |s| sweep(s, "vfs", Deed::Import)),
    case("kill::import::btrfs", 300, |s| sweep(s, "btrfs", Deed::Import)),
    case("kill::mount::overlay", 300, |s| sweep(s, "overlay", Deed::Mount)),
    case("kill::mount::vfs", 300, |s| sweep(s, "vfs", Deed::Mount)),
    case("kill::mount::btrfs", 300, |s| sweep(s, "btrfs", Deed::Mount)),
    case("kill::release::overlay", 300, |s| sweep(s, "overlay", Deed::Release)),
    case("kill::release::vfs", 300, |s| sweep(s, "vfs", Deed::Release)),
    case("kill::release::btrfs", 300, |s| sweep(s, "btrfs", Deed::Release)),
    case("kill::delete::overlay", 300, |s| sweep(s, "overlay", Deed::Delete)),
    case("kill::delete::vfs", 300, |s| sweep(s, "vfs", Deed::Delete)),
    case("kill::delete::btrfs", 300, |s| sweep(s, "btrfs", Deed::Delete)),
    case("kill::apply_to_an_empty_layer::overlay", 300, |s| sweep(s, "overlay", Deed::ApplyToEmpty)),
    case("kill::apply_to_an_empty_layer::vfs", 300, |s| sweep(s, "vfs", Deed::ApplyToEmpty)),
    case("kill::apply_to_an_empty_layer::btrfs", 300, |s| sweep(s, "btrfs", Deed::ApplyToEmpty)),
    case("kill::apply_to_a_filled_layer::overlay", 300, |s| sweep(s, "overlay", Deed::ApplyToFilled)),
    case("kill::apply_to_a_filled_layer::vfs", 300, |s| sweep(s, "vfs", Deed::ApplyToFilled)),
    case("kill::apply_to_a_filled_layer::btrfs", 300, |s| sweep(s, "btrfs", Deed::ApplyToFilled)),
];

/// How many points of one sweep are tried unless all are asked for.
const BOUND: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Create,
    Import,
    Mount,
    Release,
    Delete,
    ApplyToEmpty,
    ApplyToFilled,
}

struct Sweep {
    ours: Store,
    peer: Store,
    deed: Deed,
    base: String,
    first: PathBuf,
    second: PathBuf,
    /// The trees that an applied diff may leave: as before, and wholly changed.
    before: Tree,
    after: Tree,
}

fn sweep(scratch: &Scratch, driver: &'static str, deed: Deed) -> Outcome {
    let ours = Store::new(scratch, "store", driver);
    let peer = ours.peer()?;
    let base = id("base");
    let first = archive::small(scratch.path(), "first", 6, 700);
    let second = archive::small(scratch.path(), "second", 6, 700);
    ours.import(&base, None, &first);
    let mut sweep = Sweep { ours, peer, deed, base, first, second, before: Tree::new(), after: Tree::new() };

    let dry = id("dry run");
    sweep.prepare(&dry);
    if matches!(deed, Deed::ApplyToEmpty | Deed::ApplyToFilled) {
        sweep.before = sweep.sight(&dry);
    }
    let all = trace::points(&sweep.argv(&dry), &scratch.join("trace"))?;
    if matches!(deed, Deed::ApplyToEmpty | Deed::ApplyToFilled) {
        sweep.after = sweep.sight(&dry);
        assert!(sweep.before != sweep.after, "the deed does something");
    }
    sweep.clear(&dry);

    let chosen = choose(&all, if machine::full() { usize::MAX } else { BOUND });
    let (mut fired, mut wrong) = (0, Vec::new());
    for (number, point) in chosen.iter().enumerate() {
        let (killed, lines) = sweep.trial(number, point)?;
        fired += usize::from(killed);
        wrong.extend(lines.into_iter().map(|line| format!("killed before {} {}: {line}", point.name, point.nth)));
        if wrong.len() > 12 {
            break;
        }
    }
    println!("{deed:?}, {driver}: {} of {} points, {fired} runs cut short", chosen.len(), all.len());
    assert!(wrong.is_empty(), "{} things wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(fired * 2 > chosen.len(), "only {fired} of {} runs were cut short", chosen.len());
    Ok(())
}

/// Takes the calls that move things first, then others, evenly, and keeps the order of the run.
fn choose(all: &[Point], bound: usize) -> Vec<Point> {
    const MOVES: &[&str] = &[
        "rename",
        "unlink",
        "rmdir",
        "mkdir",
        "symlink",
        "link",
        "mount",
        "umount",
        "fsync",
        "fdatasync",
        "fsmount",
        "ioctl",
    ];
    let moves = |point: &&Point| MOVES.iter().any(|name| point.name.contains(name));
    let some = |points: Vec<&Point>, room: usize| -> Vec<Point> {
        let step = points.len().div_ceil(room.max(1)).max(1);
        points.into_iter().step_by(step).cloned().collect()
    };
    let first = some(all.iter().filter(moves).collect(), bound);
    let rest = bound.saturating_sub(first.len());
    let others = if rest == 0 { Vec::new() } else { some(all.iter().filter(|point| !moves(point)).collect(), rest) };
    all.iter().filter(|point| first.contains(point) || others.contains(point)).cloned().collect()
}

impl Sweep {
    fn prepare(&self, target: &str) {
        match self.deed {
            Deed::Create | Deed::Import => {}
            Deed::Mount | Deed::ApplyToEmpty => self.ours.create(target, Some(&self.base)),
            Deed::Release => {
                self.ours.create(target, Some(&self.base));
                self.ours.mount(target);
            }
            Deed::Delete => self.ours.import(target, Some(&self.base), &self.second),
            Deed::ApplyToFilled => self.ours.import(target, Some(&self.base), &self.first),
        }
    }

    fn argv(&self, target: &str) -> Vec<std::ffi::OsString> {
        let second = self.second.to_str().expect("a printable path");
        self.ours.argv(&match self.deed {
            Deed::Create => vec!["create-layer", "-i", target, &self.base],
            Deed::Import => vec!["import-layer", "-i", target, "-f", second, &self.base],
            Deed::Mount => vec!["mount", target],
            Deed::Release => vec!["unmount", target],
            Deed::Delete => vec!["delete-layer", target],
            Deed::ApplyToEmpty | Deed::ApplyToFilled => vec!["applydiff", "-f", second, target],
        })
    }

    fn trial(&self, number: usize, point: &Point) -> Result<(bool, Vec<String>), integration::Skip> {
        let target = id(format!("target {number}"));
        self.prepare(&target);
        let (killed, output) = trace::killed_before(&self.argv(&target), point)?;
        let acknowledged = output.status.success() || (killed && output.stdout.ends_with(b"\n"));
        let held = invariants::held_locks(&self.ours);
        let mut wrong: Vec<String> = held.into_iter().map(|path| format!("held at once: {}", path.display())).collect();
        if !killed && !output.status.success() {
            wrong.push(format!("not killed, and failed: {}", String::from_utf8_lossy(&output.stderr)));
        }

        // The next command, the peer's or ours, then one of ours. All of them must succeed.
        let next = if number.is_multiple_of(2) { &self.peer } else { &self.ours };
        let (others, last) = (id(format!("next {number}")), id(format!("last {number}")));
        next.create(&others, None);
        next.ids();
        self.ours.create(&last, None);
        if matches!(self.deed, Deed::Mount | Deed::Release) {
            next.mount(&others);
            next.unmount(&others);
            self.ours.mount(&last);
            self.ours.unmount(&last);
        }
        self.ours.delete(&others);
        self.ours.delete(&last);

        wrong.extend(invariants::violations(&self.ours));
        if self.ours.ids() != self.peer.ids() {
            wrong.push("Lamina and the reference list different layers".to_owned());
        }
        wrong.extend(self.outcome(&target, acknowledged));
        self.clear(&target);
        Ok((killed, wrong))
    }

    /// What is wrong with the layer that the deed was about.
    fn outcome(&self, target: &str, acknowledged: bool) -> Vec<String> {
        let there = self.ours.ids().iter().any(|id| id == target);
        let mut wrong = Vec::new();
        let mut check = |holds: bool, rule: &str| {
            if !holds {
                wrong.push(rule.to_owned());
            }
        };
        match self.deed {
            Deed::Create => {
                check(there || !acknowledged, "an acknowledged layer isn't there");
                check(!there || self.ours.changes(target).is_empty(), "a new layer has changes");
            }
            Deed::Import => {
                check(there || !acknowledged, "an acknowledged layer isn't there");
                check(!there || self.whole(target), "a layer is there and isn't whole");
            }
            Deed::Delete => {
                check(!(there && acknowledged), "a layer whose deletion was acknowledged is there");
                check(!there || self.whole(target), "a layer is there and isn't whole");
            }
            Deed::Mount | Deed::Release => {
                check(there, "the layer is gone");
                let counted: i64 = self.counted(target);
                check((0..=1).contains(&counted), "the count is neither nought nor one");
                let wanted = i64::from(self.deed == Deed::Mount);
                check(!acknowledged || counted == wanted, "what was acknowledged isn't counted");
            }
            Deed::ApplyToEmpty | Deed::ApplyToFilled => {
                check(there, "the layer is gone");
                let now = if there { self.sight(target) } else { Tree::new() };
                let as_before = tree::differences(&now, &Self::without_times(&self.before)).is_empty();
                let changed = tree::differences(&now, &Self::without_times(&self.after)).is_empty();
                check(changed || (as_before && !acknowledged), "the layer is neither as before nor wholly changed");
            }
        }
        wrong
    }

    fn whole(&self, target: &str) -> bool {
        self.ours.diff(target) == fs::read(&self.second).expect("read an archive")
    }

    fn counted(&self, target: &str) -> i64 {
        self.ours.counts().into_iter().filter(|(id, _, _)| id == target).map(|(_, _, count)| count).sum()
    }

    /// The mounted tree. The times of directories are left out: a driver's own are nobody's promise.
    fn sight(&self, target: &str) -> Tree {
        let path = self.ours.mount(target);
        let seen = tree::read(&path);
        self.ours.unmount(target);
        Self::without_times(&seen)
    }

    fn without_times(tree: &Tree) -> Tree {
        let mut tree = tree.clone();
        tree.values_mut().filter(|entry| entry.kind == tree::Kind::Directory).for_each(|entry| entry.mtime = 0);
        tree
    }

    /// Takes the layer away, mounted or not, so that the next trial starts as this one did.
    fn clear(&self, target: &str) {
        if self.counted(target) > 0 {
            self.ours.unmount(target);
        }
        if self.ours.ids().iter().any(|id| id == target) {
            self.ours.delete(target);
        }
    }
}
