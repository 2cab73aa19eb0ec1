//! One call into a plugin: what it is given to answer with, and what becomes of its answer.

use std::any::Any;
use std::ffi::c_void;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread::ThreadId;

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
    /// The one thread in which the plugin may call back, except to report work.
    thread: ThreadId,
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
        let flying = plugin.watched(operation);
        let thread = std::thread::current().id();
        let (told, kept) = (Mutex::new(None), Mutex::new(None));
        let calling = Calling { plugin, operation, task, flying, thread, told, kept };
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
            (Some(kind), told) => {
                let error = told.unwrap_or_default().error(kind, self.plugin.name, self.operation);
                // Of a panic nothing is told but its words: whose it is must be told as well.
                let nameless = kind == Kind::BadPlugin && error.path().is_none();
                Err(if nameless { error.at(self.plugin.file) } else { error })
            }
            (None, told) => {
                let said = told.unwrap_or_default().error(Kind::Io, self.plugin.name, self.operation);
                let what = format!("it returned {code}, which is the number of no kind of error");
                Err(self.plugin.fault(self.operation, what).because(said.to_string()))
            }
        }
    }

    /// Runs something of this side that the plugin called, unless something failed before.
    fn guarded(&self, body: impl FnOnce() -> Result<()>) -> i32 {
        self.flying.hear();
        match self.failed() {
            0 => self.always(body),
            code => code,
        }
    }

    /// Runs something of this side that the plugin called. The first failure is kept, and the plugin is told to come back.
    fn always(&self, body: impl FnOnce() -> Result<()>) -> i32 {
        self.flying.hear();
        let kept = match catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(())) => return self.failed(),
            Ok(Err(error)) => Kept::Error(error),
            Err(panic) => Kept::Panic(panic),
        };
        let code = kept.code();
        self.kept.lock().get_or_insert(kept);
        code
    }

    /// What the plugin is told because of a failure before; zero while there was none.
    fn failed(&self) -> i32 {
        self.kept.lock().as_ref().map_or(0, Kept::code)
    }

    /// Whether this is the thread of the call; if not, that is its failure.
    fn is_here(&self) -> bool {
        let here = std::thread::current().id() == self.thread;
        if !here {
            let fault = self.fault("it called back from another thread than that of the call");
            self.kept.lock().get_or_insert(Kept::Error(fault));
        }
        here
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
/// `context` is that of a [`Sink`] of `I` whose call is going on.
pub(super) unsafe fn deliver<I>(context: *mut c_void, item: I) -> i32 {
    // SAFETY: the caller vouches for it.
    unsafe { with_sink(context, |calling, take| calling.guarded(|| take(item))) }
}

/// Takes an item from a plugin, also after something failed.
///
/// # Safety
///
/// As [`deliver`].
pub(super) unsafe fn deliver_always<I>(context: *mut c_void, item: I) -> i32 {
    // SAFETY: the caller vouches for it.
    unsafe { with_sink(context, |calling, take| calling.always(|| take(item))) }
}

/// # Safety
///
/// As [`deliver`]; that it is the call's thread is checked.
unsafe fn with_sink<I>(
    context: *mut c_void,
    run: impl FnOnce(&Calling<'_>, &mut dyn FnMut(I) -> Result<()>) -> i32,
) -> i32 {
    let sink = context.cast::<Sink<'_, I>>();
    // SAFETY: the call goes on, and this field never changes, so another thread may read it too.
    let calling = unsafe { (&raw const (*sink).calling).read() };
    if !calling.is_here() {
        return calling.failed();
    }
    // SAFETY: the sink is used by this thread alone, one item after the other.
    run(calling, unsafe { &mut *(*sink).take })
}

unsafe extern "C" fn fail(context: *mut c_void, failure: *const Failure) {
    // SAFETY: the context is that of a call that is going on, and the header asks of the plugin that the error is whole.
    let (calling, told) = unsafe { (&*context.cast::<Calling<'_>>(), Told::read(failure)) };
    if calling.is_here() {
        calling.told.lock().replace(told);
    }
}

unsafe extern "C" fn step(context: *mut c_void, bytes: u64, entries: u64) -> i32 {
    // SAFETY: the context is that of a call that is going on. It is only shared here, and may be by several threads.
    let calling = unsafe { &*context.cast::<Calling<'_>>() };
    calling.guarded(|| calling.task.map_or(Ok(()), |task| task.step(bytes, entries)))
}
