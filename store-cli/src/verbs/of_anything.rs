//! The verbs of layers, images and containers alike: their part of the table.

use super::{MANY, PLAIN, Verb, copy, load, metadata, mount, names, save};
use crate::app::{CHANGES, READS};

/// The verbs of anything that has an id or a name, in the order in which help lists them.
pub(super) const VERBS: &[Verb] = &[
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
];
