//! Writing tar archives: ustar headers, with PAX records for what doesn't fit into them.
//!
//! Equal entries give equal bytes. As the reference does, names of owners are left empty and modes carry the type bits.

use std::fmt::Write as _;
use std::io::Write;

use crate::archive::compression::write_failed;
use crate::archive::tar::{BLOCK, Entry, EntryKind, checksum, shown};
use crate::error::{Error, Kind, Result};

const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Writes entries one after the other; without [`TarWriter::finish`] the archive has no valid end.
#[derive(Debug)]
pub struct TarWriter<W> {
    output: W,
    /// Data of the current entry that must still come.
    remaining: u64,
    padding: usize,
}

impl<W: Write> TarWriter<W> {
    /// Writes to `output`.
    pub fn new(output: W) -> Self {
        TarWriter { output, remaining: 0, padding: 0 }
    }

    /// Writes the header of an entry. Data of its size must follow when it is a file; sparse maps are not written.
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        self.end_entry()?;
        check_xattrs(entry)?;
        let records = records(entry);
        if !records.is_empty() {
            let name = entry.name.trim_ascii_end().strip_suffix(b"/").unwrap_or(&entry.name);
            let base = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            let mut title = b"PaxHeaders.0/".to_vec();
            title.extend(base.iter().map(|byte| if byte.is_ascii() { *byte } else { b'_' }));
            self.put(&block(&title, b"", b'x', 0o644, (0, 0), records.len() as u64, 0, (0, 0)))?;
            self.put(&records)?;
            self.pad(padding(records.len() as u64))?;
        }
        let (flag, kind_bits) = kind(entry.kind);
        let size = if entry.kind == EntryKind::Regular { entry.size } else { 0 };
        let mode = entry.mode & 0o7777 | kind_bits;
        let mtime = entry.mtime.seconds;
        self.put(&block(&entry.name, &entry.link, flag, mode, (entry.uid, entry.gid), size, mtime, entry.device))?;
        self.remaining = size;
        self.padding = padding(size);
        Ok(())
    }

    /// Writes a piece of the current entry's data.
    pub fn data(&mut self, data: &[u8]) -> Result<()> {
        let left = self.remaining.checked_sub(data.len() as u64);
        self.remaining = left.ok_or_else(|| wrong("more data than its header says"))?;
        self.put(data)
    }

    /// Completes the last entry, without ending the archive.
    pub fn end_entry(&mut self) -> Result<()> {
        if self.remaining > 0 {
            return Err(wrong("less data than its header says"));
        }
        let padding = std::mem::take(&mut self.padding);
        self.pad(padding)
    }

    /// Writes the end of the archive and gives the output back.
    pub fn finish(mut self) -> Result<W> {
        self.end_entry()?;
        self.put(&[0; 2 * BLOCK])?;
        self.output.flush().map_err(write_failed)?;
        Ok(self.output)
    }

    fn pad(&mut self, length: usize) -> Result<()> {
        self.put(&ZEROS[..length])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).map_err(write_failed)
    }
}

fn wrong(what: &str) -> Error {
    Error::new(Kind::Usage, "write archive").detail(format!("an entry has {what}"))
}

