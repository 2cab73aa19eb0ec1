//! The verbs of the store as a whole, and of the program: their part of the table.

use super::{MANY, Namespace, PLAIN, Verb, check, config, house, status, unshare};
use crate::app::CHANGES;
use crate::globals::Configured;

/// The verbs of the store and of the program, in the order in which help lists them.
pub(super) const VERBS: &[Verb] = &[
    Verb {
        names: &["check"],
        summary: "Check storage consistency",
        more: check::HELP,
        flags: check::FLAGS,
        stops: CHANGES,
        action: check::check,
        ..PLAIN
    },
    Verb {
        names: &["repair"],
        arguments: "[options [...]] [LayerImageOrContainerNameOrID [...]]",
        summary: "Check storage consistency, and repair what is damaged",
        more: check::REPAIR_HELP,
        count: (0, MANY),
        flags: check::REPAIR_FLAGS,
        stops: CHANGES,
        action: check::repair,
        ..PLAIN
    },
    Verb {
        names: &["gc"],
        summary: "Perform garbage collection",
        more: house::GC_HELP,
        stops: CHANGES,
        action: house::gc,
        ..PLAIN
    },
    Verb {
        names: &["dedup"],
        summary: "Deduplicate similar files in the images",
        more: house::DEDUP_HELP,
        flags: house::DEDUP_FLAGS,
        stops: CHANGES,
        action: house::dedup,
        ..PLAIN
    },
    Verb {
        names: &["shutdown"],
        summary: "Shut down layer storage",
        more: house::SHUTDOWN_HELP,
        flags: house::SHUTDOWN_FLAGS,
        action: house::shutdown,
        ..PLAIN
    },
    Verb {
        names: &["status"],
        summary: "Check on graph driver status",
        more: "Text goes to standard error, as with the reference; --json goes to standard output.",
        action: status::status,
        ..PLAIN
    },
    Verb {
        names: &["unshare"],
        arguments: "[command [...]]",
        summary: "Run a command in a user namespace",
        more: unshare::HELP,
        count: (0, MANY),
        flags: &[],
        configured: Configured::No,
        action: unshare::unshare,
        ..PLAIN
    },
    Verb {
        names: &["version"],
        summary: "Return lamina version information",
        namespace: Namespace::None,
        configured: Configured::No,
        action: status::version,
        ..PLAIN
    },
    Verb {
        names: &["config"],
        arguments: "[options [...]] [configurationFile]",
        summary: "Print storage library configuration as JSON",
        more: config::HELP,
        count: (0, 1),
        flags: &[],
        namespace: Namespace::None,
        configured: Configured::No,
        action: config::config,
        ..PLAIN
    },
    Verb {
        names: &["wipe"],
        summary: "Wipe all layers, images, and containers",
        more: house::WIPE_HELP,
        stops: CHANGES,
        action: house::wipe,
        ..PLAIN
    },
];
