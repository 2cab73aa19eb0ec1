//! Listing changes: of a layer with few, and of one that is all new.

use benches::Bench;

pub(crate) fn bench(bench: &mut Bench) {
    bench.on_every_driver("changes", |group, driver, ground| {
        let (base, child) = (ground.base(), ground.changed_child());
        group.bench_function(format!("few/{driver}"), |bencher| bencher.iter(|| ground.changes(&child)));
        group.bench_function(format!("all/{driver}"), |bencher| bencher.iter(|| ground.changes(&base)));
    });
}
