//! The cases, by subject.

mod additional;
mod changes;
mod costs;
mod create;
mod diff;
mod files;
mod kills;
mod maps;
mod mounting;
mod place;
mod processes;
mod quota;
mod remove;
mod replace;
mod shared;
mod staging;
mod threads;
mod views;
mod whiteouts;

use super::Case;

/// All of them.
pub(super) const ALL: &[&[Case]] = &[
    place::CASES,
    create::CASES,
    staging::CASES,
    files::CASES,
    whiteouts::CASES,
    changes::CASES,
    diff::CASES,
    shared::CASES,
    views::CASES,
    mounting::CASES,
    replace::CASES,
    remove::CASES,
    maps::CASES,
    quota::CASES,
    costs::CASES,
    additional::CASES,
    threads::CASES,
    processes::CASES,
    kills::CASES,
];
