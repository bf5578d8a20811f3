//! The way of an acquire to its owner, and back.
//!
//! The router keeps a pending acquire in its caller's own task until it has its one answer: an owner that crashes or moves costs
//! it a new attempt, at its age, and its caller a pause. A caller that goes away takes its place in the queue with it.
//!
//! Promises: one answer for each acquire; no grant is handed out later than its delivery bound.
//! Must not: decide who is served.

mod adjust;
mod explain;
mod meter;
mod place;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::coop;

use self::meter::Meter;
use self::place::{Owner, Stale};
use crate::clock::{self, Clock};
use crate::consensus::proposer::Proposer;
use crate::engine::cost::Cost;
use crate::engine::grant::{Epoch, RequestId, ShardId};
use crate::engine::key::ConnectionKey;
use crate::engine::rate::{Limits, Niceness};
use crate::engine::ring::Ring;
use crate::engine::throttle::{Patience, Refusal};
use crate::engine::time::Timestamp;
use crate::owner::{Admission, Outcome, OwnersHandle, Slot, Ticket};

use crate::peers::Sessions;

/// How long a try waits for an owner before it counts as out of reach.
const TRY_REACHES_WITHIN: Duration = Duration::from_secs(1);

/// How much longer than its patience an acquire waits for its owner to say so.
const GRACE: Duration = Duration::from_millis(50);

/// How long a node that has stopped may take to say why.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(1);

/// What a caller asks for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Which connection.
    pub key: ConnectionKey,
    /// What makes a retry the same request.
    pub id: RequestId,
    /// Whether the caller chose `id`, and may send it again.
    pub retryable: bool,
    /// 0 is served first.
    pub niceness: Niceness,
    /// What it takes.
    pub cost: Cost,
    /// What the connection may take.
    pub limits: Limits,
    /// How long it waits.
    pub patience: Patience,
    /// How long it has waited already, through another node.
    pub waited: Duration,
}

/// Why an acquire got no slot, or no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RouteError {
    /// The owner said so.
    #[error("refused")]
    Refused(Refusal),
    /// Too many connections are in memory.
    #[error("too many connections: the bound is {max_connections}")]
    TooManyConnections {
        /// The bound.
        max_connections: usize,
    },
    /// Too many acquires of this node have begun and not ended.
    #[error("too many acquires in flight: the bound is {max_in_flight}")]
    TooManyInFlight {
        /// The bound.
        max_in_flight: usize,
    },
    /// The owner did not answer in time.
    #[error("the connection's owner did not answer within {waited:?}")]
    OutOfReach {
        /// How long the caller waited.
        waited: Duration,
    },
    /// The node has stopped.
    #[error("the node has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

/// Why a node serves no more; `None` while it does.
pub(crate) type Stopped = watch::Receiver<Option<Arc<str>>>;

/// Routes the acquires of one node.
#[derive(Debug)]
pub(crate) struct Router {
    owners: OwnersHandle,
    ring: watch::Receiver<Arc<Ring>>,
    sessions: Sessions,
    proposer: Proposer,
    stopped: Stopped,
    clock: Clock,
    admission: Admission,
    runtime: Handle,
    meter: Meter,
}

/// A slot, and what its holder takes up.
#[derive(Debug)]
pub(crate) struct Routed {
    /// The slot.
    pub slot: Slot,
    /// Given back when the request has ended.
    pub ticket: Ticket,
    /// How long the caller has waited.
    pub waited: Duration,
}

impl Router {
    /// A router over these owners.
    pub(crate) fn new(
        owners: OwnersHandle,
        ring: watch::Receiver<Arc<Ring>>,
        sessions: Sessions,
        proposer: Proposer,
        stopped: Stopped,
        clock: Clock,
        max_in_flight: usize,
    ) -> Self {
        let (admission, runtime) = (Admission::new(max_in_flight), Handle::current());
        Self { owners, ring, sessions, proposer, stopped, clock, admission, runtime, meter: Meter::new() }
    }

