//! Calls of a driver, with a look at the truth on both sides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Proof, Recorder, Truth, What, is_on, purpose, recorder, truth};
use crate::error::Result;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A call that has begun. It ends when this is dropped, or with an outcome.
#[must_use = "dropping it ends the call"]
pub(crate) struct Call {
    recorder: Arc<Recorder>,
    number: u64,
    purpose: &'static str,
    outcome: &'static str,
    /// What its thread had moved before the look, and when the call began.
    moved: Option<(u64, u64)>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Call {
    fn begin(purpose: &'static str, operation: &'static str, proof: Proof, layer: Option<&str>) -> Option<Self> {
        Some(Call::begin_with(recorder()?, purpose, operation, proof, layer))
    }

    fn begin_with(
        recorder: Arc<Recorder>,
        purpose: &'static str,
        operation: &'static str,
        proof: Proof,
        layer: Option<&str>,
    ) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let truth = recorder.look();
        let looked = truth.moved;
        let (operation, layer) = (operation.to_owned(), layer.map(str::to_owned));
        recorder.note_for(purpose, What::Begun { call: number, operation, proof, layer, truth });
        Call { recorder, number, purpose, outcome: "ok", moved: looked.zip(truth::moved()) }
    }

    /// The look after the call. What the recorder itself read and wrote on both sides is taken out of what was moved.
    fn look_after(&self) -> Truth {
        let now = truth::moved();
        let moved = self.moved.zip(now).map(|((looked, begun), now)| looked + now.saturating_sub(begun));
        Truth { moved, ..self.recorder.look() }
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
        let truth = self.look_after();
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

#[cfg(test)]
mod tests {
    use super::super::stirs::Stirs;
    use super::super::{Event, Places, Sink};
    use super::*;

    /// Keeps what was moved, and writes what it is told as a sink does.
    struct Kept(std::path::PathBuf, Arc<parking_lot::Mutex<Vec<u64>>>);

    impl Sink for Kept {
        fn note(&self, event: &Event) {
            std::fs::write(&self.0, vec![0; 100_000]).expect("write");
            if let What::Begun { truth, .. } | What::Ended { truth, .. } = &event.what {
                self.1.lock().extend(truth.moved);
            }
        }
    }

    #[test]
    fn what_the_recorder_reads_and_writes_itself_is_not_counted_as_moved_by_a_call() {
        let dir = tempfile::tempdir().expect("dir");
        let (counts, own) = (dir.path().join("mountpoints.json"), dir.path().join("own"));
        std::fs::write(&counts, vec![b' '; 200_000]).expect("write");
        std::fs::write(&own, vec![0; 30_000]).expect("write");
        let places = Places { counts, ..Places::default() };
        let kept = Arc::default();
        let sink = Box::new(Kept(dir.path().join("log"), Arc::clone(&kept)));
        let recorder = Arc::new(Recorder { places, stirs: Stirs::begin().expect("stirs"), sink });
        let call = Call::begin_with(recorder, "test", "read", Proof::Shared, None);
        std::fs::read(&own).expect("read");
        drop(call);
        let moved = kept.lock().clone();
        assert_eq!(moved.len(), 2, "procfs tells what a thread moved");
        // A few hundred bytes are the question itself.
        assert!((30_000..40_000).contains(&(moved[1] - moved[0])), "{moved:?}");
    }
}
