//! Which drivers there are, which of them work on a root, and why one is chosen.
//!
//! A driver has one [`Descriptor`]. It reaches the registry through `inventory` when the driver is linked in
//! (`inventory::submit! { DESCRIPTOR }`), by a direct call of [`Registry::add`], or from a shared object
//! ([`super::plugin::Plugins`]); behind all three doors it is one like any other. Mind that a driver crate which nobody
//! names is not linked at all: `use storage_driver_overlay as _;` keeps it.

use super::plugin::Refused;
use super::{Capabilities, Driver, Request, Roots};
use crate::error::{Error, Kind, Result};
use crate::fs::FileId;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// What a driver tells about itself before it is opened.
#[derive(Clone, Copy)]
pub struct Descriptor {
    /// The name, which is also the name of its home in the graph root.
    pub name: &'static str,
    /// The version of the driver.
    pub version: &'static str,
    /// Where it stands when several could be chosen: the highest first.
    pub priority: i32,
    /// Whether it is chosen without being named. The copying driver is not: it works everywhere, at a price.
    pub automatic: bool,
    /// Where it comes from.
    pub origin: Origin,
    /// Looks whether the driver can work there; changes nothing that stays.
    pub survey: &'static (dyn Fn(&Request) -> Survey + Sync),
    /// Opens the driver, making its home when it is missing.
    pub open: &'static (dyn Fn(&Request) -> Result<Box<dyn Driver>> + Sync),
}

/// Where a driver comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is linked into the program.
    Linked,
    /// It was loaded from this shared object ([`super::plugin`]).
    Loaded(&'static Path),
}

inventory::collect!(Descriptor);

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Descriptor").field("name", &self.name).field("priority", &self.priority).finish_non_exhaustive()
    }
}

/// What a driver found out about a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Whether it can work there.
    pub usable: bool,
    /// Why, or why not: one sentence.
    pub reason: String,
    /// What it could do there.
    pub capabilities: Capabilities,
}

/// One driver's part in a choice.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The driver.
    pub descriptor: Descriptor,
    /// Whether its home is on the root already.
    pub prior: bool,
    /// What it found out about the root.
    pub survey: Survey,
}

/// The driver that was chosen, by which rule, and what else there was.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The driver.
    pub descriptor: Descriptor,
    /// The rule that decided, in words.
    pub reason: String,
    /// All drivers, with what each found.
    pub candidates: Vec<Candidate>,
}

/// The drivers that a program knows.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    drivers: BTreeMap<&'static str, Descriptor>,
    refused: Vec<Refused>,
}

impl Registry {
    /// The drivers linked into this program. Fails with [`Kind::DuplicateName`] when two have one name.
    pub fn linked() -> Result<Self> {
        let mut registry = Registry::default();
        for descriptor in inventory::iter::<Descriptor> {
            registry.add(*descriptor)?;
        }
        Ok(registry)
    }

    /// Adds a driver. Fails with [`Kind::DuplicateName`] when its name is taken.
    pub fn add(&mut self, descriptor: Descriptor) -> Result<()> {
        match self.drivers.insert(descriptor.name, descriptor) {
            None => Ok(()),
            Some(earlier) => {
                self.drivers.insert(earlier.name, earlier);
                Err(Error::new(Kind::DuplicateName, "register driver")
                    .detail(format!("a driver called {:?} is registered already", descriptor.name)))
            }
        }
    }

    /// Whether one of the drivers was loaded from the file at `path`, by whatever name.
    pub(super) fn has_file(&self, path: &Path) -> bool {
        let same = |file: &Path| same_file(file, path);
        self.drivers.values().any(|driver| matches!(driver.origin, Origin::Loaded(file) if same(file)))
    }

    /// Notes a plugin that was not taken.
    pub fn refuse(&mut self, refused: Refused) {
        self.refused.push(refused);
    }

