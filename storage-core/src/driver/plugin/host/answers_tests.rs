//! Answers that no plugin should give, and what becomes of the descriptors among them.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::answers;
use super::{Plugin, Watch};
use crate::driver::plugin::text::Str;
use crate::error::{Error, Kind, Result};

fn plugin() -> &'static Plugin {
    // SAFETY: all bytes zero are a table without functions.
    let table = unsafe { std::mem::zeroed() };
    let (file, watch) = (Path::new("/fake.so"), Watch::default());
    Box::leak(Box::new(Plugin { table, name: "fake", version: "1", file, watch }))
}

#[track_caller]
fn broken<T>(answer: Result<T>, words: &str) {
    let error: Error = answer.map(drop).expect_err(words);
    assert!(error.kind() == Kind::BadPlugin && error.to_string().contains(words), "{words:?} is not in {error}");
}

/// A pipe: who reads it comes to its end once nobody has the other side.
fn pipe() -> (File, OwnedFd) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("pipe");
    (reader.into(), writer)
}

#[track_caller]
fn closed(mut reader: File) {
    assert_eq!(reader.read(&mut [0]).expect("nobody has the other side any more"), 0);
}

#[test]
fn descriptors_that_come_after_a_failure_are_closed() {
    let (reader, writer) = pipe();
    let answer = answers::descriptors(plugin(), "unmount", |_, each, context| {
        // SAFETY: the sink is that of this call.
        unsafe {
            assert_ne!(each(context, -1), 0);
            each(context, writer.into_raw_fd())
        }
    });
    broken(answer, "the descriptor -1");
    closed(reader);
}

#[test]
fn a_descriptor_that_is_given_twice_is_closed_once() {
    let (reader, writer) = pipe();
    let number = writer.into_raw_fd();
    let answer = answers::descriptors(plugin(), "unmount", |_, each, context| {
        // SAFETY: the sink is that of this call.
        unsafe {
            assert_eq!(each(context, number), 0);
            each(context, number)
        }
    });
    broken(answer, "twice");
    closed(reader);
}

#[test]
fn a_directory_that_cannot_be_read_is_none() {
    let open = |flags| rustix::fs::open("/", flags | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).expect("open");
    broken(answers::directory(plugin(), "view", open(OFlags::PATH).into_raw_fd()), "O_PATH");
    assert!(answers::directory(plugin(), "view", open(OFlags::RDONLY).into_raw_fd()).expect("fine").as_raw_fd() > 2);
}

#[test]
fn a_callback_from_another_thread_is_a_fault() {
    let mut code = 0;
    let answer = answers::texts(plugin(), "list", |_, each, context| {
        let context = context as usize;
        // SAFETY: the sink is that of this call, which goes on; that it is another thread is what is tested.
        let call = move || unsafe { each(context as *mut std::ffi::c_void, Str::new("one")) };
        std::thread::scope(|scope| code = scope.spawn(call).join().expect("join"));
        0
    });
    broken(answer, "another thread");
    assert_eq!(code, i32::from(Kind::BadPlugin.code()), "the plugin is told to come back");
}

#[test]
fn an_identity_says_something() {
    for (text, fine) in [("", false), ("7-8", true)] {
        let answer = answers::identity(plugin(), "identity", |_, each, context| {
            // SAFETY: the sink is that of this call.
            unsafe { each(context, Str::new(text)) }
        });
        assert_eq!(answer.map_err(|error| error.kind()).err(), (!fine).then_some(Kind::BadPlugin), "{text:?}");
    }
}

#[test]
fn a_foreign_name_hides_no_layer() {
    let names = answers::names(plugin(), "list", |_, each, context| {
        // SAFETY: the sink is that of this call.
        [&b"one"[..], b"\xff", b"two"].iter().map(|name| unsafe { each(context, Str::of_bytes(name)) }).sum()
    });
    assert_eq!(names.expect("all"), ["one", "\u{fffd}", "two"]);
}
