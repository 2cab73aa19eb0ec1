//! `changes` and `diffsize`.

use std::os::unix::ffi::OsStrExt;

use serde::Serialize;

use crate::app::Context;
use crate::engine::{self, Change, ChangeKind};
use crate::go;
use crate::stop::Outcome;

pub(crate) const HELP: &str = "\
Tells what the layer adds, modifies and deletes, compared with its parent or with the reference layer, in the order of
paths. A directory that contains a change counts as modified.";
pub(crate) const SIZE_HELP: &str =
    "The bytes of all files that the layer adds or modifies, compared with its parent or the reference layer.";

/// A change as the reference's JSON has it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    path: String,
    kind: u8,
}

pub(crate) fn changes(context: &mut Context) -> Outcome {
    let (store, mut key) = engine::open(context)?;
    let work = context.work("changes");
    let mut found: Vec<Change> = Vec::new();
    let (to, from) = engine::compared(&store, &context.args);
    store.changes(&mut key, &to, from.as_deref(), &work.task, &mut |change| {
        found.push(change);
        Ok(())
    })?;
    drop(work);
    if context.json() {
        return context.out.json(&records(&found));
    }
    found.iter().try_for_each(|change| {
        context.out.line(format_args!("{} {}", word(change.kind), go::quoted(change.path.as_os_str().as_bytes())))
    })
}

/// The JSON form; none (`null`) when nothing changed, as the reference has it.
fn records(found: &[Change]) -> Option<Vec<Record>> {
    let record =
        |change: &Change| Record { path: change.path.to_string_lossy().into_owned(), kind: number(change.kind) };
    (!found.is_empty()).then(|| found.iter().map(record).collect())
}

pub(crate) fn diff_size(context: &mut Context) -> Outcome {
    let (store, mut key) = engine::open(context)?;
    let work = context.work("diff size");
    let (to, from) = engine::compared(&store, &context.args);
    let size = store.diff_size(&mut key, &to, from.as_deref(), &work.task)?;
    drop(work);
    context.out.line(size)
}

fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Modify => "Modify",
        ChangeKind::Add => "Add",
        ChangeKind::Delete => "Delete",
    }
}

fn number(kind: ChangeKind) -> u8 {
    match kind {
        ChangeKind::Modify => 0,
        ChangeKind::Add => 1,
        ChangeKind::Delete => 2,
    }
}
