//! Bugs that are planted on purpose: what a simulation, and chaos on real processes, must find. Without the feature `planted-faults` there are none, and
//! each question below is a constant `false`. That feature is for tests of this repository only.

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// Slots are let go when they are asked for.
    ReleaseBeforeCommit = 1,
    /// A node's earlier run still counts as the owner.
    OwnerByNodeId,
    /// What an owner that died had charged is given back.
    DeadOwnersSlotsGivenBack,
    /// The window does not roll: it begins anew at its multiples.
    FixedWindow,
    /// Last come, first served.
    Lifo,
    /// Who comes from an owner that died is forgotten.
    QueueDroppedOnFailover,
    /// A batch or a request that is sent again counts again.
    NoDeduplication,
    /// A proposal by an old ring counts.
    EpochIgnored,
    /// A leader goes on from the largest stamp that it has given, whatever became of that entry.
    LargestStamp,
    /// Nothing is kept for a slot's way.
    MarginIgnored,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ReleaseBeforeCommit,
        Self::OwnerByNodeId,
        Self::DeadOwnersSlotsGivenBack,
        Self::FixedWindow,
        Self::Lifo,
        Self::QueueDroppedOnFailover,
        Self::NoDeduplication,
        Self::EpochIgnored,
        Self::LargestStamp,
        Self::MarginIgnored,
    ];

    /// Whether this bug is planted.
    #[cfg(not(feature = "planted-faults"))]
    #[must_use]
    pub const fn is_planted(self) -> bool {
        false
    }

    /// Whether this bug is planted.
    #[cfg(feature = "planted-faults")]
    #[must_use]
    pub fn is_planted(self) -> bool {
        planted::PLANTED.load(std::sync::atomic::Ordering::Relaxed) == self as u8
    }

    /// Plants it, in this process, in the place of any other.
    #[cfg(feature = "planted-faults")]
    pub fn plant(self) {
        planted::PLANTED.store(self as u8, std::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(feature = "planted-faults")]
mod planted {
    /// Which one; 0 is none.
    pub(super) static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);
}
