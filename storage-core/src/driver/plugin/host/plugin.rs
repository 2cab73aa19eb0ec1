//! One loaded plugin, and the few ways in which its functions are called.

use std::path::Path;

use super::super::table::{RawDriver, Table};
use super::answers::Opened;
use super::driver::LoadedDriver;
use super::watch::{Flying, Watch};
use super::{answers, values};
use crate::driver::{Capabilities, Descriptor, Driver, Origin, Request, Survey};
use crate::error::{Error, Kind, Result};

/// A plugin whose table was checked. It stays loaded until the process ends.
#[derive(Debug)]
pub(in super::super) struct Plugin {
    pub(in super::super) table: Table,
    pub(in super::super) name: &'static str,
    pub(in super::super) version: &'static str,
    pub(in super::super) file: &'static Path,
    pub(in super::super) watch: Watch,
}

// SAFETY: the strings of the table are the plugin's constants, and its functions may be called from any thread.
unsafe impl Send for Plugin {}
// SAFETY: as above.
unsafe impl Sync for Plugin {}

/// The function `$name` of a plugin.
macro_rules! function {
    ($plugin:expr, $name:ident) => {
        match $plugin.table.$name {
            Some(function) => function,
            None => return Err($plugin.fault(stringify!($name), "the function is missing")),
        }
    };
}
pub(super) use function;

impl Plugin {
    /// The plugin's entry in a registry.
    pub(in super::super) fn descriptor(&'static self) -> Descriptor {
        let survey = Box::leak(Box::new(move |request: &Request| self.survey(request)));
        let open = Box::leak(Box::new(move |request: &Request| self.open(request)));
        Descriptor {
            name: self.name,
            version: self.version,
            priority: self.table.priority,
            automatic: self.table.automatic != 0,
            origin: Origin::Loaded(self.file),
            survey,
            open,
        }
    }

    /// The error of a plugin that broke its contract in `operation`.
    pub(super) fn fault(&self, operation: &'static str, what: impl Into<String>) -> Error {
        Error::new(Kind::BadPlugin, operation)
            .at(self.file)
            .detail(what)
            .remedy("tell the plugin's author; `lamina conformance --plugin FILE` shows what it does wrong")
    }

    /// Puts a call that can't fail on the list of those that are watched, until what is returned is dropped.
    pub(super) fn watched(&self, operation: &'static str) -> Flying {
        self.watch.begin(self.name, self.file, operation)
    }

    fn survey(&'static self, request: &Request) -> Survey {
        self.try_survey(request).unwrap_or_else(|error| Survey {
            usable: false,
            reason: error.to_string(),
            capabilities: Capabilities::NONE,
        })
    }

    fn try_survey(&'static self, request: &Request) -> Result<Survey> {
        let survey = function!(self, survey);
        let (mut usable, mut bits) = (-1, 0);
        let reason = answers::text(self, "survey", |call, each, context| {
            // SAFETY: all pointers live as long as the call.
            values::request(request, |request| unsafe { survey(call, request, &mut usable, &mut bits, each, context) })
        })?;
        let usable = answers::truth(self, "survey", usable)?;
        Ok(Survey { usable, reason, capabilities: Capabilities::of_bits(bits) })
    }

    fn open(&'static self, request: &Request) -> Result<Box<dyn Driver>> {
        let open = function!(self, open);
        let mut raw: *mut RawDriver = std::ptr::null_mut();
        answers::nothing(self, "open", None, |call| {
            // SAFETY: all pointers live as long as the call.
            values::request(request, |request| unsafe { open(call, request, &mut raw) })
        })?;
        let opened = Opened::new(self, raw)?;
        Ok(Box::new(LoadedDriver::new(opened)?))
    }
}
