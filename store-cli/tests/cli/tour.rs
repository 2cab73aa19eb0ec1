//! The tour, on a small layer.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::{Ended, Scratch, lamina, plain, run};

#[test]
fn the_tour_holds_for_the_copying_driver_and_leaves_nothing() {
    let scratch = Scratch::new();
    let tar = scratch.archive();
    let room = scratch.path().join("room");
    std::fs::create_dir(&room).expect("make a directory");
    let mut command = plain(lamina());
    command.arg("tour").arg("--layer").arg(&tar).arg("--root").arg(&room).args(["--driver", "vfs", "--json"]);
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let told: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(told["ok"], true);
    let course = &told["courses"][0];
    assert_eq!(course["driver"], "vfs");
    let rules: Vec<&str> =
        course["outside"].as_array().expect("a list").iter().filter_map(|each| each["rule"].as_str()).collect();
    assert_eq!(rules, ["R1", "R2", "R3"]);
    assert_eq!(std::fs::read_dir(&room).expect("read").count(), 0, "something is left");
}

#[test]
fn a_layer_that_is_no_archive_fails_the_tour() {
    let scratch = Scratch::new();
    let file = scratch.path().join("noise");
    std::fs::write(&file, vec![7_u8; 5000]).expect("write");
    let room = scratch.path().join("room");
    std::fs::create_dir(&room).expect("make a directory");
    let mut command = plain(lamina());
    command.arg("tour").arg("--layer").arg(&file).arg("--root").arg(&room).args(["--driver", "vfs"]);
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.contains("FAILED"), "{ended:?}");
    assert_eq!(std::fs::read_dir(&room).expect("read").count(), 0, "something is left");
}

#[test]
fn a_tour_that_is_stopped_cleans_up() {
    let scratch = Scratch::new();
    let room = scratch.path().join("room");
    std::fs::create_dir(&room).expect("make a directory");
    let mut command = plain(lamina());
    command
        .arg("tour")
        .arg("--root")
        .arg(&room)
        .args(["--driver", "vfs"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().expect("start");
    std::thread::sleep(Duration::from_millis(300));
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a process id")), Signal::SIGINT).expect("send a signal");
    let ended = Ended::of(&child.wait_with_output().expect("wait"));
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert_eq!(std::fs::read_dir(&room).expect("read").count(), 0, "something is left");
}
