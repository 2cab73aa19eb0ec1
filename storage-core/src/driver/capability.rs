//! What a driver can do on this kernel and filesystem.

/// One thing that a driver may or may not be able to do. The order is that of the bits at the border to plugins: new ones
/// are added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Capability {
    /// A mount of a layer is a mount of the kernel's (else the layer's own directory serves).
    KernelMounts,
    /// Changes and diffs cost in proportion to what changed, not to the size of the layer.
    ProportionalDiff,
    /// A view is a detached mount that no path names.
    DetachedViews,
    /// The backing filesystem tells the type of directory entries.
    DType,
    /// Copies share blocks.
    Reflink,
    /// The kernel may copy up metadata without data.
    Metacopy,
    /// Mounts can be told not to flush.
    Volatile,
    /// Layers can be mounted with other owners than they are stored with.
    IdMappedMounts,
    /// The size of a writable layer can be limited.
    Quota,
}

impl Capability {
    /// All of them, in the order in which they are shown.
    pub const ALL: &'static [Capability] = &[
        Capability::KernelMounts,
        Capability::ProportionalDiff,
        Capability::DetachedViews,
        Capability::DType,
        Capability::Reflink,
        Capability::Metacopy,
        Capability::Volatile,
        Capability::IdMappedMounts,
        Capability::Quota,
    ];

    /// The stable name, as text and JSON show it.
    pub fn name(self) -> &'static str {
        match self {
            Capability::KernelMounts => "kernel-mounts",
            Capability::ProportionalDiff => "proportional-diff",
            Capability::DetachedViews => "detached-views",
            Capability::DType => "d-type",
            Capability::Reflink => "reflink",
            Capability::Metacopy => "metacopy",
            Capability::Volatile => "volatile",
            Capability::IdMappedMounts => "id-mapped-mounts",
            Capability::Quota => "quota",
        }
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// No capability at all.
    pub const NONE: Capabilities = Capabilities(0);

    /// The set with `capability` in it when `present`.
    pub fn with(self, capability: Capability, present: bool) -> Self {
        let bit = 1 << capability as u64;
        if present { Capabilities(self.0 | bit) } else { Capabilities(self.0 & !bit) }
    }

    /// Whether `capability` is in the set.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u64) != 0
    }

    /// The set as bits, as the border to plugins carries it.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The set that `bits` stand for; those that nobody knows are left out.
    pub(crate) fn of_bits(bits: u64) -> Self {
        let has = |capability: &&Capability| bits & (1 << **capability as u64) != 0;
        Capability::ALL.iter().filter(has).fold(Capabilities::NONE, |set, &each| set.with(each, true))
    }
}
