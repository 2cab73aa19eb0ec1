//! The verbs of images: their part of the table.

use super::{MANY, PLAIN, Verb, data, delete, directories, image};
use crate::app::{CHANGES, READS};
use crate::engine::{ItemKind, Store};

/// The verbs of images, in the order in which help lists them.
pub(super) const VERBS: &[Verb] = &[
    Verb { names: &["images"], summary: "List images", flags: image::LIST_FLAGS, action: image::images, ..PLAIN },
    Verb {
        names: &["images-by-digest"],
        arguments: "[options [...]] DIGEST",
        summary: "List images by digest",
        more: image::BY_DIGEST_HELP,
        count: (1, 1),
        flags: image::LIST_FLAGS,
        action: image::images_by_digest,
        ..PLAIN
    },
    Verb {
        names: &["image"],
        arguments: "[options [...]] imageNameOrID [...]",
        summary: "Examine an image",
        count: (1, MANY),
        stops: READS,
        action: image::image,
        ..PLAIN
    },
    Verb {
        names: &["create-image", "createimage"],
        arguments: "[options [...]] [topLayerNameOrID]",
        summary: "Create a new image using layers",
        more: image::CREATE_HELP,
        count: (0, 1),
        flags: image::CREATE_FLAGS,
        action: image::create_image,
        ..PLAIN
    },
    Verb {
        names: &["delete-image", "deleteimage"],
        arguments: "[options [...]] imageNameOrID [...]",
        summary: "Delete an image, with safety checks",
        more: delete::IMAGE_HELP,
        count: (1, MANY),
        flags: delete::IMAGE_FLAGS,
        stops: CHANGES,
        action: delete::delete_image,
        ..PLAIN
    },
    Verb {
        names: &["list-image-data", "listimagedata"],
        arguments: "[options [...]] imageNameOrID",
        summary: "List data items that are attached to an image",
        count: (1, 1),
        action: |context| data::list(context, ItemKind::Image),
        ..PLAIN
    },
    Verb {
        names: &["get-image-data", "getimagedata"],
        arguments: "[options [...]] imageNameOrID dataName",
        summary: "Get data that is attached to an image",
        more: data::GET_HELP,
        count: (2, 2),
        flags: data::GET_FLAGS,
        action: |context| data::get(context, ItemKind::Image),
        ..PLAIN
    },
    Verb {
        names: &["get-image-data-size", "getimagedatasize"],
        arguments: "[options [...]] imageNameOrID dataName",
        summary: "Get size of data that is attached to an image",
        count: (2, 2),
        flags: &[],
        action: |context| data::size(context, ItemKind::Image),
        ..PLAIN
    },
    Verb {
        names: &["get-image-data-digest", "getimagedatadigest"],
        arguments: "[options [...]] imageNameOrID dataName",
        summary: "Get digest of data that is attached to an image",
        count: (2, 2),
        flags: &[],
        action: |context| data::digest(context, ItemKind::Image),
        ..PLAIN
    },
    Verb {
        names: &["set-image-data", "setimagedata"],
        arguments: "[options [...]] imageNameOrID dataName",
        summary: "Set data that is attached to an image",
        more: data::SET_HELP,
        count: (2, 2),
        flags: data::SET_FLAGS,
        stops: CHANGES,
        action: |context| data::set(context, ItemKind::Image),
        ..PLAIN
    },
    Verb {
        names: &["get-image-dir", "getimagedir"],
        arguments: "[options [...]] imageNameOrID",
        summary: "Find the image's associated data directory",
        more: directories::HELP,
        count: (1, 1),
        flags: &[],
        action: |context| directories::directory(context, Store::image_directory),
        ..PLAIN
    },
    Verb {
        names: &["get-image-run-dir", "getimagerundir"],
        arguments: "[options [...]] imageNameOrID",
        summary: "Find the image's associated runtime directory",
        more: directories::RUN_HELP,
        count: (1, 1),
        flags: &[],
        action: |context| directories::directory(context, Store::image_run_directory),
        ..PLAIN
    },
];
