//! The trait, with a plugin behind it.

use std::ffi::c_void;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::super::codes::{Coded, of_home};
use super::super::table::{Call, EachText, RawDriver, Str};
use super::answers::{self, EACH_FLAW, Opened, owned_path, owned_text};
use super::call::{Calling, Sink};
use super::comparison::LoadedComparison;
use super::handles::{self, LoadedTrash};
use super::plugin::function;
use super::staged::LoadedStaged;
use super::{Plugin, values};
use crate::archive::Whiteouts;
use crate::driver::{
    Capabilities, Comparison, Cure, Detached, Driver, Exclusive, Extent, Flaw, Home, LayerRef, MountOptions, Mounting,
    Naive, OwnerMaps, Plan, Shared, Staged, Swept, Trash, View,
};
use crate::error::Result;
use crate::ids::LayerId;
use crate::task::Task;

/// A driver of a plugin.
#[derive(Debug)]
pub(super) struct LoadedDriver {
    opened: Arc<Opened>,
    capabilities: Capabilities,
    kernel_mounts: bool,
    late_parents: bool,
    whiteouts: Whiteouts,
}

type AboutPlace =
    unsafe extern "C" fn(*mut RawDriver, *const Call, *const super::super::table::Place, EachText, *mut c_void) -> i32;

impl LoadedDriver {
    /// Asks once for what never changes while the driver is open.
    pub(super) fn new(opened: Opened) -> Result<Self> {
        let plugin = opened.plugin;
        let number =
            |operation, function: Option<unsafe extern "C" fn(*mut RawDriver, *const Call, *mut i32) -> i32>| {
                let (Some(function), mut answer) = (function, -1) else { return Ok(0) };
                // SAFETY: the driver is open, and the rest lives as long as the call.
                answers::nothing(plugin, operation, None, |call| unsafe { function(opened.raw(), call, &mut answer) })?;
                Ok(answer)
            };
        let kernel_mounts = number("has_kernel_mounts", plugin.table.has_kernel_mounts)?;
        let late_parents = number("parents_may_come_late", plugin.table.parents_may_come_late)?;
        let whiteouts = number("whiteouts", plugin.table.whiteouts)?;
        Ok(LoadedDriver {
            capabilities: capabilities(&opened)?,
            kernel_mounts: answers::truth(plugin, "has_kernel_mounts", kernel_mounts)?,
            late_parents: answers::truth(plugin, "parents_may_come_late", late_parents)?,
            whiteouts: Whiteouts::of(whiteouts).ok_or_else(|| {
                plugin.fault("whiteouts", format!("it answered {whiteouts}, which stands for nothing"))
            })?,
            opened: Arc::new(opened),
        })
    }

    fn plugin(&self) -> &'static Plugin {
        self.opened.plugin
    }

    fn raw(&self) -> *mut RawDriver {
        self.opened.raw()
    }

    /// What the plugin answers to a question about a place that is answered once or not at all.
    fn maybe_text(
        &self,
        operation: &'static str,
        ask: Option<AboutPlace>,
        id: &LayerId,
        home: Home,
    ) -> Result<Option<String>> {
        let Some(ask) = ask else { return Ok(None) };
        let mut texts = answers::texts(self.plugin(), operation, |call, each, context| {
            // SAFETY: the driver is open, and the rest lives as long as the call.
            unsafe { ask(self.raw(), call, &values::place(id, home), each, context) }
        })?;
        match texts.len() {
            0 | 1 => Ok(texts.pop()),
            count => Err(self.plugin().fault(operation, format!("it answered {count} times"))),
        }
    }

    fn try_status(&self) -> Result<Vec<(String, String)>> {
        let Some(status) = self.plugin().table.status else { return Ok(Vec::new()) };
        answers::pairs(self.plugin(), "status", |call, each, context| {
            // SAFETY: the driver is open, and the rest lives as long as the call.
            unsafe { status(self.raw(), call, each, context) }
        })
    }
}

