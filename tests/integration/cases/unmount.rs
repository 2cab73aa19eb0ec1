//! Unmounting, settled: by whatever a layer is called, and with mounts that are not what the counts say: detached by others,
//! in use, covered by something else, in another namespace, of a time before the machine was started.

use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use integration::case::{Case, case};
use integration::store::{Store, end, id};
use integration::trace::{self, Point};
use integration::{Outcome, Scratch, Skip, archive, invariants, machine};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

pub(crate) const CASES: &[Case] = &[
    case("unmount::by_id_name_prefix_and_path::overlay", 60, |s| by_every_name(s, "overlay")),
    case("unmount::by_id_name_prefix_and_path::vfs", 60, |s| by_every_name(s, "vfs")),
    case("unmount::by_id_name_prefix_and_path::btrfs", 60, |s| by_every_name(s, "btrfs")),
    case("unmount::detached_by_somebody_else::overlay", 60, |s| detached(s, "overlay")),
    case("unmount::in_use::overlay", 60, |s| in_use(s, "overlay")),
    case("unmount::something_else_on_the_mount_point::overlay", 60, |s| foreign(s, "overlay")),
    case("unmount::something_else_over_the_mount::overlay", 60, |s| covered(s, "overlay")),
    case("unmount::an_overlay_made_by_hand::overlay", 60, |s| by_hand(s, "overlay")),
    case("unmount::mounts_inside_go_with_it::overlay", 60, |s| inside(s, "overlay")),
    case("unmount::mounted_in_another_namespace::overlay", 60, |s| elsewhere(s, "overlay")),
    case("unmount::left_by_a_kill_in_another_namespace::overlay", 60, |s| left_elsewhere(s, "overlay")),
    case("unmount::corrected_when_every_process_was_asked::overlay", 60, |s| corrected(s, "overlay")),
    case("unmount::counted_before_a_reboot::overlay", 60, |s| before_a_reboot(s, "overlay")),
    case("unmount::counted_before_a_reboot::vfs", 60, |s| before_a_reboot(s, "vfs")),
];

const NO_PATH: Option<&Path> = None;

struct Bench {
    store: Store,
    layer: String,
    other: String,
}

fn bench(scratch: &Scratch, driver: &'static str) -> Bench {
    let store = Store::new(scratch, "store", driver);
    let archive = archive::small(scratch.path(), "small", 3, 300);
    let (layer, other) = (id("layer"), id("other"));
    store.import(&layer, None, &archive);
    store.import(&other, None, &archive);
    Bench { store, layer, other }
}

impl Bench {
    fn counted(&self) -> i64 {
        self.store.counts().into_iter().filter(|(id, _, _)| *id == self.layer).map(|(_, _, count)| count).sum()
    }

    /// Expects a refusal in whose text all words are.
    #[track_caller]
    fn refused(&self, args: &[&str], words: &[&str]) {
        let counted = self.counted();
        let ended = self.store.run(args);
        assert!(!ended.output.status.success(), "not refused: {}", ended.describe());
        for word in words {
            assert!(ended.stderr().contains(word), "nothing of {word:?}: {}", ended.describe());
        }
        assert_eq!(self.counted(), counted, "a refusal changed the count");
    }

    /// That nobody else is kept from working.
    #[track_caller]
    fn others_work(&self) {
        self.store.mount(&self.other);
        self.store.unmount(&self.other);
        let fresh = id("fresh");
        self.store.create(&fresh, None);
        self.store.delete(&fresh);
    }

    /// That the layer can be mounted, written to and given back, and nothing is left.
    #[track_caller]
    fn works_again(&self) {
        let path = self.store.mount(&self.layer);
        fs::write(path.join("again"), "x").expect("write in the layer");
        assert_eq!(self.counted(), 1);
        self.store.unmount(&self.layer);
        invariants::assert_clean(&self.store, "in the end");
    }
}

