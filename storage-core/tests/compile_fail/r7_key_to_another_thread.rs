//! R7: a thread's key is its own: lent to another, it would let that one wait while its own thread holds a lock.
use storage_core::locks::ThreadKey;

fn lend(key: &mut ThreadKey) {
    std::thread::scope(|scope| {
        scope.spawn(move || drop(key));
    });
}

fn main() {}
