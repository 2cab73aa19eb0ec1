//! Which files are read, in which order.
//!
//! One main file: `$CONTAINERS_STORAGE_CONF` alone, else the first of the user's own, `/etc/containers/storage.conf` and
//! `/usr/share/containers/storage.conf` that exists. Without `$CONTAINERS_STORAGE_CONF` the drop-ins follow, and in any case
//! `$CONTAINERS_STORAGE_CONF_OVERRIDE` is last.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::Environment;
use crate::error::{Error, Kind, Result};

/// Names the one file that is read.
pub(super) const ONLY: &str = "CONTAINERS_STORAGE_CONF";
/// Names a file that is read last.
pub(super) const OVERRIDE: &str = "CONTAINERS_STORAGE_CONF_OVERRIDE";

/// For whom a file speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Everybody on this machine: its roots are root's.
    Everyone,
    /// The user that asks.
    Caller,
}

/// A file with its text.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) audience: Audience,
}

/// The files that count, in the order in which they are applied.
pub(super) fn files(environment: &Environment) -> Result<Vec<File>> {
    let mut files = Vec::new();
    if let Some(only) = environment.variable(ONLY) {
        files.push(named(Path::new(&only), ONLY)?);
    } else {
        files.extend(main_file(environment)?);
        for (path, audience) in drop_ins(environment)?.into_values() {
            files.extend(read(&path, audience)?);
        }
    }
    if let Some(last) = environment.variable(OVERRIDE) {
        files.push(named(Path::new(&last), OVERRIDE)?);
    }
    Ok(files)
}

/// A file that a person named, by a variable or otherwise; it must be there.
pub(super) fn named(path: &Path, by: &str) -> Result<File> {
    read(path, Audience::Caller)?.ok_or_else(|| {
        Error::new(Kind::NotFound, "read configuration").at(path).remedy(format!("name a file that exists with {by}"))
    })
}

fn main_file(environment: &Environment) -> Result<Option<File>> {
    let mut places = vec![
        (environment.system("/etc/containers/storage.conf"), Audience::Everyone),
        (environment.system("/usr/share/containers/storage.conf"), Audience::Everyone),
    ];
    if environment.is_ordinary() {
        places.insert(0, (environment.user_place().join("storage.conf"), Audience::Caller));
    }
    for (path, audience) in places {
        if let Some(file) = read(&path, audience)? {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// Drop-ins by base name. Of one name that of the place nearest to the user counts; the names say the order.
fn drop_ins(environment: &Environment) -> Result<BTreeMap<OsString, (PathBuf, Audience)>> {
    let mut found = BTreeMap::new();
    for (place, audience) in drop_in_places(environment) {
        let entries = match std::fs::read_dir(&place) {
            Ok(entries) => entries,
            Err(error) if is_missing(&error) => continue,
            Err(error) => return Err(Error::os("opendir", &place, error)),
        };
        for entry in entries {
            let path = entry.map_err(|error| Error::os("readdir", &place, error))?.path();
            if path.extension().is_some_and(|end| end == "conf") && !path.is_dir() {
                found.insert(path.file_name().unwrap_or_default().to_owned(), (path, audience));
            }
        }
    }
    Ok(found)
}

/// The directories of drop-ins, that of the vendor first.
fn drop_in_places(environment: &Environment) -> Vec<(PathBuf, Audience)> {
    let mut places = Vec::new();
    for system in ["/usr/share/containers", "/etc/containers"] {
        let place = environment.system(system);
        places.push((place.join("storage.conf.d"), Audience::Everyone));
        if environment.is_ordinary() {
            let all = place.join("storage.rootless.conf.d");
            places.push((all.clone(), Audience::Caller));
            places.push((all.join(environment.uid.to_string()), Audience::Caller));
        } else {
            places.push((place.join("storage.rootful.conf.d"), Audience::Caller));
        }
    }
    if environment.is_ordinary() {
        places.push((environment.user_place().join("storage.conf.d"), Audience::Caller));
    }
    places
}

/// Reads a file; none when it isn't there.
fn read(path: &Path, audience: Audience) -> Result<Option<File>> {
    match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(File { path: path.to_path_buf(), text, audience })),
            Err(_) => Err(Error::new(Kind::Usage, "read configuration")
                .at(path)
                .detail("it is not UTF-8")
                .remedy("save the file as UTF-8, which TOML is always in")),
        },
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(Error::os("read", path, error)),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
