//! Opening a store, as every process of a command does.

use benches::Bench;

pub(crate) fn bench(bench: &mut Bench) {
    bench.on_every_driver("open", |group, driver, ground| {
        group.bench_function(driver, |bencher| bencher.iter(|| ground.open()));
    });
}
