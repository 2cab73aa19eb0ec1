//! R9: an exclusive token stays in the thread that holds the lock.
use storage_core::driver::Exclusive;

fn hand_over(held: Exclusive<'_>) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let held = held;
            held.store()
        });
    });
}

fn main() {}
