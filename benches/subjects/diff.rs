//! Streaming a diff: an imported one, and one that has to be computed.

use benches::Bench;

pub(crate) fn bench(bench: &mut Bench) {
    bench.on_every_driver("diff", |group, driver, ground| {
        let (base, child) = (ground.base(), ground.changed_child());
        group.bench_function(format!("imported/{driver}"), |bencher| bencher.iter(|| ground.diff(&base)));
        group.bench_function(format!("computed/{driver}"), |bencher| bencher.iter(|| ground.diff(&child)));
    });
}
