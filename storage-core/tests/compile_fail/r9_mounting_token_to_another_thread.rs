//! R9: a token for mounting stays in the thread that holds the locks, lent or given.
use storage_core::driver::Mounting;

fn lend(held: &mut Mounting<'_>) {
    std::thread::scope(|scope| {
        scope.spawn(|| held.store());
    });
}

fn main() {}
