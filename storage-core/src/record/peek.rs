//! A look into a file that others write: it waits for nobody and reads no more than it is told.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The first bytes of the regular file at `path`, at most so many. None where there is none, or it can't be read: neither is
/// a link followed, nor does a fifo make anybody wait.
pub fn beginning(path: &Path, most: u64) -> Option<Vec<u8>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The text of the regular file at `path`; none also where it is longer than `most`.
pub fn text(path: &Path, most: u64) -> Option<String> {
    let bytes = beginning(path, most.saturating_add(1))?;
    if bytes.len() as u64 > most { None } else { String::from_utf8(bytes).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_is_read_up_to_a_length_and_nothing_else_is_read_or_waited_for() {
        let dir = tempfile::tempdir().expect("dir");
        let (file, link, fifo) = (dir.path().join("file"), dir.path().join("link"), dir.path().join("fifo"));
        fs::write(&file, "12345").expect("write");
        std::os::unix::fs::symlink(&file, &link).expect("link");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
        assert_eq!(beginning(&file, 3).as_deref(), Some(&b"123"[..]));
        assert_eq!((text(&file, 5).as_deref(), text(&file, 4)), (Some("12345"), None));
        for path in [&link, &fifo, &dir.path().to_path_buf(), &dir.path().join("missing")] {
            assert_eq!((beginning(path, 3), text(path, 5)), (None, None), "{}", path.display());
        }
    }
}
