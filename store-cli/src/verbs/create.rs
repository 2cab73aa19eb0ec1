//! `create-layer` and `import-layer`.

use storage_core::LayerId;
use storage_core::store::Record;

use super::maps::{self, GID, HOST_GID, HOST_UID, SUB_GID, SUB_UID, UID};
use crate::app::Context;
use crate::engine::{self, NewLayer};
use crate::flags::Flag;
use crate::input::Input;
use crate::stop::Outcome;

pub(crate) const HELP: &str =
    "Prints the new layer's id, and its names below it. Without a parent the layer is a base.

The files belong to the ids that the maps say, or else the parent's maps; a filesystem that can show owners mapped keeps
them as they are inside, and the record has no maps. --uidmap and --gidmap may be given several times; one of --subuidmap
and --subgidmap stands for both.";
pub(crate) const IMPORT_HELP: &str = "\
Reads a tar archive, plain or compressed with gzip, zstd, xz or bzip2, from standard input or a file, and makes a layer
of it. Prints the new layer's id, and its names below it. The whole is done aside, without a lock; only then it is a
layer, so an import that fails or is stopped leaves nothing.";

const LABEL: Flag = Flag::value(&["--label", "-l"], "Mount Label");
const NAME: Flag = Flag::list(&["--name", "-n"], "Layer name");
const ID: Flag = Flag::value(&["--id", "-i"], "Layer ID");
const READ_ONLY: Flag = Flag::switch(&["--readonly", "-r"], "Mark as read-only");

pub(crate) const CREATE_FLAGS: &[Flag] =
    &[LABEL, NAME, ID, READ_ONLY, super::JSON, HOST_UID, HOST_GID, UID, GID, SUB_UID, SUB_GID];
pub(crate) const IMPORT_FLAGS: &[Flag] = &[
    LABEL,
    NAME,
    ID,
    READ_ONLY,
    super::JSON,
    Flag::value(&["--file", "-f"], "Read from file instead of stdin"),
    HOST_UID,
    HOST_GID,
    UID,
    GID,
    SUB_UID,
    SUB_GID,
];

pub(crate) fn create_layer(context: &mut Context) -> Outcome {
    let wanted = wanted(context)?;
    let (store, mut key) = engine::open(context)?;
    let work = context.work("create layer");
    let layer = store.create_layer(&mut key, &wanted, &work.task)?;
    drop(work);
    show(context, &layer)
}

pub(crate) fn import_layer(context: &mut Context) -> Outcome {
    let wanted = wanted(context)?;
    let input = Input::open("import layer", context.flags.value("--file"), &context.cancel)?;
    let (store, mut key) = engine::open(context)?;
    let work = context.work("import layer");
    let (layer, _) = store.import_layer(&mut key, &wanted, input, &work.task)?;
    drop(work);
    show(context, &layer)
}

fn wanted(context: &Context) -> Outcome<NewLayer> {
    let flags = &context.flags;
    Ok(NewLayer {
        id: flags.value("--id").map(LayerId::for_new).transpose()?,
        parent: context.args.first().filter(|parent| !parent.is_empty()).cloned(),
        names: flags.list("--name").to_vec(),
        mount_label: flags.value("--label").unwrap_or_default().to_owned(),
        owners: maps::owners(flags)?,
        read_only: flags.on("--readonly"),
        ..NewLayer::default()
    })
}

/// Shows what was made: its record, or its id and its names.
pub(super) fn show<R: Record>(context: &mut Context, made: &R) -> Outcome {
    if context.json() {
        return context.out.json(made);
    }
    context.out.line(made.id())?;
    made.names().iter().try_for_each(|name| context.out.line(format_args!("\t{name}")))
}
