//! What a driver finds wrong with those parts of a layer that only it knows.

use std::path::PathBuf;

/// Something that isn't as it should be in the place of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Where.
    pub path: PathBuf,
    /// What, in words.
    pub detail: String,
    /// What can be done.
    pub cure: Cure,
}

/// What can be done about a [`Flaw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cure {
    /// [`super::Driver::heal`] makes it again.
    Heal,
    /// What was lost can't be derived from anything.
    Loss,
}
