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
    case("kill::diff::overlay", 300, |s| sweep(s, "overlay", Deed::Diff)),
    case("kill::diff::vfs", 300, |s| sweep(s, "vfs", Deed::Diff)),
    case("kill::diff::btrfs", 300, |s| sweep(s, "btrfs", Deed::Diff)),
    case("kill::changes::overlay", 300, |s| sweep(s, "overlay", Deed::Changes)),
    case("kill::changes::vfs", 300, |s| sweep(s, "vfs", Deed::Changes)),
    case("kill::changes::btrfs", 300, |s| sweep(s, "btrfs", Deed::Changes)),
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
    /// Of a child that was written to: computed, not replayed.
    Diff,
    Changes,
}

impl Deed {
    fn applies(self) -> bool {
        matches!(self, Deed::ApplyToEmpty | Deed::ApplyToFilled)
    }

    fn only_reads(self) -> bool {
        matches!(self, Deed::Diff | Deed::Changes)
    }
}

struct Sweep {
    ours: Store,
    peer: Store,
    deed: Deed,
    base: String,
    first: PathBuf,
    second: PathBuf,
    /// Where a diff is written.
    out: PathBuf,
    /// The diff and the changes of the layer that is only read.
    told: (Vec<u8>, Vec<String>),
    /// After how many kills something temporary was left.
    between: usize,
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
    let (out, told) = (scratch.join("out"), (Vec::new(), Vec::new()));
    let mut sweep =
        Sweep { ours, peer, deed, base, first, second, out, told, between: 0, before: Tree::new(), after: Tree::new() };

    let dry = id("dry run");
    sweep.prepare(&dry);
    if deed.only_reads() {
        sweep.told = (sweep.ours.diff(&dry), sweep.ours.changes(&dry));
        assert!(sweep.told.1.len() > 2, "the layer has changes: {:?}", sweep.told.1);
    }
    if deed.applies() {
        sweep.before = sweep.sight(&dry);
    }
    let all = trace::points(&sweep.argv(&dry), &scratch.join("trace"))?;
    if deed.applies() {
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
    let between = sweep.between;
    println!(
        "{deed:?}, {driver}: {} of {} points, {fired} runs cut short, {between} left something temporary",
        chosen.len(),
        all.len()
    );
    assert!(wrong.is_empty(), "{} things wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(fired * 2 > chosen.len(), "only {fired} of {} runs were cut short", chosen.len());
    let snapshots = deed.only_reads() && driver == "btrfs";
    assert!(!snapshots || between > 2, "only {between} of {fired} kills were between a snapshot and its end");
    Ok(())
}

/// Whether something is in the driver's directory of what is in the making.
fn temporary(store: &Store) -> bool {
    fs::read_dir(store.home().join("tempdirs")).is_ok_and(|mut entries| entries.next().is_some())
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
            Deed::Diff | Deed::Changes => {
                // Times are set, so that every trial's layer tells the same.
                self.ours.create(target, Some(&self.base));
                let root = self.ours.mount(target);
                archive::put(&root, "new/one", "one");
                archive::put(&root, "new/two", vec![7; 100_000]);
                archive::put(&root, "dir0/other", "other");
                fs::remove_dir_all(root.join("dir1")).expect("remove a directory");
                for name in ["new/one", "new/two", "new", "dir0/other", "dir0"] {
                    archive::set_time(&root.join(name), 1_500_000_000, 0);
                }
                self.ours.unmount(target);
            }
        }
    }

    fn argv(&self, target: &str) -> Vec<std::ffi::OsString> {
        let [second, out] = [&self.second, &self.out].map(|path| path.to_str().expect("a printable path"));
        self.ours.argv(&match self.deed {
            Deed::Create => vec!["create-layer", "-i", target, &self.base],
            Deed::Import => vec!["import-layer", "-i", target, "-f", second, &self.base],
            Deed::Mount => vec!["mount", target],
            Deed::Release => vec!["unmount", target],
            Deed::Delete => vec!["delete-layer", target],
            Deed::ApplyToEmpty | Deed::ApplyToFilled => vec!["applydiff", "-f", second, target],
            Deed::Diff => vec!["diff", "-u", "-f", out, target],
            Deed::Changes => vec!["changes", "-j", target],
        })
    }

    fn trial(&mut self, number: usize, point: &Point) -> Result<(bool, Vec<String>), integration::Skip> {
        let target = id(format!("target {number}"));
        self.prepare(&target);
        let _ = fs::remove_file(&self.out);
        let (killed, output) = trace::killed_before(&self.argv(&target), point)?;
        let acknowledged = output.status.success() || (killed && output.stdout.ends_with(b"\n"));
        self.between += usize::from(temporary(&self.ours));
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
            Deed::Diff | Deed::Changes => {
                check(there, "the layer is gone");
                let acknowledged = acknowledged && self.deed == Deed::Diff;
                let written = || fs::read(&self.out).expect("read a diff") == self.told.0;
                check(!acknowledged || written(), "a diff that says it went well isn't whole");
                let same = there && (self.ours.diff(target), self.ours.changes(target)) == self.told;
                check(same, "the layer tells something else");
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
