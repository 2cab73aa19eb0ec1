//! Limits on the size of a layer.

use std::io::Write;

use storage_core::Kind;
use storage_core::driver::{Capability, Plan, Start};

use crate::suite::bench::Bench;
use crate::suite::check::{Checked, Step, fail, must, refused, same};
use crate::suite::store::chain;
use crate::suite::tree::Tree;
use crate::suite::{Case, Need, case};

pub(super) const CASES: &[Case] = &[
    case(
        "quota::a_limit_is_kept",
        "Writing more than its limit to a layer fails, and another layer takes as much.",
        &[Need::Has(Capability::Quota)],
        kept,
    ),
    case(
        "quota::a_limit_that_is_none_is_refused",
        "A limit that is no size is refused, and nothing is made.",
        &[Need::Has(Capability::Quota)],
        nonsense,
    ),
    case(
        "quota::a_limit_is_refused_where_it_is_not_declared",
        "A limit is refused before a driver is asked that has none, and nothing is made.",
        &[Need::Lacks(Capability::Quota)],
        undeclared,
    ),
];

fn limited(size: &str) -> storage_core::Result<Plan> {
    let start = Start::OnParent(Some(chain(&["a"])?));
    Ok(Plan { options: vec![("size".to_owned(), size.to_owned())], ..Plan::new(start) })
}

/// Writes until it is refused, at most `most` MiB; the error number of the refusal.
fn write_until(tree: &Tree, most: usize) -> Checked<Option<i32>> {
    let mut file = std::fs::File::create(tree.path("large")).step("create", "large")?;
    // What can be compressed costs nothing.
    let mut noise = 88_172_645_463_325_252_u64;
    let mut piece = vec![0_u8; 1 << 20];
    for _ in 0..most {
        for word in piece.chunks_exact_mut(8) {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            word.copy_from_slice(&noise.to_ne_bytes());
        }
        if let Err(error) = file.write_all(&piece).and_then(|()| file.sync_data()) {
            return Ok(error.raw_os_error());
        }
    }
    Ok(None)
}

fn kept(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], |tree| tree.write("f", "text"))?;
    let plan = limited("20M")?;
    let b = store.make_as(chain(&["b", "a"])?, &plan, |_| Ok(()))?;
    let c = store.make(&["c", "a"], |_| Ok(()))?;
    let mut found = None;
    store.edit(&b, |tree| {
        found = write_until(tree, 200)?;
        Ok(())
    })?;
    match found {
        Some(libc::EDQUOT | libc::ENOSPC) => {}
        other => return fail(format!("200 MiB in a layer of 20 MiB: {other:?}")),
    }
    store.edit(&c, |tree| same("40 MiB in another layer", write_until(tree, 40)?, None))
}

fn nonsense(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], |_| Ok(()))?;
    for size in ["much", "-1", "0"] {
        refused(&format!("a limit of {size:?}"), store.begin(&limited(size)?), &[Kind::Usage])?;
    }
    store.must_be_clean()
}

fn undeclared(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], |_| Ok(()))?;
    refused("a limit", store.begin(&limited("20M")?), &[Kind::NotSupported])?;
    must(!store.exists("b")?, "there is a layer")?;
    store.must_be_clean()
}
