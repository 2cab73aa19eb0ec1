//! The verbs: a table says their names, arguments and flags; a file for each, or for each noun with short verbs.

mod apply;
mod audit;
mod changes;
mod check;
mod config;
mod conformance;
mod container;
mod copy;
mod create;
mod data;
mod delete;
mod diff;
mod directories;
mod drivers;
mod examine;
mod exists;
mod house;
mod image;
pub(crate) mod later;
mod layer;
mod layers;
mod load;
mod maps;
mod metadata;
mod mount;
mod names;
mod of_containers;
mod of_images;
mod parents;
mod save;
mod status;
mod tree;
mod unshare;

use crate::app::{CHANGES, Context, READS};
use crate::engine::ItemKind;
use crate::flags::Flag;
use crate::globals::Configured;
use crate::signals::Patience;
use crate::stop::Outcome;
use crate::tour;

pub(crate) use drivers::{table as survey_table, verdict as survey_verdict};

/// Which namespaces a verb runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// Those it was started in.
    None,
    /// An ordinary user's own user namespace.
    User,
    /// That, and a mount namespace from which nothing reaches others.
    PrivateMounts,
}

/// One verb.
#[derive(Debug)]
pub(crate) struct Verb {
    /// What it is called; the first name is the one that help shows.
    pub(crate) names: &'static [&'static str],
    /// Its arguments, for the usage line.
    pub(crate) arguments: &'static str,
    /// One line of help.
    pub(crate) summary: &'static str,
    /// More help.
    pub(crate) more: &'static str,
    /// The least and the greatest number of arguments.
    pub(crate) count: (usize, usize),
    /// Its own flags.
    pub(crate) flags: &'static [Flag],
    /// Where it runs.
    pub(crate) namespace: Namespace,
    /// Whether configuration files are read for it.
    pub(crate) configured: Configured,
    /// How it takes a signal; none: at once, as by default.
    pub(crate) stops: Option<Patience>,
    /// What it does.
    pub(crate) action: fn(&mut Context) -> Outcome,
}

/// No bound on the number of arguments.
const MANY: usize = usize::MAX;

const JSON: Flag = Flag::switch(&["--json", "-j"], "Prefer JSON output");

/// A short verb without flags but `--json`.
const PLAIN: Verb = Verb {
    names: &[],
    arguments: "[options [...]]",
    summary: "",
    more: "",
    count: (0, 0),
    flags: &[JSON],
    namespace: Namespace::User,
    configured: Configured::Yes,
    stops: None,
    action: |_| Ok(()),
};

/// All verbs, in the order in which help lists them.
pub(crate) fn all() -> impl Iterator<Item = &'static Verb> {
    [VERBS, of_images::VERBS, of_containers::VERBS].into_iter().flatten()
}

/// The verb called `name`, also one that help doesn't list.
pub(crate) fn called(name: &str) -> Option<&'static Verb> {
    all().chain(HIDDEN).find(|verb| verb.names.contains(&name))
}

/// Verbs that this program starts itself with.
const HIDDEN: &[Verb] = &[
    Verb {
        names: &["conformance-worker"],
        arguments: "driver job [...]",
        summary: "Work for a case of `lamina conformance`",
        count: (1, MANY),
        flags: &[],
        configured: Configured::No,
        action: conformance::worker,
        ..PLAIN
    },
    Verb {
        names: &[audit::WORKER],
        arguments: "driver order",
        summary: "Work for `lamina audit`",
        count: (2, 2),
        flags: &[],
        configured: Configured::No,
        action: audit::worker,
        ..PLAIN
    },
];

