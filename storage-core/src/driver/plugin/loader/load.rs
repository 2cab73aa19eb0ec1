//! From an open file to a plugin whose table was checked.

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::path::Path;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::super::host::{Plugin, Watch};
use super::super::table::{ABI, SYMBOL, Table, is_whole, received_bytes};
use crate::driver::Descriptor;
use crate::error::{Error, Kind, Result};

/// The most bytes of a table that are believed: a greater size is no size.
const MOST: usize = 1 << 16;

/// What engines keep in graph roots beside the homes of drivers.
const TAKEN: [&str; 9] =
    ["artifacts", "cache", "libpod", "mounts", "networks", "overlay2", "secrets", "tmp", "volumes"];

type Entry = unsafe extern "C" fn() -> *const Table;

/// Loads what `opened` is, which was found at `file`.
pub(super) fn load(opened: OwnedFd, file: &Path, watch: Watch) -> Result<Descriptor> {
    let path = format!("/proc/self/fd/{}", opened.as_raw_fd());
    // Never freed, as what is loaded stays. It is told by this name when it doesn't come back.
    let file: &'static Path = Box::leak(file.to_path_buf().into_boxed_path());
    let linking = watch.begin("", file, "dlopen");
    // SAFETY: constructors of the object run now. The file and the way to it were checked: they are root's or the user's.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) }
        .map_err(|error| refused(file, &cause(&error, &path, file), "build it as a shared object for this machine"))?;
    drop(linking);
    // The dynamic linker knows the object by this path, so the number must not come to mean another file.
    let _ = opened.into_raw_fd();
    // SAFETY: an object that exports the name gives it the type that the header says.
    let entry = unsafe { library.get::<Entry>(SYMBOL) }.map(|entry| *entry);
    // Never unloaded: threads, statics and handles of it may live anywhere.
    std::mem::forget(library);
    let entry = entry.map_err(|_| {
        refused(file, &format!("it does not export {SYMBOL}"), "build it for the version of the border that this is")
    })?;
    let entering = watch.begin("", file, SYMBOL);
    // SAFETY: as above.
    let table = unsafe { entry() };
    drop(entering);
    // SAFETY: the header asks that the table is as long as it says.
    let table = unsafe { checked_table(table, file) }?;
    let plugin = Box::leak(Box::new(checked_plugin(&table, file, watch)?));
    Ok(plugin.descriptor())
}

/// The table at `table`, as far as both sides know it.
///
/// # Safety
///
/// It is null or as long as it says.
unsafe fn checked_table(table: *const Table, file: &Path) -> Result<Table> {
    let wrong = |detail: &str| Err(refused(file, detail, "build it with the header of this version"));
    if table.is_null() || !table.is_aligned() {
        return wrong("its table has no address");
    }
    // The version and the size stand where they always will.
    // SAFETY: every table is at least that long.
    let (abi, size) = unsafe { ((&raw const (*table).abi).read(), (&raw const (*table).size).read()) };
    if abi != ABI {
        return wrong(&format!("it speaks version {abi} of the border, and this program version {ABI}"));
    }
    if !(Table::LEAST..=MOST).contains(&size) {
        return wrong(&format!("its table has {size} bytes, and at least {} are needed", Table::LEAST));
    }
    // Half of a pointer is none.
    if !is_whole(size) {
        return wrong(&format!("its table has {size} bytes, which ends in the middle of a function"));
    }
    // SAFETY: the caller vouches for the size, and all bytes zero are a table without functions.
    let table: Table = unsafe { received_bytes(table, size) };
    match table.missing() {
        Some(name) => wrong(&format!("its table lacks the function {name}")),
        None if table.compare.is_some() && !can_compare(&table) => {
            wrong("its table has compare, and lacks one of the functions of comparisons")
        }
        None => Ok(table),
    }
}

fn can_compare(table: &Table) -> bool {
    table.comparison_changes.is_some()
        && table.comparison_pack.is_some()
        && table.comparison_size.is_some()
        && table.comparison_check.is_some()
        && table.comparison_close.is_some()
}

fn checked_plugin(table: &Table, file: &'static Path, watch: Watch) -> Result<Plugin> {
    let wrong = |what: String| refused(file, &what, "correct what the table says");
    // SAFETY: the header asks that the strings of a table are constant.
    let (name, version) = unsafe { (table.name.text().map_err(wrong)?, table.version.text().map_err(wrong)?) };
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if name.is_empty() || name.len() > 64 || name.starts_with('-') || !name.chars().all(plain) {
        return Err(wrong(format!("a driver can't be called {name:?}: a-z, 0-9 and '-' serve")));
    }
    // A home of this name would be another thing of the store's.
    if TAKEN.contains(&name) || is_records(name) {
        return Err(wrong(format!("a driver can't be called {name:?}: that place is taken in graph roots")));
    }
    Ok(Plugin { table: *table, name, version, file, watch })
}

/// Whether the store keeps records under this name (`overlay-layers`).
fn is_records(name: &str) -> bool {
    ["-layers", "-images", "-containers", "-locks"].iter().any(|end| name.ends_with(end))
}

/// What the dynamic linker says, in terms of the file.
fn cause(error: &libloading::Error, path: &str, file: &Path) -> String {
    let text = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    text.replace(path, &file.display().to_string())
}

fn refused(file: &Path, detail: &str, remedy: &'static str) -> Error {
    Error::new(Kind::BadPlugin, "load plugin").at(file).detail(detail).remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_ends_in_the_middle_of_a_function_is_refused() {
        let said = |size| {
            // SAFETY: all bytes zero are a table without functions.
            let mut table: Table = unsafe { std::mem::zeroed() };
            (table.abi, table.size) = (ABI, size);
            // SAFETY: it is whole, and what is longer is refused before it is read.
            unsafe { checked_table(&raw const table, Path::new("/fake.so")) }.expect_err("refused").to_string()
        };
        assert!(said(Table::LEAST).contains("lacks the function"), "the size is good");
        for odd in [1, size_of::<usize>() / 2] {
            assert!(said(Table::LEAST + odd).contains("in the middle"), "{}", said(Table::LEAST + odd));
        }
        assert!(said(Table::LEAST - 1).contains("are needed") && said(MOST + 1).contains("are needed"));
    }
}
