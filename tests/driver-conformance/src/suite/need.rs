//! What a case needs of the machine and of the driver.

use nix::unistd::Uid;
use storage_core::driver::{Capability, Gate};
use storage_core::mount::in_user_namespace;

use crate::grounds::Filesystem;

/// One thing that a case needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To be root, and that of the first user namespace: for devices and for every owner.
    Root,
    /// The driver has declared it.
    Has(Capability),
    /// The driver has not declared it.
    Lacks(Capability),
    /// The driver lets layers learn their parent late.
    LateParents,
    /// It doesn't.
    EarlyParents,
    /// The store is on this filesystem.
    On(Filesystem),
}

impl Need {
    /// The word for it in `expected`.
    pub fn word(self) -> String {
        match self {
            Need::Root => "root".to_owned(),
            Need::Has(capability) => capability.name().to_owned(),
            Need::Lacks(capability) => format!("!{}", capability.name()),
            Need::LateParents => "late-parents".to_owned(),
            Need::EarlyParents => "!late-parents".to_owned(),
            Need::On(filesystem) => format!("on-{filesystem}"),
        }
    }

    /// Why it isn't there; none when it is.
    pub(super) fn unmet(self, gate: &Gate, filesystem: Filesystem) -> Option<String> {
        let has = |capability| gate.capabilities().has(capability);
        let (met, reason) = match self {
            Need::Root => (Uid::effective().is_root() && !in_user_namespace(), "needs root of the machine".to_owned()),
            Need::Has(capability) => (has(capability), format!("the driver has no {} here", capability.name())),
            Need::Lacks(capability) => (!has(capability), format!("the driver has {} here", capability.name())),
            Need::LateParents => (gate.parents_may_come_late(), "the driver must know parents first".to_owned()),
            Need::EarlyParents => (!gate.parents_may_come_late(), "the driver takes parents late".to_owned()),
            Need::On(wanted) => (wanted == filesystem, format!("the store is not on a {wanted} of its own")),
        };
        (!met).then_some(reason)
    }
}
