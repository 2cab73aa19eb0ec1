//! The registry of these drivers.

use storage_core::Result;
use storage_core::driver::{Descriptor, Driver, Origin, Registry, Request, Survey};

use crate::{Fault, Faulty};

use storage_driver_btrfs as _;
use storage_driver_overlay as _;
use storage_driver_vfs as _;

/// The good drivers and the faulty ones.
pub fn registry() -> Result<Registry> {
    let mut registry = Registry::linked()?;
    Fault::ALL.iter().try_for_each(|fault| registry.add(descriptor(*fault)))?;
    Ok(registry)
}

/// The descriptor of the driver with this fault. Its functions carry no value, so there is one of each for every fault.
pub fn descriptor(fault: Fault) -> Descriptor {
    macro_rules! of {
        ($($fault:ident)*) => {
            match fault {
                $(Fault::$fault => Descriptor {
                    name: Fault::$fault.name(),
                    version: env!("CARGO_PKG_VERSION"),
                    priority: -1,
                    automatic: false,
                    origin: Origin::Linked,
                    survey: &|request| survey(Fault::$fault, request),
                    open: &|request| open(Fault::$fault, request),
                },)*
            }
        };
    }
    of!(MountsWhileDiffing MountsForAMoment UnmountsWithoutAsking LosesACount WritesRecords TakesLocksInTheWrongOrder
        HoldsALockWhileExtracting CopiesUnderTheLock TakesALockTwice LeavesAMountAfterAKill FailsAfterADeath
        KeepsAHandle ReplacesTheLockFile)
}

fn base(fault: Fault) -> Descriptor {
    match fault.base() {
        "overlay" => storage_driver_overlay::DESCRIPTOR,
        _ => storage_driver_vfs::DESCRIPTOR,
    }
}

fn survey(fault: Fault, request: &Request) -> Survey {
    (base(fault).survey)(request)
}

fn open(fault: Fault, request: &Request) -> Result<Box<dyn Driver>> {
    let inner = (base(fault).open)(request)?;
    Ok(Box::new(Faulty::new(inner, fault, request)))
}