fn by_every_name(scratch: &Scratch, driver: &'static str) -> Outcome {
    let Bench { store, layer, other } = bench(scratch, driver);
    store.ok(&["add-names", "-n", "some-name", &layer]);
    let place = store.mount(&layer).display().to_string();
    store.unmount(&layer);
    let image = store.ok(&["create-image", &layer]).split_whitespace().next().expect("an id").to_owned();
    let container = store.ok(&["create-container", "-n", "box", &image]);
    let container = container.split_whitespace().next().expect("an id").to_owned();
    for name in [layer.as_str(), "some-name", &layer[..12], &place] {
        store.mount(&layer);
        store.mount(&layer);
        assert_eq!(store.ok(&["unmount", name]), "", "{name}: it is still mounted");
        assert!(store.ok(&["unmount", name]).ends_with("mountpoint unmounted\n"), "{name}: the last one");
        assert_eq!(store.counts(), [], "{name}");
        let ended = store.run(&["unmount", "--if-mounted", name]);
        // A path leads to a layer by the counts, where it isn't any more.
        let said = if name == place { "layer not known" } else { "layer is not mounted" };
        assert!(!ended.output.status.success() && ended.stderr().contains(said), "{}", ended.describe());
    }
    for name in [container.as_str(), "box", &container[..12]] {
        let path = store.mount(name).display().to_string();
        store.mount(name);
        store.unmount(name);
        store.unmount(&path);
        assert_eq!(store.counts(), [], "{name}");
    }
    store.mount(&layer);
    store.mount("box");
    let ended = store.run(&["unmount", "nobody", &layer]);
    assert!(ended.stderr().contains("layer not known"), "{}", ended.describe());
    assert_eq!(store.counts().len(), 1, "the others of one call are unmounted");
    store.ok(&["unmount", "--force", "box"]);
    store.mount(&other);
    store.mount(&other);
    store.ok(&["unmount", "--force", &other]);
    invariants::assert_clean(&store, "in the end");
    Ok(())
}

/// `umount -l` by hand: the count stays, and from inside a namespace of processes nobody can know that the mount is gone.
fn detached(scratch: &Scratch, driver: &'static str) -> Outcome {
    let bench = bench(scratch, driver);
    let path = bench.store.mount(&bench.layer);
    let mut used = fs::File::create(path.join("used")).expect("a file in the layer");
    umount2(&path, MntFlags::MNT_DETACH).expect("detach by hand");
    bench.refused(&["mount", &bench.layer], &["counted as mounted", "can't be asked", "unmount --force"]);
    bench.refused(&["unmount", &bench.layer], &["counted as mounted"]);
    bench.refused(&["delete-layer", &bench.layer], &["counted as mounted"]);
    bench.store.ok(&["check", "-q"]);
    bench.store.ok(&["gc"]);
    assert_eq!(bench.counted(), 1, "what can't be known is neither called wrong nor corrected");
    bench.others_work();
    used.write_all(b"goes on").expect("who has it open goes on");
    bench.store.ok(&["unmount", "--force", &bench.layer]);
    assert_eq!(bench.counted(), 0);
    drop(used);
    assert_eq!(fs::read(bench.store.mount(&bench.layer).join("used")).expect("read it"), b"goes on");
    bench.store.unmount(&bench.layer);
    bench.works_again();
    Ok(())
}

