//! What is asked of a driver only when it has declared that it can do it.
//!
//! A driver needn't refuse what it never promised: it is refused here, before it is asked, in the same words for all.

use super::{Capabilities, Capability, MountOptions, Plan};
use crate::error::{Error, Kind, Result};

/// Fails with [`Kind::NotSupported`] when `plan` asks for what `can` doesn't have.
pub(super) fn check_plan(plan: &Plan, can: impl FnOnce() -> Capabilities) -> Result<()> {
    let limits = |key: &str| matches!(key.rsplit('.').next(), Some("size" | "inodes"));
    match plan.options.iter().find(|(key, _)| limits(key)) {
        Some((key, _)) if !can().has(Capability::Quota) => Err(undeclared("create layer", Capability::Quota)
            .detail(format!("{key}: --storage-opt is not supported by this driver here"))
            .remedy("leave the option out")),
        _ => Ok(()),
    }
}

/// Fails with [`Kind::NotSupported`] when `options` ask for what `can` doesn't have.
pub(super) fn check_mount(options: &MountOptions, can: impl FnOnce() -> Capabilities) -> Result<()> {
    let mapped = options.namespace.as_ref().is_some_and(|namespace| !namespace.maps().is_identity());
    if mapped && !can().has(Capability::IdMappedMounts) {
        return Err(undeclared("mount layer", Capability::IdMappedMounts)
            .detail("layers can't be mounted with mapped owners here")
            .remedy("make the layer with the owners that it shall have"));
    }
    Ok(())
}

fn undeclared(operation: &'static str, capability: Capability) -> Error {
    Error::new(Kind::NotSupported, operation).detail(format!("the driver has no {}", capability.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Start;

    #[test]
    fn a_limit_is_asked_only_of_a_driver_that_has_quotas() {
        let kind = |key: &str, can| {
            let mut plan = Plan::new(Start::OnParent(None));
            plan.options = vec![("other".into(), "1".into()), (key.into(), "1G".into())];
            check_plan(&plan, || can).map_err(|error| error.kind())
        };
        let has = Capabilities::NONE.with(Capability::Quota, true);
        for key in ["size", "mine.size", "inodes"] {
            assert_eq!(kind(key, Capabilities::NONE), Err(Kind::NotSupported), "{key}");
            assert_eq!(kind(key, has), Ok(()), "{key}");
        }
        assert_eq!(kind("sizes", Capabilities::NONE), Ok(()), "the driver itself knows its other options");
    }
}
