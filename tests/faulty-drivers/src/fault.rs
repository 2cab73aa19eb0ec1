//! What is done wrong, and what the audit must say of it.

use driver_conformance::audit::Rule;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Attaches a layer while it takes a diff, and detaches it when the diff ends.
    MountsWhileDiffing,
    /// Attaches and detaches within one call of a reader, so that no table shows it.
    MountsForAMoment,
    /// Ends the mounts of other layers when one is deleted.
    UnmountsWithoutAsking,
    /// Forgets the counts of all layers when one is unmounted.
    LosesACount,
    /// Rewrites the records of layers itself, and says nothing.
    WritesRecords,
    /// Waits for `userns.lock` while the layers are held.
    TakesLocksInTheWrongOrder,
    /// Holds the layers while an archive is extracted.
    HoldsALockWhileExtracting,
    /// Copies a layer while the layers are held.
    CopiesUnderTheLock,
    /// Waits for the lock that its caller holds.
    TakesALockTwice,
    /// Keeps a mount that only its own process knows.
    LeavesAMountAfterAKill,
    /// Makes no layer any more once a process died that was making one.
    FailsAfterADeath,
    /// Keeps the descriptor of a hold past its guard.
    KeepsAHandle,
    /// Replaces the lock file that is held.
    ReplacesTheLockFile,
}

impl Fault {
    /// All of them.
    pub const ALL: &'static [Fault] = &[
        Fault::MountsWhileDiffing,
        Fault::MountsForAMoment,
        Fault::UnmountsWithoutAsking,
        Fault::LosesACount,
        Fault::WritesRecords,
        Fault::TakesLocksInTheWrongOrder,
        Fault::HoldsALockWhileExtracting,
        Fault::CopiesUnderTheLock,
        Fault::TakesALockTwice,
        Fault::LeavesAMountAfterAKill,
        Fault::FailsAfterADeath,
        Fault::KeepsAHandle,
        Fault::ReplacesTheLockFile,
    ];

    /// The name of the driver.
    pub fn name(self) -> &'static str {
        match self {
            Fault::MountsWhileDiffing => "mounts-while-diffing",
            Fault::MountsForAMoment => "mounts-for-a-moment",
            Fault::UnmountsWithoutAsking => "unmounts-without-asking",
            Fault::LosesACount => "loses-a-count",
            Fault::WritesRecords => "writes-records",
            Fault::TakesLocksInTheWrongOrder => "wrong-order",
            Fault::HoldsALockWhileExtracting => "holds-while-extracting",
            Fault::CopiesUnderTheLock => "copies-under-the-lock",
            Fault::TakesALockTwice => "takes-a-lock-twice",
            Fault::LeavesAMountAfterAKill => "leaves-a-mount",
            Fault::FailsAfterADeath => "fails-after-a-death",
            Fault::KeepsAHandle => "keeps-a-handle",
            Fault::ReplacesTheLockFile => "replaces-the-lock-file",
        }
    }

    /// The rule that it breaks.
    pub fn rule(self) -> Rule {
        match self {
            Fault::MountsWhileDiffing | Fault::MountsForAMoment => Rule::R1,
            Fault::UnmountsWithoutAsking => Rule::R2,
            Fault::LosesACount => Rule::R3,
            Fault::WritesRecords => Rule::R4,
            Fault::TakesLocksInTheWrongOrder => Rule::R5,
            Fault::HoldsALockWhileExtracting | Fault::CopiesUnderTheLock => Rule::R6,
            Fault::TakesALockTwice => Rule::R7,
            Fault::LeavesAMountAfterAKill | Fault::FailsAfterADeath => Rule::R8,
            Fault::KeepsAHandle => Rule::R9,
            Fault::ReplacesTheLockFile => Rule::R10,
        }
    }

    /// The other rules that it breaks by that, or may where a process dies in the midst of it.
    pub fn companions(self) -> &'static [Rule] {
        match self {
            // What is attached isn't counted, stays where its process dies, and comes and goes in calls of others that may mount.
            Fault::MountsWhileDiffing | Fault::MountsForAMoment => &[Rule::R2, Rule::R3, Rule::R8],
            // A mount may end in a call of a reader beside it; what is counted is not mounted.
            Fault::UnmountsWithoutAsking => &[Rule::R1, Rule::R3, Rule::R8],
            // Its own thread meets the lock that it left.
            Fault::HoldsALockWhileExtracting => &[Rule::R7],
            // What isn't counted is there when others look.
            Fault::LeavesAMountAfterAKill => &[Rule::R3],
            // The layers are held while the diff is read.
            Fault::KeepsAHandle => &[Rule::R6],
            _ => &[],
        }
    }

    /// The call that breaks it.
    pub fn call(self) -> &'static str {
        match self {
            Fault::MountsWhileDiffing | Fault::KeepsAHandle => "compare",
            Fault::MountsForAMoment => "exists",
            Fault::UnmountsWithoutAsking => "remove",
            Fault::LosesACount => "unmount",
            Fault::WritesRecords | Fault::CopiesUnderTheLock => "commit",
            Fault::TakesLocksInTheWrongOrder | Fault::LeavesAMountAfterAKill | Fault::ReplacesTheLockFile => "mount",
            Fault::FailsAfterADeath => "begin",
            Fault::HoldsALockWhileExtracting => "fill",
            Fault::TakesALockTwice => "metadata",
        }
    }

    /// The driver that is right but for this.
    pub fn base(self) -> &'static str {
        match self {
            // Others' mounts have to be mounts.
            Fault::UnmountsWithoutAsking | Fault::LeavesAMountAfterAKill => "overlay",
            _ => "vfs",
        }
    }
}
