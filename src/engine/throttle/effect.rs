//! What goes into a connection, and what comes out.

use std::time::Duration;

use crate::engine::cost::Cost;
use crate::engine::grant::{Grant, RequestId};
use crate::engine::queue::Waiter;
use crate::engine::rate::{Limits, Niceness, RateLimit};
use crate::engine::time::{LedgerTime, Timestamp};

pub use crate::engine::queue::Patience;

/// The owner's two clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Its own monotonic clock.
    pub local: Timestamp,
    /// What it takes ledger time to be.
    pub ledger: LedgerTime,
}

impl Now {
    /// When, by the owner's own clock, ledger time will be `at`.
    #[must_use]
    pub fn local_time_of(self, at: LedgerTime) -> Timestamp {
        self.local + at.saturating_since(self.ledger)
    }
}

/// A request for a slot, as it reaches its owner.
#[derive(Debug, Clone)]
pub struct Acquire<T> {
    /// What makes a retry the same request.
    pub request: RequestId,
    /// Whether its caller may send it again: then its grant is remembered.
    pub retryable: bool,
    /// 0 is served first.
    pub niceness: Niceness,
    /// What it takes; within the limits, or it is refused.
    pub cost: Cost,
    /// What its caller says the connection may take.
    pub limits: Limits,
    /// How long it has waited before, at owners that are gone; zero when it comes for the first time.
    pub waited: Duration,
    /// How long it waits.
    pub patience: Patience,
    /// What its owner needs to answer it.
    pub reply: T,
}

/// What an owner has to do.
#[derive(Debug)]
pub enum Effect<T> {
    /// Hand this slot to this waiter.
    Release {
        /// Who.
        reply: T,
        /// Which request.
        request: RequestId,
        /// The slot.
        grant: Grant,
    },
    /// Tell this waiter that it gets none.
    Refuse {
        /// Who.
        reply: T,
        /// Why.
        refusal: Refusal,
    },
}

/// Why a waiter got no slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is none, or none within its patience. Not before this long.
    NotNow {
        /// A lower bound.
        retry_after: Duration,
    },
    /// Its deadline passed.
    Deadline {
        /// How long it waited.
        waited: Duration,
    },
    /// It takes more than a whole window has.
    CostOverLimit {
        /// What it takes.
        cost: Cost,
        /// The limit that never has that much.
        limit: RateLimit,
    },
    /// Too many wait for this connection.
    QueueFull {
        /// The bound.
        max_waiters: usize,
    },
    /// Callers stated more different limits within their windows than a connection carries.
    TooManyLimits {
        /// When the first may lapse.
        retry_after: Duration,
    },
    /// Its limits differ from those in force, and that is not allowed here.
    LimitsDiffer {
        /// What rules.
        in_force: Vec<RateLimit>,
    },
    /// Its request id belongs to a request with other arguments.
    RequestIdReused,
    /// A retry under the same request id took its place.
    Superseded,
    /// A request of this id was granted already.
    AlreadyGranted,
    /// Its owner owns the connection no longer.
    Moved,
}

/// What bounds a connection, from its owner's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most waiters in one queue.
    pub max_waiters: usize,
    /// Whether limits that differ from those in force are refused.
    pub strict_limits: bool,
}

impl<T> Acquire<T> {
    /// Whether a waiter is the same request: a retry, not another use of its id.
    pub(super) fn is_retry_of(&self, waiter: &Waiter<T>) -> bool {
        (self.niceness, self.cost, &self.limits) == (waiter.niceness, waiter.cost, &waiter.limits)
    }
}
