//! The verbs of containers: their part of the table.

use super::{MANY, PLAIN, Verb, container, data, delete, directories, parents};
use crate::app::{CHANGES, READS};
use crate::engine::{ItemKind, Store};

/// The verbs of containers, in the order in which help lists them.
pub(super) const VERBS: &[Verb] = &[
    Verb { names: &["containers"], summary: "List containers", action: container::containers, ..PLAIN },
    Verb {
        names: &["container"],
        arguments: "[options [...]] containerNameOrID [...]",
        summary: "Examine a container",
        count: (1, MANY),
        stops: READS,
        action: container::container,
        ..PLAIN
    },
    Verb {
        names: &["create-container", "createcontainer"],
        arguments: "[options [...]] parentImageNameOrID",
        summary: "Create a new container from an image",
        more: container::CREATE_HELP,
        count: (1, 1),
        flags: container::CREATE_FLAGS,
        stops: CHANGES,
        action: container::create_container,
        ..PLAIN
    },
    Verb {
        names: &["delete-container", "deletecontainer"],
        arguments: "[options [...]] containerNameOrID [...]",
        summary: "Delete a container, with safety checks",
        count: (1, MANY),
        stops: CHANGES,
        action: delete::delete_container,
        ..PLAIN
    },
    Verb {
        names: &["container-parent-owners"],
        arguments: "[options [...]] containerNameOrID [...]",
        summary: "Compute the set of unmapped parent UIDs and GIDs of containers",
        more: parents::HELP,
        count: (1, MANY),
        action: parents::of_containers,
        ..PLAIN
    },
    Verb {
        names: &["list-container-data", "listcontainerdata"],
        arguments: "[options [...]] containerNameOrID",
        summary: "List data items that are attached to a container",
        count: (1, 1),
        action: |context| data::list(context, ItemKind::Container),
        ..PLAIN
    },
    Verb {
        names: &["get-container-data", "getcontainerdata"],
        arguments: "[options [...]] containerNameOrID dataName",
        summary: "Get data that is attached to a container",
        more: data::GET_HELP,
        count: (2, 2),
        flags: data::GET_FLAGS,
        action: |context| data::get(context, ItemKind::Container),
        ..PLAIN
    },
    Verb {
        names: &["get-container-data-size", "getcontainerdatasize"],
        arguments: "[options [...]] containerNameOrID dataName",
        summary: "Get size of data that is attached to a container",
        count: (2, 2),
        flags: &[],
        action: |context| data::size(context, ItemKind::Container),
        ..PLAIN
    },
    Verb {
        names: &["get-container-data-digest", "getcontainerdatadigest"],
        arguments: "[options [...]] containerNameOrID dataName",
        summary: "Get digest of data that is attached to a container",
        count: (2, 2),
        flags: &[],
        action: |context| data::digest(context, ItemKind::Container),
        ..PLAIN
    },
    Verb {
        names: &["set-container-data", "setcontainerdata"],
        arguments: "[options [...]] containerNameOrID dataName",
        summary: "Set data that is attached to a container",
        more: data::SET_HELP,
        count: (2, 2),
        flags: data::SET_FLAGS,
        stops: CHANGES,
        action: |context| data::set(context, ItemKind::Container),
        ..PLAIN
    },
    Verb {
        names: &["get-container-dir", "getcontainerdir"],
        arguments: "[options [...]] containerNameOrID",
        summary: "Find the container's associated data directory",
        more: directories::HELP,
        count: (1, 1),
        flags: &[],
        action: |context| directories::directory(context, Store::container_directory),
        ..PLAIN
    },
    Verb {
        names: &["get-container-run-dir", "getcontainerrundir"],
        arguments: "[options [...]] containerNameOrID",
        summary: "Find the container's associated runtime directory",
        more: directories::RUN_HELP,
        count: (1, 1),
        flags: &[],
        action: |context| directories::directory(context, Store::container_run_directory),
        ..PLAIN
    },
];
