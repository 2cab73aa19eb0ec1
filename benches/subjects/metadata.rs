//! Reading and writing records.

use std::hint::black_box;

use benches::Bench;

pub(crate) fn bench(bench: &mut Bench) {
    bench.on_every_driver("metadata", |group, driver, ground| {
        let base = ground.base();
        group.bench_function(format!("read/{driver}"), |bencher| bencher.iter(|| ground.read(&base)));
        let table = ground.store.layers().expect("read the records");
        group.bench_function(format!("is_current/{driver}"), |bencher| {
            bencher.iter(|| ground.store.is_current(&table).expect("look at the file"));
        });
        group.bench_function(format!("lookup_inside_a_snapshot/{driver}"), |bencher| {
            bencher.iter(|| table.get(black_box(&base)).is_some());
        });
        let mut turn = 0;
        group.bench_function(format!("write/{driver}"), |bencher| {
            bencher.iter(|| {
                turn += 1;
                ground.write(&base, &format!("turn {turn}"));
            });
        });
    });
}
