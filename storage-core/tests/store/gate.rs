//! What a type can't tell: of which store a token is. The gate asks.

use storage_core::driver::{Driver, Registry, Request, ScratchLocks};
use storage_core::locks::ThreadKey;
use storage_core::{Kind, Result};

fn driver(home: &std::path::Path) -> Box<dyn Driver> {
    let registry = Registry::linked().expect("drivers");
    let vfs = registry.get("vfs").expect("the copying driver is linked");
    (vfs.open)(&Request::of_home(home.join("vfs"), home.join("run"))).expect("open the driver")
}

/// R9: proof of a hold of one store opens nothing of another, whichever proof it is.
#[test]
fn a_token_of_another_store_is_refused_at_the_gate() {
    let (mine, theirs) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let (own, other) = (ScratchLocks::in_directory(mine.path()), ScratchLocks::in_directory(theirs.path()));
    let gate = own.gate(driver(mine.path()));
    let mut key = ThreadKey::take().expect("key");
    let tried = |locks: &ScratchLocks, key: &mut ThreadKey| -> [Option<Kind>; 3] {
        let kind = |outcome: Result<()>| outcome.err().map(|error| error.kind());
        [
            locks.shared(key, |held| kind(gate.shared(held).map(drop))).expect("lock"),
            locks.exclusive(key, |held| kind(gate.exclusive(held).map(drop))).expect("lock"),
            locks.mounting(key, |held| kind(gate.mounting(held).map(drop))).expect("lock"),
        ]
    };
    assert_eq!(tried(&own, &mut key), [None; 3]);
    assert_eq!(tried(&other, &mut key), [Some(Kind::LockMisuse); 3]);
}