/// A mount that somebody works in is given back all the same: it loses its path, and they go on until they leave.
fn in_use(scratch: &Scratch, driver: &'static str) -> Outcome {
    let bench = bench(scratch, driver);
    let path = bench.store.mount(&bench.layer);
    let mut used = fs::File::create(path.join("used")).expect("a file in the layer");
    let mut inside = Command::new("sh");
    inside.args(["-c", "echo in; read _; echo late > late; pwd -P >/dev/null; echo out"]).current_dir(&path);
    let mut inside = inside.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process in the layer");
    wait_for(&mut inside, "in\n");
    bench.store.unmount(&bench.layer);
    assert_eq!(bench.counted(), 0);
    assert!(invariants::mounted_layers(&bench.store).is_empty(), "it is gone from its path");
    bench.others_work();
    used.write_all(b"goes on").expect("write to an open file");
    drop(inside.stdin.take());
    wait_for(&mut inside, "out\n");
    assert!(inside.wait().expect("wait for it").success());
    drop(used);
    let path = bench.store.mount(&bench.layer);
    assert!(path.join("late").exists() && fs::read(path.join("used")).expect("read it") == b"goes on");
    bench.store.unmount(&bench.layer);
    bench.works_again();
    Ok(())
}

/// Something that no driver of this kind mounts stands where the layer would be shown: it is nobody's to take away.
fn foreign(scratch: &Scratch, driver: &'static str) -> Outcome {
    let bench = bench(scratch, driver);
    let path = bench.store.mount(&bench.layer);
    bench.store.unmount(&bench.layer);
    cover(&path);
    for verb in [
        vec!["mount", &bench.layer],
        vec!["unmount", &bench.layer],
        vec!["unmount", "--force", &bench.layer],
        vec!["delete-layer", &bench.layer],
    ] {
        bench.refused(&verb, &["no overlay but tmpfs", path.to_str().expect("a printable path")]);
    }
    bench.others_work();
    bench.store.ok(&["gc"]);
    assert!(path.join("mine").exists(), "what is somebody else's was taken away");
    assert_eq!(bench.counted(), 0);
    umount2(&path, MntFlags::MNT_DETACH).expect("take it away");
    bench.works_again();
    Ok(())
}

/// The same over a layer that is mounted: nobody is shown the one for the other, and no count gets lost.
fn covered(scratch: &Scratch, driver: &'static str) -> Outcome {
    let bench = bench(scratch, driver);
    let path = bench.store.mount(&bench.layer);
    cover(&path);
    for verb in [
        vec!["mount", &bench.layer],
        vec!["unmount", &bench.layer],
        vec!["unmount", "--force", &bench.layer],
        vec!["shutdown", "--force"],
    ] {
        bench.refused(&verb, &["no overlay but tmpfs"]);
    }
    assert_eq!(bench.counted(), 1);
    bench.others_work();
    bench.store.ok(&["gc"]);
    assert!(path.join("mine").exists(), "what is somebody else's was taken away");
    umount2(&path, MntFlags::MNT_DETACH).expect("take it away");
    assert_eq!(bench.store.mount(&bench.layer), path);
    assert_eq!(bench.counted(), 2);
    bench.store.unmount(&bench.layer);
    bench.store.unmount(&bench.layer);
    bench.works_again();
    Ok(())
}

/// An overlay at a layer's mount point that nobody counts is taken for a dead process's, whoever made it.
fn by_hand(scratch: &Scratch, driver: &'static str) -> Outcome {
    let bench = bench(scratch, driver);
    let path = bench.store.mount(&bench.layer);
    bench.store.unmount(&bench.layer);
    let (one, two) = (scratch.make("one"), scratch.make("two"));
    fs::write(one.join("by hand"), "x").expect("a file");
    let data = format!("lowerdir={}:{}", one.display(), two.display());
    let stack = || {
        let made = mount(Some("overlay"), &path, Some("overlay"), MsFlags::empty(), Some(data.as_str()));
        made.expect("mount an overlay by hand");
    };
    stack();
    stack();
    let kinds = bench.store.run(&["check"]);
    assert!(kinds.stderr().contains(&bench.layer) || kinds.describe().contains(&bench.layer), "{}", kinds.describe());
    assert!(!bench.store.mount(&bench.layer).join("by hand").exists(), "the layer is shown, not what was there");
    bench.store.unmount(&bench.layer);
    stack();
    bench.refused(&["unmount", "--if-mounted", &bench.layer], &["not mounted"]);
    bench.store.unmount(&bench.layer);
    assert!(!path.join("by hand").exists(), "an unmount takes away what nobody counts");
    stack();
    bench.store.ok(&["gc"]);
    assert!(!path.join("by hand").exists(), "gc does");
    bench.works_again();
    Ok(())
}

