//! Which operation of the store a thread is in.

use std::cell::Cell;

use super::is_on;

thread_local! {
    static PURPOSE: Cell<&'static str> = const { Cell::new("") };
}

/// This thread is in an operation until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the purpose"]
pub(crate) struct Purpose {
    /// Whether it named the operation: an operation inside another has the outer one's name.
    named: bool,
}

/// Names what this thread does from here on, unless it is inside something that has a name.
#[inline]
pub(crate) fn purpose(name: &'static str) -> Purpose {
    let named = is_on() && current().is_empty();
    if named {
        PURPOSE.set(name);
    }
    Purpose { named }
}

/// What this thread is doing; empty when nobody said.
pub(super) fn current() -> &'static str {
    PURPOSE.get()
}

impl Drop for Purpose {
    #[inline]
    fn drop(&mut self) {
        if self.named {
            PURPOSE.set("");
        }
    }
}
