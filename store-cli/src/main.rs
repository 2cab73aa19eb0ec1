//! The command `lamina`: container layers from the shell, and a diagnosis of the drivers under them.
//!
//! [`app`] parses, acts and turns what happened into an exit code; one file below `verbs` owns one verb, or one noun with
//! its few short verbs; `tour` shows the whole on this machine. `docs/cli.md` lists what differs from
//! `containers-storage` on purpose.

mod app;
mod copying;
mod engine;
mod flags;
mod globals;
mod go;
mod help;
mod image_format;
mod input;
mod output;
mod roots;
mod signals;
mod stop;
mod tour;
mod transfer;
mod userns;
mod verbs;
mod work;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(app::run(std::env::args_os().skip(1)))
}
