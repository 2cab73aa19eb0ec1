//! Layer archives: tar in and out, whiteouts, changes between trees, compression, tar-split.

/// How the whiteouts of an archive are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// As the overlay filesystem keeps them: a character device 0:0, and an xattr for opaque directories.
    Overlay {
        /// The xattr is `user.overlay.opaque` (else `trusted.overlay.opaque`).
        user_xattr: bool,
    },
    /// By removing what is there.
    Apply,
}

/// One difference between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path, from the root of the tree, with a leading `/`.
    pub path: std::path::PathBuf,
}

/// How an archive is compressed, numbered as the reference does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None = 0,
}

impl Compression {
    /// The compression with this number.
    pub fn from_code(_code: i64) -> Option<Self> {
        Some(Compression::None)
    }
}
