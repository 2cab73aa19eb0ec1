//! The `zfs` command: the one door to datasets.

use std::fmt;
use std::process::{Output, Stdio};

use storage_core::error::{Error, Kind, Result};
use storage_core::sys::process::ends_with_caller;

/// Who runs the command.
pub(crate) trait Command: fmt::Debug + Send + Sync {
    /// Runs `program` (`zfs` or `zpool`) with these arguments to its end.
    fn run(&self, program: &'static str, arguments: &[&str]) -> std::io::Result<Output>;
}

/// The program that is found in `PATH`.
#[derive(Debug)]
pub(crate) struct Installed;

impl Command for Installed {
    fn run(&self, program: &'static str, arguments: &[&str]) -> std::io::Result<Output> {
        let mut command = std::process::Command::new(program);
        // What it says is told apart by its words.
        command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null());
        ends_with_caller(&mut command).output()
    }
}

/// Runs the command and gives what it wrote. `operation` is what the caller does, for errors.
pub(crate) fn run(zfs: &dyn Command, operation: &'static str, arguments: &[&str]) -> Result<Vec<u8>> {
    run_program(zfs, "zfs", operation, arguments)
}

/// The same with the command for pools.
pub(crate) fn run_pool(zfs: &dyn Command, operation: &'static str, arguments: &[&str]) -> Result<Vec<u8>> {
    run_program(zfs, "zpool", operation, arguments)
}

fn run_program(
    zfs: &dyn Command,
    program: &'static str,
    operation: &'static str,
    arguments: &[&str],
) -> Result<Vec<u8>> {
    let output = zfs.run(program, arguments).map_err(|error| not_started(operation, &error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let kind = kind_of(&words);
    let error =
        Error::new(kind, operation).detail(format!("{program} {}: {words} ({})", arguments.join(" "), output.status));
    Err(match remedy(kind) {
        Some(remedy) => error.remedy(remedy),
        None => error,
    })
}

fn not_started(operation: &'static str, error: &std::io::Error) -> Error {
    let kind = if error.kind() == std::io::ErrorKind::NotFound { Kind::DriverUnusable } else { Kind::Io };
    Error::new(kind, operation)
        .detail(format!("the zfs command can't be run: {error}"))
        .remedy("install zfsutils-linux, or put the directory of zfs into PATH")
}

/// What the words of the command mean. The first that fits counts.
const WORDS: &[(&str, Kind)] = &[
    ("already exists", Kind::DuplicateId),
    ("does not exist", Kind::NotFound),
    ("no such pool", Kind::NotFound),
    ("permission denied", Kind::Permission),
    ("Permission denied", Kind::Permission),
    ("must be superuser", Kind::Permission),
    ("out of space", Kind::NoSpace),
    ("no space", Kind::NoSpace),
    ("No space", Kind::NoSpace),
    ("quota exceeded", Kind::NoSpace),
    ("quota is reached", Kind::NoSpace),
    ("read-only", Kind::ReadOnlyStore),
    ("read only", Kind::ReadOnlyStore),
    ("Read-only", Kind::ReadOnlyStore),
    ("is busy", Kind::Busy),
    ("has children", Kind::Busy),
    ("has dependent clones", Kind::Busy),
    ("currently mounted", Kind::Busy),
];

fn kind_of(words: &str) -> Kind {
    WORDS.iter().find(|(part, _)| words.contains(part)).map_or(Kind::Io, |(_, kind)| *kind)
}

fn remedy(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Permission => "run it as root",
        Kind::NoSpace => "free space in the pool, or raise the quota",
        Kind::ReadOnlyStore => "import the pool for writing",
        Kind::Busy => "unmount it where it is mounted, also in other mount namespaces",
        _ => return None,
    })
}

#[cfg(test)]
pub(crate) mod recorded {
    //! A stand-in that answers with recorded output, for tests of how output is read. It shows nothing about zfs.

    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::{Command, Output};

    /// What the command wrote, and how it ended.
    #[derive(Debug)]
    pub(crate) struct Recorded {
        pub(crate) stdout: &'static str,
        pub(crate) stderr: &'static str,
        pub(crate) code: i32,
    }

    impl Command for Recorded {
        fn run(&self, _program: &'static str, _arguments: &[&str]) -> std::io::Result<Output> {
            let status = ExitStatus::from_raw(self.code << 8);
            Ok(Output { status, stdout: self.stdout.into(), stderr: self.stderr.into() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::recorded::Recorded;
    use super::*;

    fn failed(stderr: &'static str) -> Error {
        run(&Recorded { stdout: "", stderr, code: 1 }, "make layer", &["clone", "a@b", "c"]).expect_err("it failed")
    }

    #[test]
    fn the_words_of_the_command_tell_what_went_wrong() {
        for (words, kind) in [
            ("cannot create 'p/a': dataset already exists\n", Kind::DuplicateId),
            ("cannot open 'p/a': dataset does not exist\n", Kind::NotFound),
            ("cannot destroy 'p/a': dataset is busy\n", Kind::Busy),
            ("cannot create 'p/a': out of space\n", Kind::NoSpace),
            ("cannot create 'p/a': permission denied\n", Kind::Permission),
            ("cannot create snapshots : pool is read-only\n", Kind::ReadOnlyStore),
            ("internal error: out of luck\n", Kind::Io),
        ] {
            assert_eq!(failed(words).kind(), kind, "{words}");
        }
        let text = failed("cannot create 'p/a':\n\tdataset is busy\n").to_string();
        assert!(text.contains("zfs clone a@b c: cannot create 'p/a': dataset is busy"), "{text}");
    }

    #[test]
    fn a_command_that_is_not_there_is_said_to_be_missing() {
        let error = not_started("open store", &std::io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(error.kind(), Kind::DriverUnusable);
        assert!(error.to_string().contains("zfsutils-linux"), "{error}");
    }
}
