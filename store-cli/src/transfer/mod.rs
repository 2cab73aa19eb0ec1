//! Images between files and the store: how an image that was read becomes one of the store, and back.

mod incoming;
mod outgoing;

pub(crate) use incoming::{Loaded, bring_in};
pub(crate) use outgoing::{Shipment, Way};
