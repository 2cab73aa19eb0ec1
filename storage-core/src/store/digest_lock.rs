//! Locks by digest: who fetches a blob keeps others from fetching the same.
//!
//! ```text
//! RUNROOT/<driver>-locks/<algorithm>:<digits>   0644   never deleted
//! ```

use super::Store;
use crate::error::{Error, Kind, Result};
use crate::lockfile::{Access, Hold, LockFile, Mode};

/// A digest that is held for whoever fetches it.
#[derive(Debug)]
#[must_use = "dropping it lets the digest go"]
pub struct DigestLock {
    _hold: Hold,
}

impl Store {
    /// Waits until nobody else holds `digest`, of the reference's programs and of ours, and holds it. It stands outside the
    /// order of the store's locks: take it before any of them, and one at a time. Fails with [`Kind::Usage`] for what is no
    /// digest.
    pub fn lock_digest(&self, digest: &str) -> Result<DigestLock> {
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !digest.split_once(':').is_some_and(|(algorithm, digits)| plain(algorithm) && plain(digits)) {
            return Err(Error::new(Kind::Usage, "lock digest")
                .detail(format!("{digest:?} is no digest"))
                .remedy("write it as ALGORITHM:DIGITS"));
        }
        let lock = LockFile::new(self.places.digest_locks().join(digest), Access::ReadWrite);
        Ok(DigestLock { _hold: lock.acquire(Mode::Exclusive, &self.wait)? })
    }
}
