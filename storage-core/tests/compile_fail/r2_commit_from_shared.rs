//! R2: a staged layer takes its place only for a caller that holds the layers for writing.
use storage_core::LayerId;
use storage_core::driver::{Shared, Staged};

fn commit(staged: &mut dyn Staged, held: &mut Shared<'_>, id: &LayerId) {
    let _ = staged.commit(held, id);
}

fn main() {}
