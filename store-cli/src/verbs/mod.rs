//! The verbs: tables, one a subject, say their names, arguments and flags; a file for each, or for each noun with short verbs.

mod apply;
mod audit;
mod changes;
mod check;
mod config;
mod conformance;
mod container;
mod copy;
mod create;
mod data;
mod delete;
mod diff;
mod directories;
mod drivers;
mod examine;
mod exists;
mod house;
mod image;
pub(crate) mod later;
mod layer;
mod layers;
mod load;
mod maps;
mod metadata;
mod mount;
mod names;
mod of_anything;
mod of_containers;
mod of_drivers;
mod of_images;
mod of_layers;
mod of_store;
mod parents;
mod save;
mod status;
mod tree;
mod unshare;

use crate::app::Context;
use crate::flags::Flag;
use crate::globals::Configured;
use crate::signals::Patience;
use crate::stop::Outcome;

pub(crate) use drivers::{table as survey_table, verdict as survey_verdict};

/// Which namespaces a verb runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// Those it was started in.
    None,
    /// An ordinary user's own user namespace.
    User,
    /// That, and a mount namespace from which nothing reaches others.
    PrivateMounts,
}

/// One verb.
#[derive(Debug)]
pub(crate) struct Verb {
    /// What it is called; the first name is the one that help shows.
    pub(crate) names: &'static [&'static str],
    /// Its arguments, for the usage line.
    pub(crate) arguments: &'static str,
    /// One line of help.
    pub(crate) summary: &'static str,
    /// More help.
    pub(crate) more: &'static str,
    /// The least and the greatest number of arguments.
    pub(crate) count: (usize, usize),
    /// Its own flags.
    pub(crate) flags: &'static [Flag],
    /// Where it runs.
    pub(crate) namespace: Namespace,
    /// Whether configuration files are read for it.
    pub(crate) configured: Configured,
    /// How it takes a signal; none: at once, as by default.
    pub(crate) stops: Option<Patience>,
    /// What it does.
    pub(crate) action: fn(&mut Context) -> Outcome,
}

/// No bound on the number of arguments.
const MANY: usize = usize::MAX;

const JSON: Flag = Flag::switch(&["--json", "-j"], "Prefer JSON output");

/// A short verb without flags but `--json`.
const PLAIN: Verb = Verb {
    names: &[],
    arguments: "[options [...]]",
    summary: "",
    more: "",
    count: (0, 0),
    flags: &[JSON],
    namespace: Namespace::User,
    configured: Configured::Yes,
    stops: None,
    action: |_| Ok(()),
};

/// All verbs, in the order in which help lists them.
pub(crate) fn all() -> impl Iterator<Item = &'static Verb> {
    let layers_and_store = [of_drivers::VERBS, of_layers::VERBS, of_anything::VERBS, of_store::VERBS];
    layers_and_store.into_iter().chain([of_images::VERBS, of_containers::VERBS]).flatten()
}

/// The verb called `name`, also one that help doesn't list.
pub(crate) fn called(name: &str) -> Option<&'static Verb> {
    all().chain(of_drivers::HIDDEN).find(|verb| verb.names.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::globals;

    #[test]
    fn names_of_verbs_and_of_their_flags_are_distinct() {
        let mut verbs: Vec<&str> =
            all().chain(of_drivers::HIDDEN).flat_map(|verb| verb.names).copied().chain(later::names()).collect();
        let count = verbs.len();
        verbs.sort_unstable();
        verbs.dedup();
        assert_eq!(verbs.len(), count, "a name means two verbs");
        for verb in all() {
            let mut flags: Vec<&str> =
                verb.flags.iter().chain(globals::FLAGS).flat_map(|flag| flag.names).copied().collect();
            let all = flags.len();
            flags.sort_unstable();
            flags.dedup();
            assert_eq!(flags.len(), all, "a name means two flags of {}", verb.names[0]);
            assert!(!verb.summary.is_empty(), "{} has no help", verb.names[0]);
        }
    }
}
