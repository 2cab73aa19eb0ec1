//! Long work: it streams, it can be stopped, and what is stopped leaves nothing.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Ended, Scratch, lamina, plain, run};

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a process id")), signal).expect("send a signal");
}

/// Starts an import whose archive stalls after its first half.
fn stalled_import(scratch: &Scratch) -> Child {
    let archive = std::fs::read(scratch.archive()).expect("read");
    let mut command = scratch.on(lamina(), "store");
    command.arg("import-layer").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&archive[..archive.len() / 2]).expect("write");
    stdin.flush().expect("flush");
    child.stdin = Some(stdin);
    std::thread::sleep(Duration::from_millis(500));
    child
}

#[test]
fn a_signal_stops_an_import_that_waits_for_its_archive_and_nothing_is_left() {
    for (number, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let scratch = Scratch::new();
        scratch.must(&["create-layer", "-i", "aaa"]);
        let mut child = stalled_import(&scratch);
        let stdin = child.stdin.take();
        signal(&child, number);
        let started = Instant::now();
        let ended = Ended::of(&child.wait_with_output().expect("wait"));
        drop(stdin);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        let help = run(plain(lamina()).args(["help", "exit-codes"])).out;
        assert!(help.contains(&format!("\n{code}  stopped by {number}\n")), "{code} for {number}: {help}");
        assert!(started.elapsed() < Duration::from_secs(3), "it took {:?}", started.elapsed());
        assert!(ended.err.ends_with("context canceled\n"), "{ended:?}");
        assert_eq!(scratch.must(&["layers", "-q"]), "aaa\n");
        assert_eq!(scratch.must(&["storage-layers"]), "aaa\n");
    }
}

#[test]
fn others_work_while_an_import_waits_for_its_archive() {
    let scratch = Scratch::new();
    let mut child = stalled_import(&scratch);
    for line in [
        &["create-layer", "-i", "aaa"][..],
        &["mount", "aaa"],
        &["unmount", "aaa"],
        &["delete-layer", "aaa"],
        &["layers"],
    ] {
        let mut patient = vec!["--lock-timeout", "2s"];
        patient.extend(line);
        scratch.must(&patient);
    }
    drop(child.stdin.take());
    let ended = Ended::of(&child.wait_with_output().expect("wait"));
    assert_eq!(ended.code, Some(15), "an archive that ends early is damaged: {ended:?}");
    assert_eq!(scratch.must(&["layers", "-j"]), "null\n");
}

#[test]
fn a_signal_ends_a_diff_whose_reader_stalls_and_others_work_meanwhile() {
    let scratch = Scratch::new();
    scratch.must(&["import-layer", "-i", "imp", "-f", &scratch.archive().display().to_string()]);
    // More than a pipe holds, so that the writer waits for the reader that never comes.
    let mut command = scratch.on(lamina(), "store");
    let child = command.args(["diff", "imp"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start");
    std::thread::sleep(Duration::from_millis(300));
    scratch.must(&["--lock-timeout", "2s", "create-layer", "-i", "kid", "imp"]);
    scratch.must(&["--lock-timeout", "2s", "delete-layer", "kid"]);
    signal(&child, Signal::SIGINT);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) && is_running(&child) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let waited = started.elapsed();
    let ended = Ended::of(&child.wait_with_output().expect("wait"));
    assert_eq!(ended.code, Some(130), "{:?}", ended.err);
    assert!(waited < Duration::from_secs(4), "it took {waited:?}");
}

/// Whether the process has not ended yet, although nobody has waited for it.
fn is_running(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    !status.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

#[test]
fn a_layer_comes_back_byte_for_byte_and_compressed() {
    let scratch = Scratch::new();
    let tar = scratch.archive();
    let path = tar.display().to_string();
    scratch.must(&["import-layer", "-i", "imp", "--progress", "-f", &path]);
    let (back, zipped) = (scratch.path().join("back.tar"), scratch.path().join("back.tgz"));
    scratch.must(&["diff", "-f", &back.display().to_string(), "imp"]);
    assert!(std::fs::read(&tar).expect("read") == std::fs::read(&back).expect("read"), "the archive came back changed");
    scratch.must(&["diff", "-c", "-f", &zipped.display().to_string(), "imp"]);
    assert_eq!(std::fs::read(&zipped).expect("read")[..2], [0x1f, 0x8b], "gzip's first bytes");
    scratch.must(&["create-layer", "-i", "second"]);
    scratch.must(&["applydiff", "-f", &zipped.display().to_string(), "second"]);
    assert_eq!(scratch.must(&["changes", "second"]), scratch.must(&["changes", "imp"]));
}

#[test]
fn a_diff_that_fails_leaves_no_file_and_a_file_that_was_there_stays() {
    let scratch = Scratch::new();
    scratch.must(&["create-layer"]);
    let (new, old) = (scratch.path().join("new.tar"), scratch.path().join("old.tar"));
    std::fs::write(&old, "precious").expect("write");
    for target in [&new, &old] {
        let ended = scratch.lamina(&["diff", "-f", &target.display().to_string(), "nosuch"]);
        assert_eq!(ended.code, Some(3), "{ended:?}");
    }
    assert!(!new.exists());
    assert_eq!(std::fs::read(&old).expect("read"), b"precious");
}