fn capabilities(opened: &Opened) -> Result<Capabilities> {
    let (capabilities, mut bits) = (function!(opened.plugin, capabilities), 0);
    // SAFETY: the driver is open, and the rest lives as long as the call.
    answers::nothing(opened.plugin, "capabilities", None, |call| unsafe {
        capabilities(opened.raw(), call, &mut bits)
    })?;
    Ok(Capabilities::of_bits(bits))
}

/// Yes or no, of a function of the plugin whose last argument is a pointer to the answer.
macro_rules! ask {
    ($self:expr, $name:ident, |$call:ident, $answer:ident, $function:ident| $run:expr) => {{
        let ($function, mut given) = (function!($self.plugin(), $name), -1);
        answers::nothing($self.plugin(), stringify!($name), None, |$call| {
            let $answer = &raw mut given;
            $run
        })?;
        answers::truth($self.plugin(), stringify!($name), given)
    }};
}

impl Driver for LoadedDriver {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn has_kernel_mounts(&self) -> bool {
        self.kernel_mounts
    }

    fn parents_may_come_late(&self) -> bool {
        self.late_parents
    }

    /// What fails is told among the pairs: `status` is where people look.
    fn status(&self) -> Vec<(String, String)> {
        self.try_status().unwrap_or_else(|error| vec![("Plugin Error".to_owned(), error.to_string())])
    }

    fn exists(&self, _held: &Shared<'_>, id: &LayerId, home: Home) -> Result<bool> {
        // SAFETY: the driver is open, and the rest lives as long as the call.
        ask!(self, exists, |call, answer, exists| unsafe { exists(self.raw(), call, &values::place(id, home), answer) })
    }

    fn list(&self, _held: &Shared<'_>, home: Home) -> Result<Vec<String>> {
        let list = function!(self.plugin(), list);
        // SAFETY: the driver is open, and the rest lives as long as the call.
        answers::names(self.plugin(), "list", |call, each, context| unsafe {
            list(self.raw(), call, of_home(home), each, context)
        })
    }