/// The verbs of layers, those of everything, and those of the store.
const VERBS: &[Verb] = &[
    Verb {
        names: &["tour"],
        summary: "Show on this machine what a layer store does, with every driver that works here",
        more: tour::HELP,
        flags: tour::FLAGS,
        namespace: Namespace::PrivateMounts,
        configured: Configured::No,
        stops: CHANGES,
        action: tour::tour,
        ..PLAIN
    },
    Verb {
        names: &["drivers"],
        summary: "Tell which drivers work on this root, why, and which one would be chosen",
        more: drivers::HELP,
        action: drivers::drivers,
        ..PLAIN
    },
    Verb {
        names: &["audit"],
        summary: "Judge a driver, or the use of a store, by the rules of locking",
        more: audit::HELP,
        flags: audit::FLAGS,
        action: audit::audit,
        ..PLAIN
    },
    Verb {
        names: &["conformance"],
        summary: "Try whether a driver keeps what drivers promise",
        more: conformance::HELP,
        flags: conformance::FLAGS,
        namespace: Namespace::PrivateMounts,
        configured: Configured::No,
        action: conformance::conformance,
        ..PLAIN
    },
    Verb {
        names: &["create-layer", "createlayer"],
        arguments: "[options [...]] [parentLayerNameOrID]",
        summary: "Create a new layer",
        more: create::HELP,
        count: (0, 1),
        flags: create::CREATE_FLAGS,
        stops: CHANGES,
        action: create::create_layer,
        ..PLAIN
    },
    Verb {
        names: &["import-layer", "importlayer"],
        arguments: "[options [...]] [parentLayerNameOrID]",
        summary: "Import a new layer",
        more: create::IMPORT_HELP,
        count: (0, 1),
        flags: create::IMPORT_FLAGS,
        stops: CHANGES,
        action: create::import_layer,
        ..PLAIN
    },
    Verb {
        names: &["delete"],
        arguments: "[options [...]] LayerOrImageOrContainerNameOrID [...]",
        summary: "Delete a layer or image or container, with safety checks",
        more: delete::DELETE_HELP,
        count: (1, MANY),
        stops: CHANGES,
        action: delete::delete,
        ..PLAIN
    },
    Verb {
        names: &["delete-layer", "deletelayer"],
        arguments: "[options [...]] LayerNameOrID [...]",
        summary: "Delete a layer, with safety checks",
        count: (1, MANY),
        stops: CHANGES,
        action: delete::delete_layer,
        ..PLAIN
    },
    Verb {
        names: &["changes"],
        arguments: "[options [...]] layerOrContainerNameOrID [referenceLayerOrContainerNameOrID]",
        summary: "Compare two layers",
        more: changes::HELP,
        count: (1, 2),
        stops: READS,
        action: changes::changes,
        ..PLAIN
    },
    Verb {
        names: &["diffsize", "diff-size"],
        arguments: "[options [...]] layerOrContainerNameOrID [referenceLayerOrContainerNameOrID]",
        summary: "Compare two layers",
        more: changes::SIZE_HELP,
        count: (1, 2),
        flags: &[],
        stops: READS,
        action: changes::diff_size,
        ..PLAIN
    },
    Verb {
        names: &["diff"],
        arguments: "[options [...]] layerOrContainerNameOrID [referenceLayerOrContainerNameOrID]",
        summary: "Compare two layers",
        more: diff::HELP,
        count: (1, 2),
        flags: diff::FLAGS,
        stops: READS,
        action: diff::diff,
        ..PLAIN
    },
    Verb {
        names: &["applydiff", "apply-diff"],
        arguments: "[options [...]] layerOrContainerNameOrID",
        summary: "Apply a diff to a layer",
        more: apply::HELP,
        count: (1, 1),
        flags: apply::FLAGS,
        stops: CHANGES,
        action: apply::apply_diff,
        ..PLAIN
    },
    Verb {
        names: &["exists"],
        arguments: "[options [...]] LayerOrImageOrContainerNameOrID [...]",
        summary: "Check if a layer or image or container exists",
        more: exists::HELP,
        count: (1, MANY),
        flags: exists::FLAGS,
        action: exists::exists,
        ..PLAIN
    },
    Verb {
        names: &["layer"],
        arguments: "[options [...]] layerNameOrID [...]",
        summary: "Examine a layer",
        count: (1, MANY),
        action: layer::layer,
        ..PLAIN
    },
    Verb {
        names: &["list-layer-data", "listlayerdata"],
        arguments: "[options [...]] layerNameOrID",
        summary: "List data items that are attached to a layer",
        count: (1, 1),
        action: |context| data::list(context, ItemKind::Layer),
        ..PLAIN
    },
    Verb {
        names: &["get-layer-data", "getlayerdata"],
        arguments: "[options [...]] layerNameOrID dataName",
        summary: "Get data that is attached to a layer",
        more: data::GET_HELP,
        count: (2, 2),
        flags: data::GET_FLAGS,
        action: |context| data::get(context, ItemKind::Layer),
        ..PLAIN
    },
    Verb {
        names: &["set-layer-data", "setlayerdata"],
        arguments: "[options [...]] layerNameOrID dataName",
        summary: "Set data that is attached to a layer",
        more: data::SET_HELP,
        count: (2, 2),
        flags: data::SET_FLAGS,
        stops: CHANGES,
        action: |context| data::set(context, ItemKind::Layer),
        ..PLAIN
    },
    Verb { names: &["layers"], summary: "List layers", flags: layers::FLAGS, action: layers::layers, ..PLAIN },
    Verb {
        names: &["storage-layers"],
        summary: "List storage layers",
        more: "The places that the driver has, also those that no record knows.",
        action: layers::storage_layers,
        ..PLAIN
    },
    Verb {
        names: &["layer-parent-owners"],
        arguments: "[options [...]] layerNameOrID [...]",
        summary: "Compute the set of unmapped parent UIDs and GIDs of layers",
        more: parents::HELP,
        count: (1, MANY),
        action: parents::of_layers,
        ..PLAIN
    },
    Verb {
        names: &["metadata"],
        arguments: "[options [...]] LayerOrImageOrContainerNameOrID [...]",
        summary: "Retrieve layer, image, or container metadata",
        count: (1, MANY),
        flags: metadata::FLAGS,
        action: metadata::metadata,
        ..PLAIN
    },
    Verb {
        names: &["set-metadata", "setmetadata"],
        arguments: "[options [...]] LayerOrImageOrContainerNameOrID",
        summary: "Set layer, image, or container metadata",
        count: (1, 1),
        flags: metadata::SET_FLAGS,
        action: metadata::set_metadata,
        ..PLAIN
    },
    Verb {
        names: &["mount"],
        arguments: "[options [...]] LayerOrImageOrContainerNameOrID [...]",
        summary: "Mount a layer or container, or an image for reading",
        more: mount::MOUNT_HELP,
        count: (1, MANY),
        flags: mount::MOUNT_FLAGS,
        action: mount::mount,
        ..PLAIN
    },
    Verb {
        names: &["unmount", "umount"],
        arguments: "[options [...]] LayerOrImageOrContainerNameOrID [...]",
        summary: "Unmount an image, layer or container",
        more: mount::UNMOUNT_HELP,
        count: (1, MANY),
        flags: mount::UNMOUNT_FLAGS,
        action: mount::unmount,
        ..PLAIN
    },
    Verb {
        names: &["mounted"],
        arguments: "[options [...]] LayerOrImageOrContainerNameOrID [...]",
        summary: "Check if a file system is mounted",
        count: (1, MANY),
        action: mount::mounted,
        ..PLAIN
    },
    Verb {
        names: &["copy"],
        arguments: "[options [...]] [NAME:]/PATH [...] [NAME:]/PATH",
        summary: "Copy files or directories into and out of layers and containers",
        more: copy::HELP,
        count: (2, MANY),
        flags: copy::FLAGS,
        stops: CHANGES,
        action: copy::copy,
        ..PLAIN
    },
    Verb {
        names: &["get-names", "getnames"],
        arguments: "[options [...]] LayerOrImageOrContainerNameOrID",
        summary: "Get layer, image, or container name or names",
        count: (1, 1),
        action: names::get,
        ..PLAIN
    },
    Verb {
        names: &["add-names", "addnames"],
        arguments: "[options [...]] LayerOrImageOrContainerNameOrID",
        summary: "Add layer, image, or container name or names",
        count: (1, 1),
        flags: names::FLAGS,
        action: names::add,
        ..PLAIN
    },
    Verb {
        names: &["remove-names", "removenames"],
        arguments: "[options [...]] LayerOrImageOrContainerNameOrID",
        summary: "Remove layer, image, or container name or names",
        count: (1, 1),
        flags: names::FLAGS,
        action: names::remove,
        ..PLAIN
    },
    Verb {
        names: &["set-names", "setnames"],
        arguments: "[options [...]] LayerOrImageOrContainerNameOrID",
        summary: "Set layer, image, or container name or names",
        count: (1, 1),
        flags: names::FLAGS,
        action: names::set,
        ..PLAIN
    },
    Verb {
        names: &["load"],
        arguments: "[options [...]] [FILE|DIRECTORY|-]",
        summary: "Load images from a file, a directory or standard input",
        more: load::HELP,
        count: (0, 1),
        flags: load::FLAGS,
        stops: CHANGES,
        action: load::load,
        ..PLAIN
    },
    Verb {
        names: &["save"],
        arguments: "[options [...]] imageNameOrID [...]",
        summary: "Save images to a file, a directory or standard output",
        more: save::HELP,
        count: (1, MANY),
        flags: save::FLAGS,
        stops: READS,
        action: save::save,
        ..PLAIN
    },
    Verb {
        names: &["check"],
        summary: "Check storage consistency",
        more: check::HELP,
        flags: check::FLAGS,
        stops: CHANGES,
        action: check::check,
        ..PLAIN
    },
    Verb {
        names: &["repair"],
        arguments: "[options [...]] [LayerImageOrContainerNameOrID [...]]",
        summary: "Check storage consistency, and repair what is damaged",
        more: check::REPAIR_HELP,
        count: (0, MANY),
        flags: check::REPAIR_FLAGS,
        stops: CHANGES,
        action: check::repair,
        ..PLAIN
    },
    Verb {
        names: &["gc"],
        summary: "Perform garbage collection",
        more: house::GC_HELP,
        stops: CHANGES,
        action: house::gc,
        ..PLAIN
    },
    Verb {
        names: &["dedup"],
        summary: "Deduplicate similar files in the images",
        more: house::DEDUP_HELP,
        flags: house::DEDUP_FLAGS,
        stops: CHANGES,
        action: house::dedup,
        ..PLAIN
    },
    Verb {
        names: &["shutdown"],
        summary: "Shut down layer storage",
        more: house::SHUTDOWN_HELP,
        flags: house::SHUTDOWN_FLAGS,
        action: house::shutdown,
        ..PLAIN
    },
    Verb {
        names: &["status"],
        summary: "Check on graph driver status",
        more: "Text goes to standard error, as with the reference; --json goes to standard output.",
        action: status::status,
        ..PLAIN
    },
    Verb {
        names: &["unshare"],
        arguments: "[command [...]]",
        summary: "Run a command in a user namespace",
        more: unshare::HELP,
        count: (0, MANY),
        flags: &[],
        configured: Configured::No,
        action: unshare::unshare,
        ..PLAIN
    },
    Verb {
        names: &["version"],
        summary: "Return lamina version information",
        namespace: Namespace::None,
        configured: Configured::No,
        action: status::version,
        ..PLAIN
    },
    Verb {
        names: &["config"],
        arguments: "[options [...]] [configurationFile]",
        summary: "Print storage library configuration as JSON",
        more: config::HELP,
        count: (0, 1),
        flags: &[],
        namespace: Namespace::None,
        configured: Configured::No,
        action: config::config,
        ..PLAIN
    },
    Verb {
        names: &["wipe"],
        summary: "Wipe all layers, images, and containers",
        more: house::WIPE_HELP,
        stops: CHANGES,
        action: house::wipe,
        ..PLAIN
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::globals;

    #[test]
    fn names_of_verbs_and_of_their_flags_are_distinct() {
        let mut verbs: Vec<&str> =
            all().chain(HIDDEN).flat_map(|verb| verb.names).copied().chain(later::names()).collect();
        let count = verbs.len();
        verbs.sort_unstable();
        verbs.dedup();
        assert_eq!(verbs.len(), count, "a name means two verbs");
        for verb in all() {
            let mut flags: Vec<&str> =
                verb.flags.iter().chain(globals::FLAGS).flat_map(|flag| flag.names).copied().collect();
            let all = flags.len();
            flags.sort_unstable();
            flags.dedup();
            assert_eq!(flags.len(), all, "a name means two flags of {}", verb.names[0]);
            assert!(!verb.summary.is_empty(), "{} has no help", verb.names[0]);
        }
    }
}
