//! What the holder of a slot holds.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::grant::{ArrivalNumber, Charge, Grant, ReleaseNumber, Tenure};
use crate::owner::{Slot, Ticket};
use crate::router::{Routed, Router};

/// The right to make one request now. Dropping it ends the request; the slot stays used, for the request may have reached the
/// platform. A permit with which nothing was started can be [given back](Permit::give_back).
#[derive(Debug)]
#[must_use = "a permit is a slot that was paid for"]
pub struct Permit {
    slot: Slot,
    waited: Duration,
    router: Arc<Router>,
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
    pub(super) fn new(routed: Routed, router: &Arc<Router>) -> Self {
        let Routed { slot, ticket, waited } = routed;
        Self { slot, waited, router: Arc::clone(router), _ticket: ticket }
    }

    /// Where it is, and the way there.
    pub(super) fn parts(&self) -> (&Slot, &Router) {
        (&self.slot, &self.router)
    }

    /// Ends the request and gives its slot to the next, who needs not wait for the window. Only for a permit with which nothing was started
    /// and nothing will be: a request that may have reached the platform counts there.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use turnstile::{Connection, Node, NodeConfig, RateLimit};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let node = Node::start(NodeConfig::in_memory()).await?;
    /// # let throttler = node.throttler();
    /// let hourly = Connection::new("slack", "acme", RateLimit::new(1, Duration::from_secs(3600))?)?;
    /// let permit = throttler.acquire(&hourly).await?;
    /// permit.give_back();
    /// // Not an hour later, but as soon as the ledger has taken the slot back.
    /// let again = throttler.acquire(&hourly).await?;
    /// # drop(again);
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn give_back(self) {
        self.slot.give_back();
    }

    const fn grant(&self) -> &Grant {
        self.slot.grant()
    }

    /// Which run of which owner has numbered it: arrivals and releases of one connection compare within one tenure.
    #[must_use]
    pub const fn tenure(&self) -> Tenure {
        self.grant().tenure
    }

    /// The request's place in its owner's order of arrival.
    #[must_use]
    pub const fn arrival(&self) -> ArrivalNumber {
        self.grant().arrival
    }

    /// From when on the request waited without a break, in the numbers of arrivals: its arrival, or later if a slot reached it too late or its session
    /// was silent for a while. Whoever was released before that overtook nobody.
    #[must_use]
    pub const fn waits_since(&self) -> ArrivalNumber {
        self.grant().waits_since
    }

    /// The slot's place in its owner's order of release; drawn from the same counter as arrivals.
    #[must_use]
    pub const fn release(&self) -> ReleaseNumber {
        self.grant().release
    }

    /// How long the caller waited.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    /// What the ledger keeps of the limit for this grant's way.
    #[must_use]
    pub const fn margin(&self) -> Margin {
        Margin { delivery: self.grant().charge.delivery, guard: self.grant().guard }
    }

    /// How soon the request must be started to be within the limit; `None` when its limits accept any jitter.
    #[must_use]
    pub fn start_within(&self) -> Option<Duration> {
        let Charge { delivery, .. } = self.grant().charge;
        (!delivery.is_zero()).then(|| delivery.saturating_sub(self.age()))
    }

    /// How long ago its charge was proposed.
    pub(crate) fn age(&self) -> Duration {
        self.router.clock().now().saturating_since(self.grant().proposed_at)
    }
}

/// What a surface needs that tells others of a permit.
#[cfg(feature = "cli")]
impl Permit {
    /// Which request it was granted to.
    pub(crate) const fn request(&self) -> crate::RequestId {
        self.slot.request()
    }
}
