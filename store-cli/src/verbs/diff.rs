//! `diff`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};

use storage_core::{Error, Kind};

use crate::app::Context;
use crate::engine::{self, Compression, DiffOptions};
use crate::flags::Flag;
use crate::output;
use crate::stop::{Outcome, not_yet};

pub(crate) const HELP: &str = "\
Writes a tar archive with what the layer has and its parent (or the reference layer) has not. For a layer made by
`import-layer`, against its parent, that is the imported archive byte for byte; -u gives it without its compression. No
lock is held while it streams; when the layer vanishes meanwhile, the archive has no valid end and the command fails.";

pub(crate) const FLAGS: &[Flag] = &[
    Flag::value(&["--file", "-f"], "Write to file instead of stdout"),
    Flag::switch(&["--uncompressed", "-u"], "Use no compression"),
    Flag::switch(&["--gzip", "-c"], "Compress using gzip"),
    Flag::switch(&["--bzip2", "--bz2", "-b"], "Compress using bzip2 (not supported)"),
    Flag::switch(&["--xz", "-x"], "Compress using xz (not supported)"),
];

pub(crate) fn diff(context: &mut Context) -> Outcome {
    let compression = compression(context)?;
    let (store, mut key) = engine::open(context)?;
    // An unknown layer is told before a file is made for it.
    let (to, from) = engine::compared(&store, &context.args);
    store.sight()?.layer(&to, "diff")?;
    let mut target = Target::open(context.flags.value("--file"))?;
    let work = context.work("diff");
    let outcome = store
        .diff(&mut key, &to, from.as_deref(), DiffOptions { compression }, target.writer.as_mut(), &work.task)
        .and_then(|()| target.writer.flush().map_err(|source| Error::os("write", &target.path, source)));
    if outcome.is_err() {
        target.discard();
    }
    Ok(outcome?)
}

/// The compression that the flags ask for; none: the one that the layer came with.
fn compression(context: &Context) -> Outcome<Option<Compression>> {
    let flags = &context.flags;
    for (flag, name) in [("--bzip2", "tar.bz2"), ("--xz", "tar.xz")] {
        if flags.on(flag) {
            return Err(not_yet(&format!("diff {flag}"), &format!("writer of {name}")).into());
        }
    }
    Ok(match (flags.on("--gzip"), flags.on("--uncompressed")) {
        (true, _) => Some(Compression::Gzip),
        (false, true) => Some(Compression::None),
        (false, false) => None,
    })
}

/// Where the archive goes.
struct Target {
    writer: Box<dyn Write + Send>,
    path: String,
    made: bool,
}

impl Target {
    fn open(path: Option<&str>) -> Outcome<Self> {
        let Some(path) = path else {
            let stdout = output::stream("diff")?;
            return Ok(Target { writer: Box::new(stdout), path: "standard output".into(), made: false });
        };
        let new = OpenOptions::new().write(true).create_new(true).open(path);
        let made = new.is_ok();
        let file = match new {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => File::create(path),
            other => other,
        };
        let file = file.map_err(|source| Error::os("create", path, source))?;
        Ok(Target { writer: Box::new(file), path: path.into(), made })
    }

    /// Takes back a file that was made for an archive which has no end.
    fn discard(&self) {
        if self.made
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            output::complain(Error::os("remove", &self.path, error).detail(Kind::Changed.words()));
        }
    }
}
