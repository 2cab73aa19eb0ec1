use storage_core::fs::atomic::rename_over;
use storage_core::lockfile::{Access, LockFile, Mode, Wait};

use super::*;
use crate::audit::report::Verdict;

/// What a watch says while somebody writes again and again, and then no more, so that nothing later explains the last write.
fn watched(writes: impl Fn(&LockFile, &Path) + Sync) -> Report {
    let dir = tempfile::tempdir().expect("dir");
    let (graph, run) = (dir.path().join("graph"), dir.path().join("run"));
    let layers = graph.join("vfs-layers");
    fs::create_dir_all(&layers).expect("mkdir");
    fs::write(layers.join("layers.json"), "[]").expect("write");
    let lock = LockFile::new(layers.join("layers.lock"), Access::ReadWrite);
    let options = OutsideOptions {
        graph,
        run,
        driver: "vfs".to_owned(),
        mounts: Mounts::Directories,
        time: Duration::from_millis(700),
    };
    let started = Instant::now();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while started.elapsed() < options.time / 2 {
                writes(&lock, &layers.join("layers.json"));
            }
        });
        let report = watch(&options).expect("watch");
        writer.join().expect("the writer");
        report
    })
}

/// New records, which take longer than the pause between two looks.
fn replace(path: &Path) {
    let new = path.with_extension("new");
    fs::write(&new, "[ ]").expect("write");
    std::thread::sleep(PAUSE * 4);
    rename_over(&new, path).expect("rename");
}

fn of_rule(report: &Report, rule: Rule) -> Verdict {
    report.verdict(rule)
}

#[test]
fn a_right_writer_is_not_blamed_wherever_a_look_falls() {
    let report = watched(|lock, json| {
        let held = lock.acquire(Mode::Exclusive, &Wait::forever()).expect("free");
        held.record_write().expect("write");
        replace(json);
    });
    assert_eq!(of_rule(&report, Rule::R4), Verdict::Kept, "{}", report.to_text());
}

#[test]
fn an_older_writer_is_not_blamed() {
    let report = watched(|lock, json| {
        let held = lock.acquire(Mode::Exclusive, &Wait::forever()).expect("free");
        replace(json);
        std::thread::sleep(PAUSE * 4);
        held.record_write().expect("write");
    });
    assert_eq!(of_rule(&report, Rule::R4), Verdict::Kept, "{}", report.to_text());
}

#[test]
fn a_writer_that_says_nothing_is_found_and_what_cannot_be_judged_is_not_said_to_be_kept() {
    let report = watched(|_, json| replace(json));
    assert_eq!(of_rule(&report, Rule::R4), Verdict::Broken, "{}", report.to_text());
    for rule in [Rule::R1, Rule::R2, Rule::R3, Rule::R6] {
        assert_eq!(of_rule(&report, rule), Verdict::NotJudged, "{}", rule.name());
    }
}

#[test]
fn fifos_and_endless_files_keep_nobody() {
    let dir = tempfile::tempdir().expect("dir");
    let places = places(dir.path(), &dir.path().join("run"), "overlay");
    for file in &places.files {
        fs::create_dir_all(file.parent().expect("a parent")).expect("mkdir");
        if file.extension().is_some_and(|end| end == "lock") {
            fs::File::create(file)
                .and_then(|file| file.set_len(1 << 50))
                .or_else(|_| fs::write(file, ""))
                .expect("sparse");
        } else {
            nix::unistd::mkfifo(file, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
        }
    }
    let options = OutsideOptions {
        graph: dir.path().to_path_buf(),
        run: dir.path().join("run"),
        driver: "overlay".to_owned(),
        mounts: Mounts::Kernel,
        time: Duration::ZERO,
    };
    watch(&options).expect("watch");
}

#[test]
fn what_its_user_mounts_in_a_layer_is_not_a_layer() {
    let mount = |point: &str| Mounted { id: 1, point: point.to_owned(), kind: "tmpfs".to_owned() };
    let points = [
        "/g/overlay",
        "/g/overlay/a/merged",
        "/g/overlay/a/merged/proc",
        "/g/overlay/b/merged",
        "/g/overlay/b/merged/proc",
    ];
    let truth = Truth { mounts: points.iter().map(|point| mount(point)).collect(), ..Truth::default() };
    let (homes, counted) = (["/g/overlay".into()], ["/g/overlay/a/merged".into()]);
    assert_eq!(uncounted(&truth, &homes, &counted), ["mounted and not counted: /g/overlay/b/merged"]);
}
