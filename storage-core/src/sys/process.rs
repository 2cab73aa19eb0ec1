//! Programs that don't outlive who started them.
#![allow(unsafe_code, reason = "no crate wraps this call; this file is its one address")]

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Lets the kernel kill the program when the thread that starts it ends, SIGKILL included.
///
/// The starting thread must wait for the program, else the program may be killed early.
pub fn ends_with_caller(command: &mut Command) -> &mut Command {
    let parent = nix::unistd::getpid();
    let tie = move || {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        // Who died before the kernel was told can't be waited for any more. (0: a caller in another pid namespace.)
        let now = nix::unistd::getppid();
        if now == parent || now.as_raw() == 0 { Ok(()) } else { Err(nix::errno::Errno::ESRCH.into()) }
    };
    // SAFETY: between fork and exec the closure makes two system calls; it takes no lock and allocates nothing.
    unsafe { command.pre_exec(tie) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_told_to_end_with_the_thread_that_started_it() {
        let child = std::thread::spawn(|| ends_with_caller(Command::new("sleep").arg("1000")).spawn().expect("spawn"));
        // The thread has ended, so the program is killed long before its time.
        let status = child.join().expect("thread").wait().expect("wait");
        assert!(!status.success(), "a program outlived the thread that started it");
    }
}
