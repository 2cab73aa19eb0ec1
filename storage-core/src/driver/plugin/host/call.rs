//! One call into a plugin: what it is given to answer with, and what becomes of its answer.

use std::any::Any;
use std::ffi::c_void;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use parking_lot::Mutex;

use super::super::table::{Call, Failure};
use super::Plugin;
use super::failure::Told;
use super::watch::Flying;
use crate::error::{Error, Kind, Result};
use crate::task::Task;

/// A call that is going on.
pub(super) struct Calling<'a> {
    plugin: &'static Plugin,
    operation: &'static str,
    task: Option<&'a Task>,
    flying: Flying,
    /// What the plugin told of a failure.
    told: Mutex<Option<Told>>,
    /// What failed on this side, in something that the plugin called.
    kept: Mutex<Option<Kept>>,
}

enum Kept {
    Error(Error),
    Panic(Box<dyn Any + Send>),
}

/// What a plugin is given to call back with items: a function of this side, and this.
pub(super) struct Sink<'a, I> {
    calling: &'a Calling<'a>,
    take: &'a mut dyn FnMut(I) -> Result<()>,
}

impl fmt::Debug for Calling<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calling").field("operation", &self.operation).finish_non_exhaustive()
    }
}

impl<'a> Calling<'a> {
    /// Calls `run`, which calls the plugin's function `operation` and returns its answer. An error of something that the
    /// plugin called back counts before what the plugin makes of it.
    pub(super) fn run(
        plugin: &'static Plugin,
        operation: &'static str,
        task: Option<&'a Task>,
        run: impl FnOnce(&Calling<'a>, *const Call) -> i32,
    ) -> Result<()> {
        let flying = plugin.watch.begin(plugin.name, plugin.file, operation);
        let calling = Calling { plugin, operation, task, flying, told: Mutex::new(None), kept: Mutex::new(None) };
        let context = std::ptr::from_ref(&calling).cast_mut().cast();
        let call = Call { size: size_of::<Call>(), context, fail: Some(fail), step: Some(step) };
        let code = run(&calling, &call);
        calling.end(code)
    }

    fn end(self, code: i32) -> Result<()> {
        match self.kept.into_inner() {
            Some(Kept::Panic(panic)) => resume_unwind(panic),
            Some(Kept::Error(error)) => return Err(error),
            None if code == 0 => return Ok(()),
            None => {}
        }
        let told = self.told.into_inner();
        match (Kind::of_code(code), told) {
            (Some(kind), told) => Err(told.unwrap_or_default().error(kind, self.plugin.name, self.operation)),
            (None, told) => {
                let said = told.unwrap_or_default().error(Kind::Io, self.plugin.name, self.operation);
                let what = format!("it returned {code}, which is the number of no kind of error");
                Err(self.plugin.fault(self.operation, what).because(said.to_string()))
            }
        }
    }

    /// Runs something of this side that the plugin called. What fails is kept, and the plugin is told to come back.
    fn guarded(&self, body: impl FnOnce() -> Result<()>) -> i32 {
        self.flying.hear();
        if let Some(kept) = &*self.kept.lock() {
            return kept.code();
        }
        let kept = match catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(())) => return 0,
            Ok(Err(error)) => Kept::Error(error),
            Err(panic) => Kept::Panic(panic),
        };
        let code = kept.code();
        self.kept.lock().get_or_insert(kept);
        code
    }

    pub(super) fn plugin(&self) -> &'static Plugin {
        self.plugin
    }

    /// The error of a plugin that broke its contract in this call.
    pub(super) fn fault(&self, what: impl Into<String>) -> Error {
        self.plugin.fault(self.operation, what)
    }
}

impl Kept {
    fn code(&self) -> i32 {
        match self {
            Kept::Error(error) => i32::from(error.kind().code()),
            Kept::Panic(_) => i32::from(Kind::Cancelled.code()),
        }
    }
}

impl<'a, I> Sink<'a, I> {
    pub(super) fn new(calling: &'a Calling<'a>, take: &'a mut dyn FnMut(I) -> Result<()>) -> Self {
        Sink { calling, take }
    }

    /// What the plugin is given beside the function.
    pub(super) fn context(&mut self) -> *mut c_void {
        std::ptr::from_mut(self).cast()
    }
}

/// Takes an item from a plugin.
///
/// # Safety
///
/// `context` is that of a [`Sink`] of `I` whose call is going on, in its thread.
pub(super) unsafe fn deliver<I>(context: *mut c_void, item: I) -> i32 {
    // SAFETY: the caller vouches for it; a sink is used by one thread, one item after the other.
    let sink = unsafe { &mut *context.cast::<Sink<'_, I>>() };
    let take = &mut sink.take;
    sink.calling.guarded(|| take(item))
}

unsafe extern "C" fn fail(context: *mut c_void, failure: *const Failure) {
    // SAFETY: the context is that of a call that is going on, and the header asks of the plugin that the error is whole.
    let (calling, told) = unsafe { (&*context.cast::<Calling<'_>>(), Told::read(failure)) };
    calling.told.lock().replace(told);
}

unsafe extern "C" fn step(context: *mut c_void, bytes: u64, entries: u64) -> i32 {
    // SAFETY: the context is that of a call that is going on. It is only shared here, and may be by several threads.
    let calling = unsafe { &*context.cast::<Calling<'_>>() };
    calling.guarded(|| calling.task.map_or(Ok(()), |task| task.step(bytes, entries)))
}
