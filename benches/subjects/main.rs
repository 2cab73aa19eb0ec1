//! One bench per subject, each for every driver that works here. Arguments are criterion's: a filter, `--quick`, `--list`.

use benches::Bench;

mod apply;
mod changes;
mod create;
mod delete;
mod diff;
mod metadata;
mod mount;
mod open;
mod release;

fn main() {
    let mut bench = Bench::begin();
    for subject in [
        create::bench,
        mount::bench,
        release::bench,
        apply::bench,
        diff::bench,
        changes::bench,
        delete::bench,
        metadata::bench,
        open::bench,
    ] {
        subject(&mut bench);
    }
    bench.end();
}
