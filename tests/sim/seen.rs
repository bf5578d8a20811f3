//! What must be seen now and then, or the runs prove little.

/// How often something was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Batches that were answered from the ledger's memory.
    pub from_memory: u64,
    /// Slots that came too late to be started.
    pub too_late: u64,
    /// Members that were marked down and joined again.
    pub joined_again: u64,
    /// Entries that were cut off.
    pub cut_off: u64,
    /// Proposals by an old ring.
    pub moved: u64,
    /// Configurations that were committed.
    pub changes: u64,
    /// Nodes that came later, and became owners.
    pub joined: u64,
    /// Nodes that were drained.
    pub drained: u64,
    /// Nodes that were lost with their disks.
    pub lost: u64,
    /// Voters whose part another took.
    pub replaced: u64,
    /// Leaders that went and handed their office over.
    pub handed_over: u64,
    /// Calls of observers that were granted.
    pub routed_by_observers: u64,
    /// Observers that lost the replica that they followed, and followed another.
    pub followed_another: u64,
    /// Changes of the limits that an operator has set, at each node.
    pub ruled: u64,
}

impl Seen {
    /// All of it, each under its name.
    const fn counts(&mut self) -> [&mut u64; 14] {
        [
            &mut self.from_memory,
            &mut self.too_late,
            &mut self.joined_again,
            &mut self.cut_off,
            &mut self.moved,
            &mut self.changes,
            &mut self.joined,
            &mut self.drained,
            &mut self.lost,
            &mut self.replaced,
            &mut self.handed_over,
            &mut self.routed_by_observers,
            &mut self.followed_another,
            &mut self.ruled,
        ]
    }

    /// Both together.
    pub fn plus(mut self, mut other: Self) -> Self {
        self.counts().into_iter().zip(other.counts()).for_each(|(count, more)| *count += *more);
        self
    }

    /// Whether nothing is missing.
    pub fn is_all(mut self) -> bool {
        self.counts().into_iter().all(|count| *count > 0)
    }

    /// Whether what each run has is there: somebody has come, somebody has gone, and who keeps the log has changed.
    pub const fn has_growth(self) -> bool {
        self.changes > 0 && self.joined > 0 && self.drained > 0
    }
}
