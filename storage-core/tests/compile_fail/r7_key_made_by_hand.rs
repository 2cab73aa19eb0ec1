//! R7: a thread's key is taken, once, and never made or copied.
use storage_core::locks::ThreadKey;

fn second(key: &ThreadKey) -> ThreadKey {
    key.clone()
}

fn third() -> ThreadKey {
    ThreadKey { thread: std::marker::PhantomData }
}

fn main() {}
