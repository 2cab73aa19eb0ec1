//! Verbs that the reference has and this version refuses, with the subject that each waits for.

/// Names with their subject; the first of each group stands in the list of help.
const LATER: &[(&[&str], &str)] = &[
    (&["copy"], "copying into layers"),
    (&["create-storage-layer", "createstoragelayer"], "driver-level layers, which no record would know,"),
    (&["applydiff-using-staging-dir"], "partial pulls"),
    (&["layer-parent-owners"], "id mappings"),
    (&["images"], "images"),
    (&["images-by-digest"], "images"),
    (&["image"], "images"),
    (&["create-image", "createimage"], "images"),
    (&["delete-image", "deleteimage"], "images"),
    (&["list-image-data", "listimagedata"], "images"),
    (&["get-image-data", "getimagedata"], "images"),
    (&["get-image-data-size", "getimagedatasize"], "images"),
    (&["get-image-data-digest", "getimagedatadigest"], "images"),
    (&["set-image-data", "setimagedata"], "images"),
    (&["get-image-dir", "getimagedir"], "images"),
    (&["get-image-run-dir", "getimagerundir"], "images"),
    (&["containers"], "containers"),
    (&["container"], "containers"),
    (&["container-parent-owners"], "containers"),
    (&["create-container", "createcontainer"], "containers"),
    (&["delete-container", "deletecontainer"], "containers"),
    (&["list-container-data", "listcontainerdata"], "containers"),
    (&["get-container-data", "getcontainerdata"], "containers"),
    (&["get-container-data-size", "getcontainerdatasize"], "containers"),
    (&["get-container-data-digest", "getcontainerdatadigest"], "containers"),
    (&["set-container-data", "setcontainerdata"], "containers"),
    (&["get-container-dir", "getcontainerdir"], "containers"),
    (&["get-container-run-dir", "getcontainerrundir"], "containers"),
];

/// What the verb `name` waits for; none when it isn't one of these.
pub(crate) fn subject(name: &str) -> Option<&'static str> {
    LATER.iter().find(|(names, _)| names.contains(&name)).map(|&(_, subject)| subject)
}

/// The names that help lists.
pub(crate) fn names() -> Vec<&'static str> {
    LATER.iter().map(|(names, _)| names[0]).collect()
}
