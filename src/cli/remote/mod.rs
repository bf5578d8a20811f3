//! The throttle for a process without a node: a session with one of several nodes, which outlives any of them.
//!
//! ```text
//! Remote::acquire ──► orders ──► Conversation ──► Session stream ──► a node
//!        ◄────── permit ◄──────┘      │
//!                                     └─ the node is gone: the next one, and whoever waits goes there with its age
//! ```
//!
//! Promises: one answer for each acquire, whichever nodes die; a grant that may be too old is not handed out, but asked for again.
//! Must not: decide who is served.

mod conversation;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use self::conversation::Conversation;
use crate::client::{Connection, Margin};
use crate::clock::Clock;
use crate::engine::grant::{ArrivalNumber, ReleaseNumber, RequestId, Tenure};
use crate::engine::time::Timestamp;
use crate::wire::fields::from_key;
use crate::wire::fields::to_limits;
use crate::wire::v1;

/// What an acquire gets instead of a slot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RemoteError {
    /// A node has refused it.
    #[error("{message} ({code})")]
    Refused {
        /// The code of the refusal.
        code: tonic::Code,
        /// What the node said.
        message: String,
    },
    /// Nobody holds the session any more.
    #[error("the session has ended")]
    Ended,
}

/// What the session's task is told. An acquire comes to three of them at most, so what callers hold bounds the channel.
#[derive(Debug)]
enum Order {
    /// Wait for a slot.
    Acquire(Box<Waiting>),
    /// The caller with this number has gone away.
    Leave(u64),
    /// The call is over that was granted in this session under this id.
    Done { session: u64, id: RequestId },
}

/// An acquire that has no answer yet.
#[derive(Debug)]
struct Waiting {
    /// Its place among those of this process.
    number: u64,
    /// By which the nodes know it.
    id: RequestId,
    ask: v1::Acquire,
    began_at: Timestamp,
    /// The tightest delivery bound of its limits; zero when they accept any jitter.
    delivery_bound: Duration,
    reply: oneshot::Sender<Result<RemotePermit, RemoteError>>,
}

/// The way to the session. Cheap to clone; the session ends with the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    orders: mpsc::UnboundedSender<Order>,
    numbers: Arc<AtomicU64>,
    clock: Clock,
}

/// The right to make one request now. Dropping it ends the request; its slot stays used.
#[derive(Debug)]
#[must_use = "a permit is a slot that was paid for"]
pub(crate) struct RemotePermit {
    /// Which run of which owner has numbered it.
    pub(crate) tenure: Tenure,
    /// Its place in its owner's order of arrival.
    pub(crate) arrival: ArrivalNumber,
    /// From when on it waited without a break.
    pub(crate) waits_since: ArrivalNumber,
    /// Its place in its owner's order of release.
    pub(crate) release: ReleaseNumber,
    /// What the ledger keeps of the limit for its way.
    pub(crate) margin: Margin,
    id: RequestId,
    session: u64,
    orders: mpsc::WeakUnboundedSender<Order>,
}

impl Remote {
    /// A session with one of the nodes at these addresses, the first of them first, and the work behind it, which ends when nobody holds
    /// the session any more.
    pub(crate) fn new(addresses: Vec<String>) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (orders, incoming) = mpsc::unbounded_channel();
        let clock = Clock::start();
        let conversation = Conversation::new(addresses, clock, incoming, orders.downgrade());
        (Self { orders, numbers: Arc::default(), clock }, conversation.run())
    }

    /// Waits for a slot of this connection. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`RemoteError`]. Nodes that can't be reached are none: it waits for one that can.
    pub(crate) async fn acquire(&self, connection: &Connection) -> Result<RemotePermit, RemoteError> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let bounds = connection.limits().iter().map(crate::RateLimit::delivery_bound);
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting {
            number,
            id: RequestId::new(rand::random()),
            ask: v1::Acquire {
                key: Some(from_key(connection.key())),
                limits: to_limits(connection.limits()),
                niceness: connection.niceness().get(),
                ..v1::Acquire::default()
            },
            began_at: self.clock.now(),
            delivery_bound: bounds.filter(|bound| !bound.is_zero()).min().unwrap_or_default(),
            reply,
        };
        self.orders.send(Order::Acquire(Box::new(waiting))).map_err(|_| RemoteError::Ended)?;
        let mut caller = Caller { number: Some(number), orders: &self.orders };
        let answer = answer.await.unwrap_or(Err(RemoteError::Ended));
        caller.number = None;
        answer
    }
}

/// Someone who waits: who is dropped before the answer has come leaves the queue.
struct Caller<'a> {
    number: Option<u64>,
    orders: &'a mpsc::UnboundedSender<Order>,
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            // A session that has ended has no queue to leave.
            self.orders.send(Order::Leave(number)).ok();
        }
    }
}

impl Drop for RemotePermit {
    fn drop(&mut self) {
        if let Some(orders) = self.orders.upgrade() {
            orders.send(Order::Done { session: self.session, id: self.id }).ok();
        }
    }
}
