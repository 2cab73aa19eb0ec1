//! `gc`, `dedup`, `wipe`, `shutdown`.

use crate::app::Context;
use crate::engine::{self, DedupBy};
use crate::flags::Flag;
use crate::output::complain;
use crate::stop::{Outcome, usage};

pub(crate) const GC_HELP: &str = "\
Reclaims what processes left when they died: staging, trash, stale links, parts of layers, images and containers that no
record knows, and mounts that nobody counts or uses. Unlike the reference's it takes away no mount that is counted or in
use, and nothing whose name is not one that a layer is given.";
pub(crate) const SHUTDOWN_HELP: &str = "\
Refused while a layer is mounted; with --force all are unmounted first.";
pub(crate) const WIPE_HELP: &str = "\
Deletes every container, image and layer of the store, without asking; additional stores stay as they are.";

pub(crate) const DEDUP_HELP: &str = "\
Lets files that are the same in several layers share their blocks, where the filesystem can. The kernel compares them: no
content changes.";
pub(crate) const DEDUP_FLAGS: &[Flag] =
    &[Flag::value(&["--hash-method"], "How files that may be the same are found: crc, size or sha256"), super::JSON];
pub(crate) const SHUTDOWN_FLAGS: &[Flag] =
    &[Flag::switch(&["--force", "-f"], "Unmount mounted layers first"), super::JSON];

pub(crate) fn gc(context: &mut Context) -> Outcome {
    let (store, mut key) = engine::open(context)?;
    let work = context.work("gc");
    let report = store.gc(&mut key, &work.task)?;
    drop(work);
    if report.uncertain {
        complain(
            "gc: some records can't be understood, so no part of a layer was taken for nobody's; see `lamina check`",
        );
    }
    if report.left > 0 {
        complain(format_args!("gc: {} places or mounts are in use and were left", report.left));
    }
    done(context)
}

pub(crate) fn dedup(context: &mut Context) -> Outcome {
    let by = match context.flags.value("--hash-method") {
        None | Some("sha256") => DedupBy::Sha256,
        Some("crc") => DedupBy::Crc,
        Some("size") => DedupBy::Size,
        Some(other) => {
            return Err(usage(format!("{other:?} is no way to tell files apart"), "use crc, size or sha256").into());
        }
    };
    let (store, mut key) = engine::open(context)?;
    let work = context.work("dedup");
    let report = store.dedup(&mut key, by, &work.task)?;
    drop(work);
    if !report.supported {
        complain("dedup: the filesystem of the store can't share blocks, so nothing was done");
    }
    if context.json() {
        return context.out.json(&serde_json::json!({"Deduped": report.bytes}));
    }
    context.out.line(format_args!("Deduplicated {} bytes", report.bytes))
}

pub(crate) fn wipe(context: &mut Context) -> Outcome {
    let (store, mut key) = engine::open(context)?;
    let work = context.work("wipe");
    store.wipe(&mut key, &work.task)?;
    drop(work);
    done(context)
}

pub(crate) fn shutdown(context: &mut Context) -> Outcome {
    let (store, mut key) = engine::open(context)?;
    if let Err(error) = store.shutdown(&mut key, context.flags.on("--force")) {
        if context.json() {
            // The reference encodes an error without public fields.
            context.out.line("{}")?;
        }
        return Err(error.into());
    }
    done(context)
}

/// The reference's JSON for "nothing to say" is an empty string.
fn done(context: &mut Context) -> Outcome {
    if context.json() { context.out.json(&"") } else { Ok(()) }
}