    /// The plugins that were not taken, with the reasons.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// The names, sorted.
    pub fn names(&self) -> Vec<&'static str> {
        self.drivers.keys().copied().collect()
    }

    /// The driver called `name`; `overlay2` means `overlay`.
    pub fn get(&self, name: &str) -> Result<Descriptor> {
        let name = if name == "overlay2" { "overlay" } else { name };
        self.drivers.get(name).copied().ok_or_else(|| {
            let refused: String = self.refused.iter().flat_map(|each| ["; refused: ", &each.reason]).collect();
            Error::new(Kind::DriverUnknown, "find driver")
                .detail(format!("no driver is called {name:?}{refused}"))
                .remedy(format!("choose one of {}", self.names().join(", ")))
        })
    }

    /// Asks every driver about the roots, best first. Nothing is changed.
    pub fn survey(&self, roots: &Roots, options: &[String]) -> Result<Vec<Candidate>> {
        let mut candidates = Vec::new();
        for descriptor in self.drivers.values() {
            let request = Request::new(roots, descriptor.name, options)?;
            let survey = (descriptor.survey)(&request);
            candidates.push(Candidate { descriptor: *descriptor, prior: is_prior(&request), survey });
        }
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.descriptor.priority));
        Ok(candidates)
    }

    /// The first driver of the list `priority` that works on a root which no driver has a home on yet. None leaves the choice to
    /// [`Registry::choose`].
    pub fn preferred(&self, roots: &Roots, priority: &[String], options: &[String]) -> Result<Option<String>> {
        if priority.is_empty() {
            return Ok(None);
        }
        for name in self.drivers.keys() {
            if is_prior(&Request::new(roots, name, options)?) {
                return Ok(None);
            }
        }
        let candidates = self.survey(roots, options)?;
        let usable = |name: &&String| candidates.iter().any(|each| each.descriptor.name == *name && each.survey.usable);
        Ok(priority.iter().find(usable).cloned())
    }

    /// The driver with which a store is opened: as [`Registry::choose`], but the machine is looked at only where the driver
    /// has no home on the root yet.
    pub fn settle(&self, roots: &Roots, wanted: Option<&str>, options: &[String]) -> Result<Descriptor> {
        let prior = |name: &str| Ok(is_prior(&Request::new(roots, name, options)?));
        let mut homes = Vec::new();
        for descriptor in self.drivers.values() {
            if wanted.is_none_or(|wanted| self.get(wanted).is_ok_and(|wanted| wanted.name == descriptor.name))
                && prior(descriptor.name)?
            {
                homes.push(*descriptor);
            }
        }
        match homes.as_slice() {
            [one] => Ok(*one),
            _ => Ok(self.choose(roots, wanted, options)?.descriptor),
        }
    }

    /// Chooses: the one that is `wanted` by name; else the one whose home is on the root already; else the first usable
    /// one by priority, of those that may be chosen without being named.
    ///
    /// Fails with [`Kind::DriverUnusable`] when the choice can't work there, when several homes are on the root, or when
    /// none is usable; the text gives every candidate's reason.
    pub fn choose(&self, roots: &Roots, wanted: Option<&str>, options: &[String]) -> Result<Choice> {
        let candidates = self.survey(roots, options)?;
        let find = |name: &str| candidates.iter().find(|candidate| candidate.descriptor.name == name);
        let failed = |detail: String, remedy: &'static str| {
            Err(Error::new(Kind::DriverUnusable, "choose driver").at(&roots.graph).detail(detail).remedy(remedy))
        };
        let (chosen, reason) = if let Some(name) = wanted {
            (find(self.get(name)?.name), "it was asked for by name".to_owned())
        } else {
            let prior: Vec<_> = candidates.iter().filter(|candidate| candidate.prior).collect();
            match prior.as_slice() {
                [] => {
                    let first = candidates.iter().find(|each| each.survey.usable && each.descriptor.automatic);
                    (first, "it is the first usable one by priority".to_owned())
                }
                [one] => (Some(*one), "the root holds its layers already".to_owned()),
                several => {
                    let names: Vec<_> = several.iter().map(|each| each.descriptor.name).collect();
                    let homes: Vec<_> = names.iter().map(|name| roots.graph.join(name).display().to_string()).collect();
                    let (names, homes) = (names.join(", "), homes.join(", "));
                    return failed(
                        format!("contains several valid graphdrivers: {names} (their layers are in {homes})"),
                        "choose one with --storage-driver, or move the homes of the others away",
                    );
                }
            }
        };
        let why = |each: &Candidate| format!("{}: {}", each.descriptor.name, each.survey.reason);
        match chosen {
            Some(chosen) if chosen.survey.usable => {
                Ok(Choice { descriptor: chosen.descriptor, reason, candidates: candidates.clone() })
            }
            Some(chosen) => failed(why(chosen), "choose another driver or another root"),
            None => failed(
                candidates.iter().map(why).collect::<Vec<_>>().join("; "),
                "name one with --storage-driver or use another filesystem",
            ),
        }
    }
}

/// Whether a driver's home with something in it is on the root.
fn is_prior(request: &Request) -> bool {
    std::fs::read_dir(&request.home).is_ok_and(|mut entries| entries.next().is_some())
}
/// Whether both paths lead to one file.
fn same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|metadata| FileId::of_metadata(&metadata));
    identity(one).is_some_and(|one| identity(other) == Some(one))
}
