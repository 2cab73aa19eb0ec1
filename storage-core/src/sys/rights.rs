//! Whose rights a process runs with.
#![allow(unsafe_code, reason = "no crate offers the auxiliary vector; this file is the call's one address")]

use rustix::process::{getegid, geteuid, getgid, getuid};

/// Whether the process runs with rights that whoever started it doesn't have: those of a file's owner or group, or
/// capabilities of the file. Its environment is then the word of somebody else.
pub fn are_lent() -> bool {
    // SAFETY: it reads a value that the kernel left for the process; one that is missing is 0.
    let secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    secure || getuid() != geteuid() || getgid() != getegid()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_program_of_one_s_own_has_one_s_own_rights() {
        assert!(!super::are_lent());
    }
}
