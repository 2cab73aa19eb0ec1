//! The verbs of drivers: what shows and tries them.

use super::{MANY, Namespace, PLAIN, Verb, audit, conformance, drivers};
use crate::app::CHANGES;
use crate::globals::Configured;
use crate::tour;

/// The verbs of drivers, in the order in which help lists them.
pub(super) const VERBS: &[Verb] = &[
    Verb {
        names: &["tour"],
        summary: "Show on this machine what a layer store does, with every driver that works here",
        more: tour::HELP,
        flags: tour::FLAGS,
        namespace: Namespace::PrivateMounts,
        configured: Configured::No,
        stops: CHANGES,
        action: tour::tour,
        ..PLAIN
    },
    Verb {
        names: &["drivers"],
        summary: "Tell which drivers work on this root, why, and which one would be chosen",
        more: drivers::HELP,
        action: drivers::drivers,
        ..PLAIN
    },
    Verb {
        names: &["audit"],
        summary: "Judge a driver, or the use of a store, by the rules of locking",
        more: audit::HELP,
        flags: audit::FLAGS,
        action: audit::audit,
        ..PLAIN
    },
    Verb {
        names: &["conformance"],
        summary: "Try whether a driver keeps what drivers promise",
        more: conformance::HELP,
        flags: conformance::FLAGS,
        namespace: Namespace::PrivateMounts,
        configured: Configured::No,
        action: conformance::conformance,
        ..PLAIN
    },
];

/// Verbs that this program starts itself with.
pub(super) const HIDDEN: &[Verb] = &[
    Verb {
        names: &["conformance-worker"],
        arguments: "driver job [...]",
        summary: "Work for a case of `lamina conformance`",
        count: (1, MANY),
        flags: &[],
        configured: Configured::No,
        action: conformance::worker,
        ..PLAIN
    },
    Verb {
        names: &[audit::WORKER],
        arguments: "driver order",
        summary: "Work for `lamina audit`",
        count: (2, 2),
        flags: &[],
        configured: Configured::No,
        action: audit::worker,
        ..PLAIN
    },
];
