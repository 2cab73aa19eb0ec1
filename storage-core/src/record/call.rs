//! Calls of a driver, with a look at the truth on both sides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Proof, Recorder, What, is_on, purpose, recorder};
use crate::error::Result;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A call that has begun. It ends when this is dropped, or with an outcome.
#[must_use = "dropping it ends the call"]
pub(crate) struct Call {
    recorder: Arc<Recorder>,
    number: u64,
    purpose: &'static str,
    outcome: &'static str,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Call {
    fn begin(purpose: &'static str, operation: &'static str, proof: Proof, layer: Option<&str>) -> Option<Self> {
        let recorder = recorder()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let truth = recorder.look();
        let (operation, layer) = (operation.to_owned(), layer.map(str::to_owned));
        recorder.note_for(purpose, What::Begun { call: number, operation, proof, layer, truth });
        Some(Call { recorder, number, purpose, outcome: "ok" })
    }

    fn finish<R>(call: Option<Self>, result: Result<R>) -> Result<R> {
        if let (Some(mut call), Err(error)) = (call, &result) {
            call.outcome = error.kind().name();
        }
        result
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let truth = self.recorder.look();
        let outcome = self.outcome.to_owned();
        self.recorder.note_for(self.purpose, What::Ended { call: self.number, outcome, truth });
    }
}

/// Asks a driver, and notes that while a recording goes on.
#[inline]
pub(crate) fn call<R>(
    operation: &'static str,
    proof: Proof,
    layer: Option<&str>,
    work: impl FnOnce() -> Result<R>,
) -> Result<R> {
    if !is_on() {
        return work();
    }
    let call = Call::begin(purpose::current(), operation, proof, layer);
    Call::finish(call, work())
}

/// What an owned handle of a driver was made for, so that what is done with it later can be told.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    purpose: &'static str,
    layer: Option<String>,
}

impl Handle {
    /// A handle that is given out now, for `layer`.
    pub(crate) fn new(layer: Option<&str>) -> Self {
        Handle { purpose: purpose::current(), layer: layer.map(str::to_owned) }
    }

    /// Something is done with it until the answer is dropped.
    pub(crate) fn begin(&self, operation: &'static str) -> Option<Call> {
        if !is_on() {
            return None;
        }
        let here = purpose::current();
        let purpose = if here.is_empty() { self.purpose } else { here };
        Call::begin(purpose, operation, Proof::Private, self.layer.as_deref())
    }
}

/// Works with a handle, and notes that while a recording goes on.
pub(crate) fn on_handle<R>(handle: &Handle, operation: &'static str, work: impl FnOnce() -> Result<R>) -> Result<R> {
    let call = handle.begin(operation);
    Call::finish(call, work())
}
