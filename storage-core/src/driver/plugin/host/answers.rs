//! What functions of a plugin answer with: read, checked, and made into the library's own.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::ptr::NonNull;

use super::super::table::{Call, EachDescriptor, EachFlaw, EachPair, EachText, RawDriver, Str};
use super::super::text::LONGEST;
use super::Plugin;
use super::call::{Calling, Sink, deliver, deliver_always};
use crate::error::{Error, Result};
use crate::task::Task;

/// A driver that a plugin opened. It is closed when nothing of it is left: handles keep it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) plugin: &'static Plugin,
    raw: NonNull<RawDriver>,
}

// SAFETY: the header asks of plugins that the functions of a driver may be called from several threads at once.
unsafe impl Send for Opened {}
// SAFETY: as above.
unsafe impl Sync for Opened {}

impl Opened {
    pub(super) fn new(plugin: &'static Plugin, raw: *mut RawDriver) -> Result<Self> {
        Ok(Opened { plugin, raw: handle(plugin, "open", raw)? })
    }

    pub(super) fn raw(&self) -> *mut RawDriver {
        self.raw.as_ptr()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(close) = self.plugin.table.close {
            let _flying = self.plugin.watched("close");
            // SAFETY: it was opened by this plugin, and nothing uses it any more.
            unsafe { close(self.raw()) };
        }
    }
}

/// Calls a function that answers with nothing but success.
pub(super) fn nothing(
    plugin: &'static Plugin,
    operation: &'static str,
    task: Option<&Task>,
    run: impl FnOnce(*const Call) -> i32,
) -> Result<()> {
    Calling::run(plugin, operation, task, |_, call| run(call))
}

/// Calls a function that answers with bytes, any number of times; `take` gets each.
pub(super) fn each_item(
    plugin: &'static Plugin,
    operation: &'static str,
    take: &mut dyn FnMut(&Calling<'_>, Str) -> Result<()>,
    run: impl FnOnce(*const Call, EachText, *mut c_void) -> i32,
) -> Result<()> {
    Calling::run(plugin, operation, None, |calling, call| {
        let mut take = |item| take(calling, item);
        run(call, each_text, Sink::new(calling, &mut take).context())
    })
}

/// Calls a function that answers with texts.
pub(super) fn texts(
    plugin: &'static Plugin,
    operation: &'static str,
    run: impl FnOnce(*const Call, EachText, *mut c_void) -> i32,
) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    each_item(
        plugin,
        operation,
        &mut |calling, item| {
            texts.push(owned_text(calling, item)?);
            Ok(())
        },
        run,
    )?;
    Ok(texts)
}

/// Calls a function that answers with names of files. One that is not UTF-8 is shown with signs of replacement: it is no
/// layer's, and must not hide those that are.
pub(super) fn names(
    plugin: &'static Plugin,
    operation: &'static str,
    run: impl FnOnce(*const Call, EachText, *mut c_void) -> i32,
) -> Result<Vec<String>> {
    let mut names = Vec::new();
    each_item(
        plugin,
        operation,
        &mut |calling, item| {
            // SAFETY: the header asks of plugins that what they deliver is whole until the function returns.
            let name = unsafe { item.bytes(LONGEST) }.map_err(|wrong| calling.fault(wrong))?;
            names.push(String::from_utf8_lossy(name).into_owned());
            Ok(())
        },
        run,
    )?;
    Ok(names)
}

/// Calls a function that answers with paths.
pub(super) fn paths(
    plugin: &'static Plugin,
    operation: &'static str,
    run: impl FnOnce(*const Call, EachText, *mut c_void) -> i32,
) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    each_item(
        plugin,
        operation,
        &mut |calling, item| {
            paths.push(owned_path(calling, item)?);
            Ok(())
        },
        run,
    )?;
    Ok(paths)
}

/// Calls a function that answers with one text that tells a layer's content from every other. No text tells nothing.
pub(super) fn identity(
    plugin: &'static Plugin,
    operation: &'static str,
    run: impl FnOnce(*const Call, EachText, *mut c_void) -> i32,
) -> Result<String> {
    match text(plugin, operation, run)? {
        told if told.is_empty() => Err(plugin.fault(operation, "it answered with an empty text")),
        told => Ok(told),
    }
}

/// Calls a function that answers with one text.
pub(super) fn text(
    plugin: &'static Plugin,
    operation: &'static str,
    run: impl FnOnce(*const Call, EachText, *mut c_void) -> i32,
) -> Result<String> {
    one(plugin, operation, texts(plugin, operation, run)?)
}

/// Calls a function that answers with one absolute path.
pub(super) fn path(
    plugin: &'static Plugin,
    operation: &'static str,
    run: impl FnOnce(*const Call, EachText, *mut c_void) -> i32,
) -> Result<PathBuf> {
    one(plugin, operation, paths(plugin, operation, run)?)
}

/// Calls a function that answers with pairs of texts.
pub(super) fn pairs(
    plugin: &'static Plugin,
    operation: &'static str,
    run: impl FnOnce(*const Call, EachPair, *mut c_void) -> i32,
) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    Calling::run(plugin, operation, None, |calling, call| {
        let mut take = |(key, value): (Str, Str)| {
            pairs.push((owned_text(calling, key)?, owned_text(calling, value)?));
            Ok(())
        };
        run(call, each_pair, Sink::new(calling, &mut take).context())
    })?;
    Ok(pairs)
}

