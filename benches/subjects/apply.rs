//! Applying an archive to a layer that exists: an empty one, and a filled one.

use benches::{Bench, only};

pub(crate) fn bench(bench: &mut Bench) {
    bench.on_every_driver("apply", |group, driver, ground| {
        group.bench_function(format!("to_an_empty_layer/{driver}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let after = |ground: &mut benches::Ground, layer: String| ground.delete(&layer);
                only(rounds, ground, |ground| ground.create(None), |ground, layer| ground.apply(layer), after)
            });
        });
        group.bench_function(format!("to_a_filled_layer/{driver}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let after = |ground: &mut benches::Ground, layer: String| ground.delete(&layer);
                only(rounds, ground, benches::Ground::import, |ground, layer| ground.apply(layer), after)
            });
        });
    });
}
