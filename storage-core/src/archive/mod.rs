//! Layer archives: tar in and out, whiteouts, changes between trees, compression, tar-split.
