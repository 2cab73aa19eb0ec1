//! R9: nobody but the locks makes a narrowed key.
use storage_core::locks::Key;
use storage_core::locks::level::Graph;

fn forge() -> Key<'static, Graph> {
    Key::narrowed()
}

fn main() {}