/// What is mounted inside a layer goes with its last mount, and keeps nobody from giving it back.
fn inside(scratch: &Scratch, driver: &'static str) -> Outcome {
    let bench = bench(scratch, driver);
    let path = bench.store.mount(&bench.layer);
    let (sub, bound) = (path.join("sub"), path.join("bound"));
    for dir in [&sub, &bound] {
        fs::create_dir(dir).expect("a directory in the layer");
    }
    cover(&sub);
    let data = scratch.make("data");
    fs::write(data.join("kept"), "x").expect("a file");
    mount(Some(&data), &bound, NO_PATH, MsFlags::MS_BIND, NO_PATH).expect("bind a directory into the layer");
    bench.store.mount(&bench.layer);
    bench.store.unmount(&bench.layer);
    assert!(sub.join("mine").exists() && bound.join("kept").exists(), "one of two mounts was given back");
    bench.store.unmount(&bench.layer);
    let left: Vec<PathBuf> =
        invariants::mounts_below(&bench.store.home()).into_iter().filter(|point| point.starts_with(&path)).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(data.join("kept").exists(), "what was bound there is as it was");
    bench.works_again();
    Ok(())
}

/// A process in a mount namespace of its own, which ends with this.
struct Namespace(Child);

impl Namespace {
    fn make() -> Self {
        let mut keeper = Command::new("unshare");
        keeper.args(["-m", "--propagation", "private", "sh", "-c", "echo in && read _"]);
        let mut keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("another namespace");
        wait_for(&mut keeper, "in\n");
        Namespace(keeper)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    /// A command of the store's, to be run there.
    fn argv(&self, store: &Store, args: &[&str]) -> Vec<OsString> {
        let enter = ["nsenter", "--mount", "--target", &self.pid(), "--"].map(OsString::from);
        enter.into_iter().chain(store.argv(args)).collect()
    }

    #[track_caller]
    fn run(&self, store: &Store, args: &[&str]) {
        let argv = self.argv(store, args);
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]);
        let ended = end(command);
        assert!(ended.output.status.success(), "{}", ended.describe());
    }

    fn has(&self, point: &Path) -> bool {
        let table = fs::read_to_string(format!("/proc/{}/mountinfo", self.pid())).expect("a mount table");
        table.lines().any(|line| line.split(' ').nth(4) == point.to_str())
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait().expect("wait for the other namespace");
    }
}

