//! The comparison that works for every driver: a walk over two views.

use std::io::Write;

use super::{Comparison, View};
use crate::archive::Change;
use crate::error::{Error, Kind, Result};
use crate::task::Task;

/// Two views, or one and nothing.
#[derive(Debug)]
pub struct Naive {
    new: View,
    old: Option<View>,
}

impl Naive {
    /// How `new` differs from `old`, or from nothing.
    pub fn new(new: View, old: Option<View>) -> Self {
        Naive { new, old }
    }
}

impl Comparison for Naive {
    fn changes(&self, _task: &Task, _each: &mut dyn FnMut(Change) -> Result<()>) -> Result<()> {
        Err(Error::new(Kind::NotSupported, "compare layers"))
    }

    fn pack(&self, _out: &mut dyn Write, _before_end: &mut dyn FnMut() -> Result<()>, _task: &Task) -> Result<()> {
        Err(Error::new(Kind::NotSupported, "pack layer"))
    }

    fn size(&self, _task: &Task) -> Result<u64> {
        Err(Error::new(Kind::NotSupported, "compare layers"))
    }

    fn check(&self) -> Result<()> {
        self.new.check()?;
        self.old.as_ref().map_or(Ok(()), View::check)
    }
}
