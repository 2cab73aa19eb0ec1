//! R5: nobody adds a level, by which a thread that holds the containers could go back to the layers.
use storage_core::locks::level::{Before, Containers, Layers, Level};

enum Mine {}

impl Level for Mine {
    const NAME: &'static str = "mine";
}

impl Before<Mine> for Containers {}
impl Before<Layers> for Mine {}

fn main() {}
