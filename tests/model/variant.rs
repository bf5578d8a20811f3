//! What is promised, and what must break when one of the rules that keep it is left out.
//!
//! A model in which nothing can go wrong proves nothing. So each rule is left out once, and the checker has to find out. The ledger
//! stays as it is in every variant: it is the real one. A rule of the ledger is left out by telling it what the rule cannot object to.

use turnstile::engine::grant::{Epoch, Incarnation, NodeId};

/// What holds in every state that can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    /// In any window of ledger time no more grants start than the limit allows.
    Limit,
    /// A grant that starts has a charge in the log, and no other grant has the same.
    Charged,
    /// A grant is started by the run that charged it.
    Own,
    /// A slot that goes back was never started, nor is it started afterwards.
    GivenBack,
    /// Whoever charges has seen everything that others charged before.
    Succession,
    /// A batch that arrives twice is charged once.
    Once,
}

impl Promise {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Limit, Self::Charged, Self::Own, Self::GivenBack, Self::Succession, Self::Once];

    /// The name under which the checker reports it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Limit => "no window has more starts than the limit allows",
            Self::Charged => "whatever starts has a charge of its own in the log",
            Self::Own => "a grant is started by the run that charged it",
            Self::GivenBack => "what goes back was never started",
            Self::Once => "a batch that arrives twice is charged once",
            Self::Succession => "whoever charges has seen all that others charged before",
        }
    }
}

/// The protocol as it is, or with one rule left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// As it is.
    Right,
    /// An owner releases when it proposes, not when its charge is committed.
    ReleaseBeforeCommit,
    /// All runs of a node go under one name.
    NodeIdOnly,
    /// Whoever marks an owner down gives back, in its name, what it charged last.
    HeirGivesBack,
    /// A proposal does not say by which ring it was decided.
    NoEpoch,
    /// A grant is started however late it comes.
    NoDeliveryBound,
}

impl Variant {
    /// What the checker has to find broken.
    pub const fn breaks(self) -> &'static [Promise] {
        match self {
            Self::Right => &[],
            Self::ReleaseBeforeCommit => &[Promise::Charged, Promise::Limit],
            Self::NodeIdOnly => &[Promise::Own, Promise::Charged, Promise::Limit],
            Self::HeirGivesBack => &[Promise::GivenBack, Promise::Limit],
            // Not the limit: the ledger counts, whoever asks.
            Self::NoEpoch => &[Promise::Succession],
            Self::NoDeliveryBound => &[Promise::Limit],
        }
    }

    /// Under which name a run speaks to the ledger.
    pub fn named(self, run: Incarnation) -> Incarnation {
        if self == Self::NodeIdOnly { first_run(run.node) } else { run }
    }

    /// By which ring a proposal says that it was decided, when `current` is in force.
    pub fn stated(self, decided_by: Epoch, current: Epoch) -> Epoch {
        if self == Self::NoEpoch { current } else { decided_by }
    }
}

/// A node's first run.
pub const fn first_run(node: NodeId) -> Incarnation {
    Incarnation { node, run: std::num::NonZeroU64::MIN }
}
