//! Verbs that the reference has and this version refuses, with the subject that each waits for.

/// Names with their subject; the first of each group stands in the list of help.
const LATER: &[(&[&str], &str)] = &[
    (&["create-storage-layer", "createstoragelayer"], "driver-level layers, which no record would know,"),
    (&["applydiff-using-staging-dir"], "partial pulls"),
];

/// What the verb `name` waits for; none when it isn't one of these.
pub(crate) fn subject(name: &str) -> Option<&'static str> {
    LATER.iter().find(|(names, _)| names.contains(&name)).map(|&(_, subject)| subject)
}

/// The names that help lists.
pub(crate) fn names() -> Vec<&'static str> {
    LATER.iter().map(|(names, _)| names[0]).collect()
}
