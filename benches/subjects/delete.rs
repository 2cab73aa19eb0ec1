//! Deleting layers: an empty one, and a filled one.

use benches::{Bench, Ground, only};

pub(crate) fn bench(bench: &mut Bench) {
    bench.on_every_driver("delete", |group, driver, ground| {
        group.bench_function(format!("empty/{driver}"), |bencher| {
            bencher.iter_custom(|rounds| {
                only(rounds, ground, |ground| ground.create(None), |ground, layer| ground.delete(layer), |_, _| ())
            });
        });
        group.bench_function(format!("filled/{driver}"), |bencher| {
            bencher.iter_custom(|rounds| {
                only(rounds, ground, Ground::import, |ground, layer| ground.delete(layer), |_, _| ())
            });
        });
    });
}
