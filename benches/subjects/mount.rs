//! Mounting a layer that isn't mounted, and one that is.

use benches::{Bench, only};

pub(crate) fn bench(bench: &mut Bench) {
    bench.on_every_driver("mount", |group, driver, ground| {
        let base = ground.base();
        let child = ground.create(Some(&base));
        group.bench_function(format!("first/{driver}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let work = |ground: &mut benches::Ground, (): &()| drop(ground.mount(&child));
                only(rounds, ground, |_| (), work, |ground, ()| ground.release(&child))
            });
        });
        ground.mount(&child);
        group.bench_function(format!("again/{driver}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let work = |ground: &mut benches::Ground, (): &()| drop(ground.mount(&child));
                only(rounds, ground, |_| (), work, |ground, ()| ground.release(&child))
            });
        });
        ground.release(&child);
    });
}
