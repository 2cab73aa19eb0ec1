//! What a diff costs by `zfs diff` and by a walk, side by side: `tests/zfs-vm/run --ignored bench`.

use std::path::Path;
use std::time::Instant;

use storage_core::archive::{self, Tree};

use crate::harness::{Store, task};

#[test]
#[ignore = "a benchmark"]
fn a_large_layer_with_ten_changes() {
    let files: u32 = std::env::var("LAMINA_BENCH_FILES").map_or(100_000, |number| number.parse().unwrap());
    let mut store = Store::new();
    let make = format!("for d in $(seq {}); do mkdir $d; (cd $d; seq 1000 | split -l 1 -a 3); done", files / 1000);
    let a = store.make(&["a"], &make);
    let b = store.make(&["b", "a"], "for n in 1 2 3 4 5; do echo new >$n/new; echo more >>$n/xaae; done");
    let mut count = 0;
    let mut each = |_| {
        count += 1;
        Ok(())
    };
    let begin = Instant::now();
    let compared = store.compare(&b, Some(&a)).unwrap();
    compared.changes(&task(), &mut each).unwrap();
    drop(compared);
    let asked = begin.elapsed();
    let mut walks = Vec::new();
    for _ in 0..2 {
        let begin = Instant::now();
        let (new, old) = (store.view(&b).unwrap(), store.view(&a).unwrap());
        let (new, old) = (Tree::plain(new.root()), Tree::plain(old.root()));
        archive::compare(new, Some(old), Path::new("/"), &task(), &mut each).unwrap();
        walks.push(begin.elapsed());
    }
    assert_eq!(count, 45, "five directories, five new files, five changed ones, three times");
    let report =
        format!("{files} files, 10 changes: {asked:?} by zfs diff, {walks:?} by walks, the first with a cold cache");
    eprintln!("{report}");
}