    /// The runtime in which the node was started.
    pub(crate) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The clock by which patience and grants are judged.
    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    /// The owners of this node.
    pub(crate) const fn owners(&self) -> &OwnersHandle {
        &self.owners
    }

    /// Returns when the node serves no more. Cancel-safe.
    #[cfg(feature = "cli")]
    pub(crate) async fn stopped(&self) {
        // A node that is gone without a reason serves no more, either.
        drop(self.stopped.clone().wait_for(Option::is_some).await);
    }

    /// Waits for a slot. It is sent to its owner when it is polled first: one task's acquires arrive in the order in which it polls them. Dropping the future
    /// leaves the queue.
    ///
    /// # Errors
    /// [`RouteError`], once, when there will be none.
    pub(crate) async fn acquire(&self, request: &Request) -> Result<Routed, RouteError> {
        let counted = self.meter.begin();
        // One that was put off because its task has used up its budget would be overtaken. It is never ready at once, so it keeps nobody from their turn.
        let routed = coop::unconstrained(self.acquire_uncounted(request)).await;
        counted.end(request.niceness, &routed);
        routed
    }

    async fn acquire_uncounted(&self, request: &Request) -> Result<Routed, RouteError> {
        let ticket = self.admit()?;
        let now = self.clock.now();
        let began_at = now.saturating_sub(request.waited);
        let ends_at = match request.patience {
            Patience::Never => Some(now + TRY_REACHES_WITHIN),
            Patience::Endless | Patience::Deadline(_) | Patience::MaxWait(_) => request.patience.ends_at().map(|at| at + GRACE),
        };
        let mut stopped = self.stopped.clone();
        let answer = tokio::select! {
            // An owner's answer that comes late is an answer still.
            biased;
            answer = self.attempt(request, began_at, ticket) => answer,
            // The owner ends its waiters itself; this is for an owner that can't.
            () = self.sleep_until(ends_at) => Err(self.ran_out(request, began_at)),
            _ = stopped.wait_for(Option::is_some) => Err(lost("it was shut down")),
        };
        match answer {
            Ok(routed) => Ok(routed),
            Err(error) => Err(Box::pin(self.explained(error)).await),
        }
    }

    fn admit(&self) -> Result<Ticket, RouteError> {
        self.admission.admit().map_err(|max_in_flight| RouteError::TooManyInFlight { max_in_flight })
    }