fn padding(size: u64) -> usize {
    ((BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64) as usize
}

/// The type flag and the type bits of the mode.
fn kind(kind: EntryKind) -> (u8, u32) {
    match kind {
        EntryKind::Regular => (b'0', libc::S_IFREG),
        EntryKind::HardLink => (b'1', libc::S_IFREG),
        EntryKind::Symlink => (b'2', libc::S_IFLNK),
        EntryKind::Char => (b'3', libc::S_IFCHR),
        EntryKind::Block => (b'4', libc::S_IFBLK),
        EntryKind::Directory => (b'5', libc::S_IFDIR),
        EntryKind::Fifo => (b'6', libc::S_IFIFO),
        EntryKind::Global => (b'g', 0),
    }
}

/// The PAX records for what the header can't hold, in the order of their keys.
fn records(entry: &Entry) -> Vec<u8> {
    let mut list: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |key: &[u8], value: Vec<u8>| list.push((key.to_vec(), value));
    let plain = |text: &[u8]| text.len() <= 100 && text.is_ascii();
    if !plain(&entry.link) {
        add(b"linkpath", entry.link.clone());
    }
    if !plain(&entry.name) {
        add(b"path", entry.name.clone());
    }
    if entry.size > OCTAL_11 && entry.kind == EntryKind::Regular {
        add(b"size", entry.size.to_string().into_bytes());
    }
    for (key, id) in [(&b"gid"[..], entry.gid), (b"uid", entry.uid)] {
        if u64::from(id) > OCTAL_7 {
            add(key, id.to_string().into_bytes());
        }
    }
    if entry.mtime.nanos != 0 || !(0..=OCTAL_11 as i64).contains(&entry.mtime.seconds) {
        add(b"mtime", time(entry));
    }
    for (key, value) in &entry.xattrs {
        add(&[b"SCHILY.xattr.", key.as_slice()].concat(), value.clone());
    }
    list.sort();
    let mut out = Vec::new();
    for (key, value) in list {
        push_record(&mut out, &key, &value);
    }
    out
}

/// The largest numbers of 7 and 11 octal digits.
const OCTAL_7: u64 = 0o777_7777;
const OCTAL_11: u64 = 0o777_7777_7777;

fn time(entry: &Entry) -> Vec<u8> {
    let (seconds, nanos) = (entry.mtime.seconds, entry.mtime.nanos);
    // Before 1970 the fraction counts backwards: -1.25 is 0.75 s after second -2.
    let (sign, whole, fraction) = match (seconds < 0, nanos) {
        (true, 1..) => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanos),
        (negative, _) => (if negative { "-" } else { "" }, seconds.unsigned_abs(), nanos),
    };
    let mut text = format!("{sign}{whole}");
    if fraction > 0 {
        let _ = write!(text, ".{fraction:09}");
        text.truncate(text.trim_end_matches('0').len());
    }
    text.into_bytes()
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn push_record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[expect(clippy::too_many_arguments, reason = "the fields of a header, in their order")]
fn block(
    name: &[u8],
    link: &[u8],
    flag: u8,
    mode: u32,
    owner: (u32, u32),
    size: u64,
    mtime: i64,
    device: (u32, u32),
) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put_text(&mut block[0..100], name);
    put_octal(&mut block[100..108], mode.into());
    put_octal(&mut block[108..116], owner.0.into());
    put_octal(&mut block[116..124], owner.1.into());
    put_octal(&mut block[124..136], size);
    put_octal(&mut block[136..148], u64::try_from(mtime).unwrap_or(0));
    block[156] = flag;
    put_text(&mut block[157..257], link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    put_octal(&mut block[329..337], device.0.into());
    put_octal(&mut block[337..345], device.1.into());
    let sum = checksum(&block);
    put_octal(&mut block[148..155], sum);
    block[155] = b' ';
    block
}

/// As much of a text as fits; a PAX record holds the rest.
fn put_text(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}

/// Octal digits with a NUL behind them, or zero where they don't fit and a PAX record holds the number.
fn put_octal(field: &mut [u8], number: u64) {
    let digits = field.len() - 1;
    let fits = number < 1 << (3 * digits);
    let text = format!("{:0digits$o}", if fits { number } else { 0 });
    field[..digits].copy_from_slice(text.as_bytes());
}

/// Refuses an attribute whose name would be cut where it is read.
fn check_xattrs(entry: &Entry) -> Result<()> {
    match entry.xattrs.iter().find(|(key, _)| key.contains(&b'=')) {
        None => Ok(()),
        Some((key, _)) => Err(Error::new(Kind::NotSupported, "write archive")
            .detail(format!(
                "the file {:?} has the extended attribute {:?}, whose name can't be written",
                shown(&entry.name),
                shown(key)
            ))
            .remedy("remove the attribute")),
    }
}

/// Refuses a name that would mean something else when the archive is applied.
pub(crate) fn check_name(name: &[u8]) -> Result<()> {
    if name.split(|byte| *byte == b'/').any(|part| part.starts_with(b".wh.")) {
        return Err(Error::new(Kind::NotSupported, "write archive")
            .detail(format!("the file {:?} has a name that means a whiteout in a layer's archive", shown(name))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_record_counts_its_own_digits() {
        for length in [1, 2, 80, 90, 91, 92, 93, 94, 95, 96, 97, 980, 989, 990, 991, 992] {
            let mut out = Vec::new();
            push_record(&mut out, b"path", &vec![b'x'; length]);
            let stated: usize =
                std::str::from_utf8(&out).expect("ASCII").split(' ').next().expect("length").parse().expect("number");
            assert_eq!(stated, out.len());
        }
    }
}
