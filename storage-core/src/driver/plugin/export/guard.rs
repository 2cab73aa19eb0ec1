//! What stands around every function of a plugin: panics are caught, errors are told whole, tokens are made.

use std::any::Any;
use std::ffi::c_void;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::super::table::{Call, EachDescriptor, EachText, Failure, received};
use super::super::text::Str;
use crate::error::{Error, Kind, Result};
use crate::locks::{Exclusive, Mounting, Shared, StoreId};
use crate::task::Task;

/// What the host gave with a call.
#[derive(Clone, Copy)]
pub(super) struct Host {
    call: Option<Call>,
}

/// A host that is asked by a task, which may be used by several threads.
struct Steps(Host);

// SAFETY: the header says that `step` may be called from any thread while the call lasts.
unsafe impl Send for Steps {}
// SAFETY: as above.
unsafe impl Sync for Steps {}

/// Runs the body of a function, and answers with zero or the number of the kind of its error, told to the host before.
pub(super) fn answer(call: *const Call, operation: &'static str, body: impl FnOnce(Host) -> Result<()>) -> i32 {
    // SAFETY: the header asks of the host that it is whole.
    let host = Host { call: unsafe { received(call) } };
    let error = match catch_unwind(AssertUnwindSafe(|| body(host))) {
        Ok(Ok(())) => return 0,
        Ok(Err(error)) => error,
        Err(panic) => panicked(operation, &*panic),
    };
    // What fails while an error is told, tells no more.
    let _ = catch_unwind(AssertUnwindSafe(|| host.tell(&error)));
    i32::from(error.kind().code())
}

/// Runs the body of a function that has no answer.
pub(super) fn silent(body: impl FnOnce()) {
    // There is nobody to tell; the handle is gone either way.
    let _ = catch_unwind(AssertUnwindSafe(body));
}

fn panicked(operation: &'static str, panic: &(dyn Any + Send)) -> Error {
    let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::new(Kind::BadPlugin, operation).detail(format!("the driver panicked: {}", words.unwrap_or("without a word")))
}

#[allow(clippy::unused_self, reason = "only who was called has somebody to answer")]
impl Host {
    fn tell(&self, error: &Error) {
        let Some((Some(fail), context)) = self.call.map(|call| (call.fail, call.context)) else { return };
        let cause = error.cause_text();
        let text = |text: Option<&str>| text.map_or(Str::EMPTY, Str::new);
        let failure = Failure {
            size: size_of::<Failure>(),
            operation: Str::new(error.operation()),
            path: error.path().map_or(Str::EMPTY, Str::of_path),
            detail: text(error.detail_text()),
            remedy: text(error.remedy_text()),
            cause: text(cause.as_deref()),
            number: error.errno().unwrap_or(0),
            reserved: 0,
        };
        // SAFETY: the host gave the function and its context for this call, and what is told lives as long as the call of it.
        unsafe { fail(context, &failure) };
    }

    /// A task whose steps go to the host's.
    ///
    /// # Safety
    ///
    /// What is returned is dropped before the call ends.
    pub(super) unsafe fn task(self, operation: &'static str) -> Task {
        let steps = Steps(self);
        Task::forwarding(operation, Box::new(move |bytes, entries| steps.step(operation, bytes, entries)))
    }

    /// Hands out a text.
    pub(super) fn text(self, each: EachText, context: *mut c_void, text: &str) -> Result<()> {
        // SAFETY: the host gave the function and its context for this call.
        went_on(unsafe { each(context, Str::new(text)) })
    }

    /// Hands out a path.
    pub(super) fn path(self, each: EachText, context: *mut c_void, path: &Path) -> Result<()> {
        // SAFETY: as above.
        went_on(unsafe { each(context, Str::of_path(path)) })
    }

    /// Hands out descriptors, which are the host's from then on.
    pub(super) fn descriptors(self, each: EachDescriptor, context: *mut c_void, all: Vec<OwnedFd>) -> Result<()> {
        // SAFETY: as above. Also one that is refused was taken.
        all.into_iter().try_for_each(|fd| went_on(unsafe { each(context, fd.into_raw_fd()) }))
    }
}

impl Steps {
    fn step(&self, operation: &'static str, bytes: u64, entries: u64) -> Result<()> {
        let Some((Some(step), context)) = self.0.call.map(|call| (call.step, call.context)) else { return Ok(()) };
        // SAFETY: the call lasts as long as the task, see `Host::task`.
        went_on(unsafe { step(context, bytes, entries) }).map_err(|error| error.detail(operation))
    }
}

/// The error that stands for one of the host's, which knows it better.
pub(super) fn went_on(code: i32) -> Result<()> {
    match code {
        0 => Ok(()),
        code => Err(Error::new(Kind::of_code(code).unwrap_or(Kind::Cancelled), "answer the caller")),
    }
}

/// The error of a host that broke the contract.
pub(super) fn wrong(what: impl Into<String>) -> Error {
    Error::new(Kind::Usage, "read arguments of the caller").detail(what)
}

/// The only way to a token on this side: the host says which of its functions it calls with which lock.
///
/// # Safety
///
/// The host holds the layer store shared or better, until the token is gone.
pub(super) unsafe fn shared<'call>() -> Shared<'call> {
    Shared::new(StoreId::BEYOND)
}

/// See [`shared`].
///
/// # Safety
///
/// The host holds the layer store exclusively, on this thread, until the token is gone.
pub(super) unsafe fn exclusive<'call>() -> Exclusive<'call> {
    Exclusive::new(StoreId::BEYOND)
}

/// See [`shared`].
///
/// # Safety
///
/// The host holds the layer store and the mount counts exclusively, on this thread, until the token is gone.
pub(super) unsafe fn mounting<'call>() -> Mounting<'call> {
    Mounting::new(StoreId::BEYOND)
}
