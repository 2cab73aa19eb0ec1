//! What was found out about drivers, for people and for programs.

use std::fmt;

use serde_json::{Value, json};

use super::{Candidate, Capability, Choice, Origin};
use crate::driver::plugin::Refused;

impl Candidate {
    /// The names of what the driver can do on this root.
    pub fn abilities(&self) -> Vec<&'static str> {
        let has = |capability: &&Capability| self.survey.capabilities.has(**capability);
        Capability::ALL.iter().filter(has).map(|capability| capability.name()).collect()
    }

    /// The candidate as JSON.
    pub fn to_json(&self) -> Value {
        let (origin, file) = match self.descriptor.origin {
            Origin::Linked => ("linked", None),
            Origin::Loaded(file) => ("loaded", Some(file)),
        };
        json!({
            "name": self.descriptor.name,
            "version": self.descriptor.version,
            "origin": origin,
            "file": file,
            "priority": self.descriptor.priority,
            "automatic": self.descriptor.automatic,
            "usable": self.survey.usable,
            "reason": self.survey.reason,
            "prior": self.prior,
            "capabilities": self.abilities(),
        })
    }
}

/// `NAME works here: REASON`, on one line.
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.survey.usable { "works here" } else { "is not usable" };
        write!(f, "{} {verdict}: {}", self.descriptor.name, self.survey.reason)?;
        if self.prior { f.write_str(" (its layers are on this root)") } else { Ok(()) }
    }
}

impl Choice {
    /// The choice as JSON, with all candidates.
    pub fn to_json(&self) -> Value {
        json!({
            "chosen": self.descriptor.name,
            "reason": self.reason,
            "drivers": self.candidates.iter().map(Candidate::to_json).collect::<Vec<_>>(),
        })
    }
}

/// The driver and the rule, then a line for each candidate.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is chosen: {}", self.descriptor.name, self.reason)?;
        self.candidates.iter().try_for_each(|each| write!(f, "\n  {each}"))
    }
}

impl Refused {
    /// The refusal as JSON.
    pub fn to_json(&self) -> Value {
        json!({ "path": self.path, "kind": self.kind.name(), "reason": self.reason })
    }
}
