//! Opening a store, as every process of a command does.

use benches::on_every_driver;

fn main() {
    on_every_driver("open", |group, driver, ground| {
        group.bench_function(driver, |bencher| bencher.iter(|| ground.open()));
    });
}
