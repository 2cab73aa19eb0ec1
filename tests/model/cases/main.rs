//! The protocol's state machines, as they ship, in a simulated world: several processes of several threads, any of which may
//! die at any step, under schedules at random and by priority.
//!
//! `LAMINA_MODEL=SCENARIO:FAULT:ORDER:SEED` replays one schedule; a failure prints that line. `LAMINA_MODEL_FIRST=SEED`
//! explores other schedules than those from seed 1 on.

mod explore;
mod files;
mod peers;
mod raw;
mod scenarios;
mod tables;
mod tests;
mod world;
