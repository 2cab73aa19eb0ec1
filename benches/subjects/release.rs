//! Giving a mount back: the last, and one of several.

use benches::{Bench, only};

pub(crate) fn bench(bench: &mut Bench) {
    bench.on_every_driver("release", |group, driver, ground| {
        let base = ground.base();
        let child = ground.create(Some(&base));
        group.bench_function(format!("last/{driver}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let before = |ground: &mut benches::Ground| drop(ground.mount(&child));
                only(rounds, ground, before, |ground, ()| ground.release(&child), |_, ()| ())
            });
        });
        ground.mount(&child);
        group.bench_function(format!("one_of_two/{driver}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let before = |ground: &mut benches::Ground| drop(ground.mount(&child));
                only(rounds, ground, before, |ground, ()| ground.release(&child), |_, ()| ())
            });
        });
        ground.release(&child);
    });
}