    async fn sleep_until(&self, ends_at: Option<Timestamp>) {
        match ends_at {
            Some(at) => self.clock.sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    fn ran_out(&self, request: &Request, began_at: Timestamp) -> RouteError {
        let waited = self.clock.now().saturating_since(began_at);
        match request.patience {
            Patience::Deadline(_) => RouteError::Refused(Refusal::Deadline { waited }),
            Patience::Endless | Patience::MaxWait(_) | Patience::Never => RouteError::OutOfReach { waited },
        }
    }

    /// Asks the owner, whoever it is, until one has answered.
    async fn attempt(&self, request: &Request, began_at: Timestamp, mut ticket: Ticket) -> Result<Routed, RouteError> {
        let mut owner = self.owner_of(&request.key).await?;
        // A slot that came too late: what makes the next attempt a return to the old place.
        let mut stale: Option<Box<Stale>> = None;
        let mut is_return = !request.waited.is_zero();
        loop {
            let returns_from = is_return.then_some(began_at);
            let mut place = self.take_place(request, &owner, returns_from, stale.take().map(|stale| *stale), ticket);
            let (outcome, kept) = place.outcome().await;
            ticket = kept.ok_or_else(|| lost("its ticket was given back"))?;
            match outcome {
                Some(Outcome::Granted(offer)) => {
                    let slot = offer.take().ok_or_else(|| lost("its slot was taken by another"))?;
                    let now = self.clock.now();
                    if !slot.grant().is_stale(now) {
                        return Ok(Routed { slot, ticket, waited: now.saturating_since(began_at) });
                    }
                    let release = slot.grant().release.get();
                    tracing::debug!(key = %request.key, release, "a grant came too late; queueing again");
                    self.meter.too_late();
                    stale = Some(Box::new(Stale { slot, seat: place.into_seat() }));
                }
                Some(Outcome::Refused(Refusal::Moved)) => owner = self.owner_of(&request.key).await?,
                Some(Outcome::MovedBy(epoch)) => {
                    Box::pin(self.await_ring(epoch)).await?;
                    owner = self.owner_of(&request.key).await?;
                }
                Some(Outcome::Refused(refusal)) => return Err(RouteError::Refused(refusal)),
                Some(Outcome::TooManyConnections { max_connections }) => {
                    return Err(RouteError::TooManyConnections { max_connections });
                }
                Some(Outcome::TooManyInFlight { max_in_flight }) => return Err(RouteError::TooManyInFlight { max_in_flight }),
                Some(Outcome::Adjusted(_) | Outcome::Explained(_)) | None => {
                    owner = Box::pin(self.successor(&request.key, owner)).await?
                }
            }
            is_return = true;
        }
    }

    /// Whom to ask when an owner has ended without an answer.
    async fn successor(&self, key: &ConnectionKey, gone: Owner) -> Result<Owner, RouteError> {
        match gone {
            Owner::Here(id, shard) => {
                let mut owners = self.owners.clone();
                let next = owners.successor(id, &shard).await.ok_or_else(|| lost("its owners have ended"))?;
                Ok(Owner::Here(id, next))
            }
            Owner::There(_) => self.owner_of(key).await,
        }
    }

    /// Waits until this node has applied a ring that another has named.
    async fn await_ring(&self, epoch: Epoch) -> Result<(), RouteError> {
        let mut ring = self.ring.clone();
        ring.wait_for(|ring| ring.epoch() >= epoch).await.map_err(|_| lost("its consensus has ended"))?;
        Ok(())
    }

    /// The owner by the newest ring; waits for a ring that has one, and for the way to it.
    async fn owner_of(&self, key: &ConnectionKey) -> Result<Owner, RouteError> {
        let owner = self.ring.borrow().owner(key);
        match self.here(owner) {
            Some(found) => Ok(found),
            // Boxed, as all that few acquires come to: each of them would have room for it otherwise.
            None => Box::pin(self.owner_elsewhere(key)).await,
        }
    }

    fn here(&self, owner: Option<ShardId>) -> Option<Owner> {
        owner.and_then(|id| self.owners.shard(id).map(|shard| Owner::Here(id, shard)))
    }

    async fn owner_elsewhere(&self, key: &ConnectionKey) -> Result<Owner, RouteError> {
        let mut ring = self.ring.clone();
        loop {
            let owner = ring.borrow_and_update().owner(key);
            if let Some(found) = self.here(owner) {
                return Ok(found);
            }
            let session = async {
                match owner {
                    Some(id) => self.sessions.to(id.node).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                session = session => return Ok(Owner::There(session)),
                changed = ring.changed() => changed.map_err(|_| lost("its consensus has ended"))?,
            }
        }
    }

    /// The same error, but with what the node announces when it stops: what was found here is what came of that, and may be found first.
    async fn explained(&self, error: RouteError) -> RouteError {
        if !matches!(error, RouteError::Stopped { .. }) {
            return error;
        }
        let mut stopped = self.stopped.clone();
        match clock::timeout(ANNOUNCED_WITHIN, stopped.wait_for(Option::is_some)).await {
            Ok(Ok(announced)) => announced.as_deref().map_or(error, |reason| RouteError::Stopped { reason: reason.to_owned() }),
            Ok(Err(_)) | Err(_) => error,
        }
    }
}

/// Why there is no answer, as far as it was found here.
fn lost(found: &str) -> RouteError {
    RouteError::Stopped { reason: found.to_owned() }
}