    fn metadata(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<Vec<(String, String)>> {
        let Some(metadata) = self.plugin().table.metadata else { return Ok(Vec::new()) };
        answers::pairs(self.plugin(), "metadata", |call, each, context| {
            // SAFETY: the driver is open, and the rest lives as long as the call.
            values::layer(layer, |layer| unsafe { metadata(self.raw(), call, layer, each, context) })
        })
    }

    fn identity(&self, _held: &Shared<'_>, id: &LayerId, home: Home) -> Result<String> {
        let identity = function!(self.plugin(), identity);
        answers::identity(self.plugin(), "identity", |call, each, context| {
            // SAFETY: the driver is open, and the rest lives as long as the call.
            unsafe { identity(self.raw(), call, &values::place(id, home), each, context) }
        })
    }

    fn view(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<View> {
        handles::view(&self.opened, "view", function!(self.plugin(), view), layer)
    }

    fn own_files(&self, held: &Shared<'_>, layer: &LayerRef) -> Result<View> {
        match self.plugin().table.own_files {
            Some(own_files) => handles::view(&self.opened, "own_files", own_files, layer),
            None => self.view(held, layer),
        }
    }

    fn compare(
        &self,
        held: &Shared<'_>,
        layer: &LayerRef,
        base: Option<&LayerRef>,
        maps: &OwnerMaps,
    ) -> Result<Box<dyn Comparison>> {
        let Some(compare) = self.plugin().table.compare else {
            let base = base.map(|base| self.view(held, base)).transpose()?;
            return Ok(Box::new(Naive::new(self.view(held, layer)?, base, maps.clone())));
        };
        let mut raw = std::ptr::null_mut();
        answers::nothing(self.plugin(), "compare", None, |call| {
            values::layer(layer, |layer| {
                values::maybe_layer(base, |base| {
                    // SAFETY: the driver is open, and the rest lives as long as the call.
                    values::owners(maps, |maps| unsafe { compare(self.raw(), call, layer, base, maps, &mut raw) })
                })
            })
        })?;
        Ok(Box::new(LoadedComparison::new(&self.opened, raw)?))
    }

    fn is_untouched(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<bool> {
        ask!(self, is_untouched, |call, answer, is_untouched| values::layer(layer, |layer| {
            // SAFETY: the driver is open, and the rest lives as long as the call.
            unsafe { is_untouched(self.raw(), call, layer, answer) }
        }))
    }

    fn write_mark(&self, _held: &Shared<'_>, id: &LayerId, home: Home) -> Result<Option<String>> {
        self.maybe_text("write_mark", self.plugin().table.write_mark, id, home)
    }

    fn mount_point(&self, id: &LayerId, home: Home) -> Result<PathBuf> {
        let mount_point = function!(self.plugin(), mount_point);
        answers::path(self.plugin(), "mount_point", |call, each, context| {
            // SAFETY: the driver is open, and the rest lives as long as the call.
            unsafe { mount_point(self.raw(), call, &values::place(id, home), each, context) }
        })
    }

    fn name_directories(&self, home: Home) -> Result<Vec<PathBuf>> {
        let name_directories = function!(self.plugin(), name_directories);
        answers::paths(self.plugin(), "name_directories", |call, each, context| {
            // SAFETY: the driver is open, and the rest lives as long as the call.
            unsafe { name_directories(self.raw(), call, of_home(home), each, context) }
        })
    }

    fn is_mounted(&self, _held: &Shared<'_>, id: &LayerId, home: Home) -> Result<bool> {
        // SAFETY: the driver is open, and the rest lives as long as the call.
        ask!(self, is_mounted, |call, answer, is_mounted| unsafe {
            is_mounted(self.raw(), call, &values::place(id, home), answer)
        })
    }

    fn examine(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<Vec<Flaw>> {
        let Some(examine) = self.plugin().table.examine else { return Ok(Vec::new()) };
        let mut flaws = Vec::new();
        Calling::run(self.plugin(), "examine", None, |calling, call| {
            let mut take = |(path, detail, cure): (Str, Str, i32)| {
                let cure = Cure::of(cure).ok_or_else(|| calling.fault(format!("{cure} is the number of no cure")))?;
                flaws.push(Flaw { path: owned_path(calling, path)?, detail: owned_text(calling, detail)?, cure });
                Ok(())
            };
            let mut sink = Sink::new(calling, &mut take);
            // SAFETY: the driver is open, and the rest lives as long as the call.
            values::layer(layer, |layer| unsafe { examine(self.raw(), call, layer, EACH_FLAW, sink.context()) })
        })?;
        Ok(flaws)
    }

    fn strays(&self, _held: &Shared<'_>) -> Result<Vec<PathBuf>> {
        let Some(strays) = self.plugin().table.strays else { return Ok(Vec::new()) };
        // SAFETY: the driver is open, and the rest lives as long as the call.
        answers::paths(self.plugin(), "strays", |call, each, context| unsafe {
            strays(self.raw(), call, each, context)
        })
    }

    fn recall_parent(&self, _held: &Shared<'_>, id: &LayerId, home: Home) -> Result<Option<LayerId>> {
        let parent = self.maybe_text("recall_parent", self.plugin().table.recall_parent, id, home)?;
        parent.map(|parent| LayerId::from_store(&parent)).transpose()
    }

    fn whiteouts(&self) -> Whiteouts {
        self.whiteouts
    }

    fn own_directory(&self, id: &LayerId, home: Home) -> Result<Option<PathBuf>> {
        let Some(ask) = self.plugin().table.own_directory else { return Ok(None) };
        let mut paths = answers::paths(self.plugin(), "own_directory", |call, each, context| {
            // SAFETY: the driver is open, and the rest lives as long as the call.
            unsafe { ask(self.raw(), call, &values::place(id, home), each, context) }
        })?;
        match paths.len() {
            0 | 1 => Ok(paths.pop()),
            count => Err(self.plugin().fault("own_directory", format!("it answered {count} times"))),
        }
    }

    fn staging_homes(&self) -> Result<Vec<PathBuf>> {
        let Some(staging_homes) = self.plugin().table.staging_homes else { return Ok(Vec::new()) };
        answers::paths(self.plugin(), "staging_homes", |call, each, context| {
            // SAFETY: the driver is open, and the rest lives as long as the call.
            unsafe { staging_homes(self.raw(), call, each, context) }
        })
    }

    fn begin(&self, _held: &Shared<'_>, plan: &Plan) -> Result<Box<dyn Staged>> {
        let (begin, mut raw) = (function!(self.plugin(), begin), std::ptr::null_mut());
        answers::nothing(self.plugin(), "begin", None, |call| {
            // SAFETY: the driver is open, and the rest lives as long as the call.
            values::plan(plan, |plan| unsafe { begin(self.raw(), call, plan, &mut raw) })
        })?;
        Ok(Box::new(LoadedStaged::new(&self.opened, raw, plan.maps.clone())?))
    }

    fn remove(&self, _held: &mut Exclusive<'_>, id: &LayerId, home: Home) -> Result<Box<dyn Trash>> {
        let (remove, mut raw) = (function!(self.plugin(), remove), std::ptr::null_mut());
        // SAFETY: the driver is open, and the rest lives as long as the call.
        answers::nothing(self.plugin(), "remove", None, |call| unsafe {
            remove(self.raw(), call, &values::place(id, home), &mut raw)
        })?;
        Ok(LoadedTrash::boxed(&self.opened, raw))
    }

    fn heal(&self, _held: &mut Exclusive<'_>, layer: &LayerRef) -> Result<()> {
        let Some(heal) = self.plugin().table.heal else { return Ok(()) };
        answers::nothing(self.plugin(), "heal", None, |call| {
            // SAFETY: the driver is open, and the rest lives as long as the call.
            values::layer(layer, |layer| unsafe { heal(self.raw(), call, layer) })
        })
    }

    fn remove_strays(&self, _held: &mut Exclusive<'_>) -> Result<u64> {
        let (Some(remove_strays), mut count) = (self.plugin().table.remove_strays, 0) else { return Ok(0) };
        // SAFETY: the driver is open, and the rest lives as long as the call.
        answers::nothing(self.plugin(), "remove_strays", None, |call| unsafe {
            remove_strays(self.raw(), call, &mut count)
        })?;
        Ok(count)
    }

    fn mount(&self, _held: &mut Mounting<'_>, layer: &LayerRef, options: &MountOptions) -> Result<PathBuf> {
        let mount = function!(self.plugin(), mount);
        answers::path(self.plugin(), "mount", |call, each, context| {
            values::layer(layer, |layer| {
                // SAFETY: the driver is open, and the rest lives as long as the call.
                values::mount(options, |options| unsafe { mount(self.raw(), call, layer, options, each, context) })
            })
        })
    }

    fn unmount(&self, _held: &mut Mounting<'_>, id: &LayerId, home: Home, extent: Extent) -> Result<Detached> {
        let unmount = function!(self.plugin(), unmount);
        let mounts = answers::descriptors(self.plugin(), "unmount", |call, each, context| {
            // SAFETY: the driver is open, and the rest lives as long as the call.
            unsafe { unmount(self.raw(), call, &values::place(id, home), extent.code(), each, context) }
        })?;
        Ok(Detached::new(mounts))
    }

    fn retire(&self, _held: &mut Mounting<'_>) -> Result<Detached> {
        let Some(retire) = self.plugin().table.retire else { return Ok(Detached::default()) };
        // SAFETY: the driver is open, and the rest lives as long as the call.
        let mounts = answers::descriptors(self.plugin(), "retire", |call, each, context| unsafe {
            retire(self.raw(), call, each, context)
        })?;
        Ok(Detached::new(mounts))
    }

    fn sweep(&self, deadline: Instant, task: &Task) -> Result<Swept> {
        let (sweep, mut swept) = (function!(self.plugin(), sweep), Swept::default());
        let left = deadline.saturating_duration_since(Instant::now()).as_millis() as u64;
        // SAFETY: the driver is open, and the rest lives as long as the call.
        answers::nothing(self.plugin(), "sweep", Some(task), |call| unsafe {
            sweep(self.raw(), call, left, &mut swept.reclaimed, &mut swept.left)
        })?;
        Ok(swept)
    }
}