/// Calls a function that answers with descriptors.
pub(super) fn descriptors(
    plugin: &'static Plugin,
    operation: &'static str,
    run: impl FnOnce(*const Call, EachDescriptor, *mut c_void) -> i32,
) -> Result<Vec<OwnedFd>> {
    let mut descriptors = Vec::new();
    Calling::run(plugin, operation, None, |calling, call| {
        let mut take = |number: i32| {
            // It would be closed twice, and between the two the number may come to mean another file.
            if descriptors.iter().any(|given: &OwnedFd| given.as_raw_fd() == number) {
                return Err(calling.fault(format!("it gave the descriptor {number} twice")));
            }
            descriptors.push(descriptor(calling.plugin(), operation, number)?);
            Ok(())
        };
        run(call, each_descriptor, Sink::new(calling, &mut take).context())
    })?;
    Ok(descriptors)
}

/// A handle that a function answered with.
pub(super) fn handle<H>(plugin: &Plugin, operation: &'static str, raw: *mut H) -> Result<NonNull<H>> {
    NonNull::new(raw).ok_or_else(|| plugin.fault(operation, "it told of success and gave no handle"))
}

/// Yes or no.
pub(super) fn truth(plugin: &Plugin, operation: &'static str, answer: i32) -> Result<bool> {
    match answer {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(plugin.fault(operation, format!("it answered {other} where 0 or 1 is asked for"))),
    }
}

/// The directory that a function answered with.
pub(super) fn directory(plugin: &Plugin, operation: &'static str, number: i32) -> Result<OwnedFd> {
    let descriptor = descriptor(plugin, operation, number)?;
    if rustix::fs::fcntl_getfl(&descriptor).is_ok_and(|flags| flags.contains(rustix::fs::OFlags::PATH)) {
        return Err(
            plugin.fault(operation, format!("the descriptor {number} can't be read: it was opened with O_PATH"))
        );
    }
    match rustix::fs::fstat(&descriptor) {
        Ok(stat) if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() => Ok(descriptor),
        Ok(_) => Err(plugin.fault(operation, format!("the descriptor {number} is not that of a directory"))),
        Err(error) => Err(plugin.fault(operation, format!("the descriptor {number} can't be used: {error}"))),
    }
}

/// A descriptor that a plugin handed out. From now on it is this side's.
fn descriptor(plugin: &Plugin, operation: &'static str, number: i32) -> Result<OwnedFd> {
    // The first three are never a plugin's to give, and a function that forgot to answer has left -1.
    if number < 3 {
        return Err(plugin.fault(operation, format!("it answered with the descriptor {number}")));
    }
    // SAFETY: the number is asked about, and used no further unless it is open.
    let found = unsafe { BorrowedFd::borrow_raw(number) };
    if rustix::io::fcntl_setfd(found, rustix::io::FdFlags::CLOEXEC).is_err() {
        return Err(plugin.fault(operation, format!("the descriptor {number} is not open")));
    }
    // SAFETY: it is open, and the header says that it is the receiver's.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn one<T>(plugin: &Plugin, operation: &'static str, mut items: Vec<T>) -> Result<T> {
    match (items.pop(), items.len()) {
        (Some(item), 0) => Ok(item),
        (item, rest) => {
            let count = rest + usize::from(item.is_some());
            Err(plugin.fault(operation, format!("it answered {count} times where one answer is asked for")))
        }
    }
}

/// The text that was delivered.
pub(super) fn owned_text(calling: &Calling<'_>, item: Str) -> Result<String> {
    // SAFETY: the header asks of plugins that what they deliver is whole until the function returns.
    unsafe { item.text() }.map(str::to_owned).map_err(|wrong| calling.fault(wrong))
}

/// The path that was delivered.
pub(super) fn owned_path(calling: &Calling<'_>, item: Str) -> Result<PathBuf> {
    // SAFETY: as above.
    let path = unsafe { item.path() }.map_err(|wrong| calling.fault(wrong))?;
    let absolute = path.is_absolute() && !path.components().any(|part| part == std::path::Component::ParentDir);
    let wrong = || -> Error { calling.fault(format!("it answered with the path {:?}", path.display())) };
    if absolute { Ok(path) } else { Err(wrong()) }
}

pub(super) unsafe extern "C" fn each_text(context: *mut c_void, item: Str) -> i32 {
    // SAFETY: it was given to the plugin with the context of such a sink.
    unsafe { deliver(context, item) }
}

unsafe extern "C" fn each_pair(context: *mut c_void, key: Str, value: Str) -> i32 {
    // SAFETY: as above.
    unsafe { deliver(context, (key, value)) }
}

unsafe extern "C" fn each_descriptor(context: *mut c_void, number: i32) -> i32 {
    // SAFETY: as above. It is this side's, also when something failed before.
    unsafe { deliver_always(context, number) }
}

/// For [`super::driver`], which knows flaws.
pub(super) const EACH_FLAW: EachFlaw = {
    unsafe extern "C" fn each_flaw(context: *mut c_void, path: Str, detail: Str, cure: i32) -> i32 {
        // SAFETY: as above.
        unsafe { deliver(context, (path, detail, cure)) }
    }
    each_flaw
};
