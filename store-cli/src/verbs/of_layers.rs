//! The verbs of layers: their part of the table.

use super::{MANY, PLAIN, Verb, apply, changes, create, data, delete, diff, exists, layer, layers, parents};
use crate::app::{CHANGES, READS};
use crate::engine::ItemKind;

/// The verbs of layers, in the order in which help lists them.
pub(super) const VERBS: &[Verb] = &[
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
];