/// What `check` says beside findings of mounts in other namespaces: layers with the processes that see them.
fn told_elsewhere(store: &Store) -> Vec<(String, String)> {
    let ended = store.run(&["check", "-q", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&ended.output.stdout).expect("JSON");
    let all = report["Elsewhere"].as_array().expect("a list").iter();
    all.map(|one| (one["id"].as_str().expect("an id").to_owned(), one["processes"][0].to_string())).collect()
}

/// A layer that is mounted for writing in another mount namespace is mounted nowhere else, and who has it is named.
fn elsewhere(scratch: &Scratch, driver: &'static str) -> Outcome {
    let bench = bench(scratch, driver);
    let there = Namespace::make();
    let pid = there.pid();
    there.run(&bench.store, &["mount", &bench.layer]);
    there.run(&bench.store, &["mount", &bench.layer]);
    bench.refused(&["unmount", &bench.layer], &["mounted in another mount namespace", &pid]);
    there.run(&bench.store, &["unmount", &bench.layer]);
    assert_eq!(bench.counted(), 1);
    for verb in ["mount", "unmount", "delete-layer"] {
        bench.refused(&[verb, &bench.layer], &["mounted in another mount namespace", &pid]);
    }
    bench.others_work();
    assert_eq!(told_elsewhere(&bench.store), [], "it is counted");
    // It is counted once less than it is mounted until that namespace ends.
    bench.store.ok(&["unmount", "--force", &bench.layer]);
    assert_eq!(bench.counted(), 0);
    assert_eq!(told_elsewhere(&bench.store), [(bench.layer.clone(), pid.clone())]);
    let said = bench.store.run(&["check", "-q"]);
    assert!(said.output.status.success(), "nothing is wrong: {}", said.describe());
    assert!(said.stderr().contains(&format!("seen by process {pid}")), "{}", said.describe());
    there.end();
    assert_eq!(told_elsewhere(&bench.store), []);
    bench.works_again();
    Ok(())
}

/// Whoever was killed between a mount and its count left it in a namespace that goes on: the next one who may mount, elsewhere,
/// counts it, so that nobody mounts the layer twice or deletes it below that mount.
fn left_elsewhere(scratch: &Scratch, driver: &'static str) -> Outcome {
    let bench = bench(scratch, driver);
    let there = Namespace::make();
    let argv = there.argv(&bench.store, &["mount", &bench.layer]);
    let point = before_the_count(&argv, &scratch.join("trace"))?;
    there.run(&bench.store, &["unmount", &bench.layer]);
    let (killed, output) = trace::killed_before(&argv, &point)?;
    assert!(killed, "{}", String::from_utf8_lossy(&output.stderr));
    let path = bench.store.layer_dir(&bench.layer).join("merged");
    assert!(there.has(&path) && bench.counted() == 0, "it was killed between the mount and the count");
    let pid = there.pid();
    assert_eq!(told_elsewhere(&bench.store), [(bench.layer.clone(), pid.clone())]);
    bench.others_work();
    assert_eq!(bench.counted(), 1, "the next holder counts it");
    for verb in ["mount", "unmount", "delete-layer"] {
        bench.refused(&[verb, &bench.layer], &["mounted in another mount namespace", &pid, "unmount --force"]);
    }
    bench.store.ok(&["check", "-q"]);
    there.run(&bench.store, &["unmount", &bench.layer]);
    assert!(!there.has(&path) && bench.counted() == 0, "who is there gives it back");
    // The next one who may mount there takes it away.
    let (killed, _) = trace::killed_before(&argv, &point)?;
    assert!(killed && there.has(&path));
    there.run(&bench.store, &["unmount", &bench.other]);
    assert!(!there.has(&path) && bench.counted() == 0, "who is there takes it away");
    there.end();
    bench.works_again();
    Ok(())
}

/// The place in a run of `mount` just before the counts get their name.
fn before_the_count(argv: &[OsString], log: &Path) -> Result<Point, Skip> {
    const RENAMES: [&str; 3] = ["rename", "renameat", "renameat2"];
    let (output, lines) = trace::lines(argv, &RENAMES.map(|name| format!("?{name}")).join(","), log)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in RENAMES {
        let call = format!(" {name}(");
        let calls = (1..).zip(lines.iter().filter(|line| line.contains(&call)));
        let mut of_counts = calls.filter(|(_, line)| line.contains("/mountpoints.json\""));
        if let Some((nth, _)) = of_counts.next() {
            return Ok(Point { name: name.to_owned(), nth });
        }
    }
    panic!("nothing was counted: {lines:?}");
}

/// A count that nobody's mount stands behind is corrected when every process could be asked, and as long as one couldn't, it is
/// left and told.
fn corrected(scratch: &Scratch, driver: &'static str) -> Outcome {
    machine::all_processes()?;
    let bench = bench(scratch, driver);
    let lose = || {
        let path = bench.store.mount(&bench.layer);
        bench.store.mount(&bench.layer);
        umount2(&path, MntFlags::MNT_DETACH).expect("detach by hand");
        assert_eq!(bench.counted(), 2);
    };
    lose();
    let mut stranger = Command::new(machine::need("setpriv")?);
    stranger.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", "echo in && read _"]);
    let mut stranger = stranger.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("somebody else's process");
    wait_for(&mut stranger, "in\n");
    // What is somebody else's is there and closed to it, or doesn't show at all.
    for hidden in ["noaccess", "invisible"] {
        for verb in ["mount", "unmount", "delete-layer"] {
            let blind = r#"mount -t proc -o hidepid="$0" proc /proc && exec setpriv --regid=65534 --clear-groups \
                --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace "$@""#;
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", blind, hidden]).args(bench.store.argv(&[verb, &bench.layer]));
            let ended = end(command);
            assert!(!ended.output.status.success(), "not refused: {}", ended.describe());
            assert!(ended.stderr().contains("processes can't be asked"), "{}", ended.describe());
            assert_eq!(bench.counted(), 2, "a refusal changes no count");
        }
    }
    drop(stranger.stdin.take());
    let _ = stranger.wait().expect("wait for somebody else's process");
    bench.store.mount(&bench.layer);
    assert_eq!(bench.counted(), 1, "it is counted anew");
    bench.store.unmount(&bench.layer);
    lose();
    bench.store.unmount(&bench.layer);
    assert_eq!(bench.counted(), 0, "what is gone is given back");
    let there = Namespace::make();
    there.run(&bench.store, &["mount", &bench.layer]);
    there.end();
    assert_eq!(bench.counted(), 1, "the namespace ended with its mount");
    bench.store.delete(&bench.layer);
    assert_eq!(bench.store.counts(), []);
    Ok(())
}

/// The machine was started since the layer was counted. (The count says so: the name of the boot in it is another.)
fn before_a_reboot(scratch: &Scratch, driver: &'static str) -> Outcome {
    let bench = bench(scratch, driver);
    let counts = bench.store.run_layers_dir().join("mountpoints.json");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux has one");
    let age = || {
        let path = bench.store.mount(&bench.layer);
        if bench.store.has_mounts() {
            umount2(&path, MntFlags::MNT_DETACH).expect("the power goes");
            bench.refused(&["mount", &bench.layer], &["counted as mounted"]);
        }
        let text = fs::read_to_string(&counts).expect("read the counts");
        assert!(text.contains(boot.trim()), "the boot isn't in the counts: {text}");
        fs::write(&counts, text.replace(boot.trim(), "11111111-2222-3333-4444-555555555555")).expect("age the counts");
    };
    age();
    bench.store.mount(&bench.layer);
    assert_eq!(bench.counted(), 1, "what was mounted before the reboot counts no more");
    bench.store.unmount(&bench.layer);
    age();
    bench.store.unmount(&bench.layer);
    assert_eq!(bench.counted(), 0);
    if bench.store.has_mounts() {
        age();
        bench.store.ok(&["gc"]);
        assert_eq!(bench.counted(), 0, "gc knows as well");
        // Whoever counts without knowing of boots makes it uncertain again.
        age();
        let peer = bench.store.peer()?;
        peer.mount(&bench.layer);
        assert_eq!(bench.counted(), 2, "as the reference does it");
        peer.unmount(&bench.layer);
        umount2(&bench.store.layer_dir(&bench.layer).join("merged"), MntFlags::MNT_DETACH).expect("the power goes");
        bench.refused(&["mount", &bench.layer], &["counted as mounted"]);
        bench.store.ok(&["unmount", "--force", &bench.layer]);
    }
    bench.works_again();
    Ok(())
}

/// Puts a filesystem of somebody else's there.
fn cover(path: &Path) {
    mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), NO_PATH).expect("mount a tmpfs");
    fs::write(path.join("mine"), "x").expect("a file of somebody's");
}

fn wait_for(child: &mut Child, said: &str) {
    let mut line = vec![0; said.len()];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut line).expect("it says something");
    assert_eq!(String::from_utf8_lossy(&line), said);
}
