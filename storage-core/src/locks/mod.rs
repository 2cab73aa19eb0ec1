//! Levels of locking, their order, the guards and tokens that prove a hold, and the protocol's state machines.

mod token;

pub use token::{Exclusive, Mounting, Shared, StoreId};
