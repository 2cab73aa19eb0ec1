//! Making layers: empty ones, children, and filled ones.

use benches::{Bench, only};

pub(crate) fn bench(bench: &mut Bench) {
    bench.on_every_driver("create", |group, driver, ground| {
        group.bench_function(format!("empty/{driver}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut made = Vec::new();
                let time = only(rounds, ground, |_| (), |ground, ()| made.push(ground.create(None)), |_, ()| ());
                for layer in &made {
                    ground.delete(layer);
                }
                time
            });
        });
        group.bench_function(format!("child/{driver}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let base = ground.base();
                let mut made = Vec::new();
                let time = only(rounds, ground, |_| (), |ground, ()| made.push(ground.create(Some(&base))), |_, ()| ());
                for layer in &made {
                    ground.delete(layer);
                }
                time
            });
        });
        group.bench_function(format!("import/{driver}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut made = Vec::new();
                let time = only(rounds, ground, |_| (), |ground, ()| made.push(ground.import()), |_, ()| ());
                for layer in &made {
                    ground.delete(layer);
                }
                time
            });
        });
    });
}
