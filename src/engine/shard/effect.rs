//! What a shard asks about the world, and what it wants done.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::grant::{Epoch, Grant, RequestId};
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::{Proposal, Verdict};
use crate::engine::limiter::Limiter;
use crate::engine::rate::{Limits, RateLimit};
use crate::engine::ring::Ring;
use crate::engine::throttle::Refusal;
use crate::engine::time::{LedgerTime, Timestamp};

/// Who waits for an answer.
pub trait Caller {
    /// Whether it was heard of within `silence`: a slot would reach it in time.
    fn is_present(&self, now: Timestamp, silence: Duration) -> bool;

    /// Whether it has gone: nobody waits for the answer any more.
    fn is_gone(&self) -> bool;
}

/// What a shard reads of its node: the ledger as far as it is applied here, and what the node's other shards take up.
pub trait View {
    /// The newest ring.
    fn ring(&self) -> Arc<Ring>;

    /// The newest stamp, and when it was applied here.
    fn newest_stamp(&self) -> (LedgerTime, Timestamp);

    /// A copy of a connection's limiter, or the number of tracked connections when it is not among them; and the stamp of the newest entry that it has seen.
    fn limiter(&self, key: &ConnectionKey) -> (Result<Limiter, usize>, LedgerTime);

    /// The limits that an operator has set for a connection, as far as they are known here.
    fn policy(&self, key: &ConnectionKey) -> Option<Limits>;

    /// How many connections all shards of this node have in memory.
    fn residents(&self) -> usize;
}

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Effect<T> {
    /// Put this to the ledger, as proposed now.
    Propose(Proposal),
    /// Hand this slot to this waiter.
    Release {
        /// Of which connection.
        key: ConnectionKey,
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
    /// Tell this caller that the node has too many connections in memory.
    TooManyConnections {
        /// Who.
        reply: T,
        /// The bound.
        max_connections: usize,
    },
    /// Let it be known that callers state different limits for this connection.
    LimitsDiffer {
        /// Which.
        key: ConnectionKey,
        /// All of them rule.
        limits: Vec<RateLimit>,
    },
    /// Let it be known that the ring has moved, and that connections in memory go to other owners by it.
    Moved {
        /// The new ring.
        epoch: Epoch,
        /// How many go, some of them as soon as their proposal in flight is answered. Not 0.
        connections: usize,
    },
}

/// A proposal, answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The connection.
    pub key: ConnectionKey,
    /// What the ledger said.
    pub verdict: Verdict,
    /// When the owner proposed it.
    pub proposed_at: Timestamp,
}
