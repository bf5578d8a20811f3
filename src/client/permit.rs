//! What the holder of a slot holds.

use std::time::Duration;

use crate::clock::Clock;
use crate::engine::grant::{ArrivalNumber, Charge, Grant, ReleaseNumber};
use crate::owner::Ticket;
use crate::router::Routed;

/// The right to make one request now. Dropping it ends the request; the slot stays used, for the request may have reached the
/// platform.
#[derive(Debug)]
#[must_use = "a permit is a slot that was paid for"]
pub struct Permit {
    grant: Grant,
    waited: Duration,
    clock: Clock,
    _ticket: Ticket,
}

/// The part of a limit that is kept for the way from the ledger to the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Margin {
    /// How late the grant may reach its worker.
    pub delivery: Duration,
    /// What the way from the worker to the platform may take.
    pub guard: Duration,
}

impl Permit {
    pub(super) fn new(routed: Routed, clock: Clock) -> Self {
        let Routed { grant, ticket, waited } = routed;
        Self { grant, waited, clock, _ticket: ticket }
    }

    /// The request's place in its owner's order of arrival.
    #[must_use]
    pub const fn arrival(&self) -> ArrivalNumber {
        self.grant.arrival
    }

    /// The slot's place in its owner's order of release; drawn from the same counter as arrivals.
    #[must_use]
    pub const fn release(&self) -> ReleaseNumber {
        self.grant.release
    }

    /// How long the caller waited.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    /// What the ledger keeps of the limit for this grant's way.
    #[must_use]
    pub const fn margin(&self) -> Margin {
        Margin { delivery: self.grant.charge.delivery, guard: self.grant.guard }
    }

    /// How soon the request must be started to be within the limit; `None` when its limits accept any jitter.
    #[must_use]
    pub fn start_within(&self) -> Option<Duration> {
        let Charge { delivery, .. } = self.grant.charge;
        let age = self.clock.now().saturating_since(self.grant.proposed_at);
        (!delivery.is_zero()).then(|| delivery.saturating_sub(age))
    }
}
