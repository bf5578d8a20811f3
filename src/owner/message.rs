//! What goes into a shard's mailbox.

use tokio::sync::oneshot;

use super::admission::Ticket;
use super::look::Look;
use super::offer::Reply;
use super::ranking::Ranking;
use super::survey::Survey;
use crate::engine::grant::{Grant, RequestId};
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::Adjusted;
use crate::engine::shard::{ConnectionReport, Settled};
use crate::engine::throttle::Acquire;
use crate::engine::time::{LedgerTime, Timestamp};

/// What a shard is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// Queue this, sent at that moment, or refuse it.
    Acquire(ConnectionKey, Acquire<Reply>, Timestamp),
    /// Its caller is gone: takes the waiter out, unless another caller has taken its place. The ticket is given back when that is done.
    Cancel(ConnectionKey, RequestId, Ticket),
    /// A slot came too late to be started; its waiter comes back.
    Requeue(ConnectionKey, Grant, Acquire<Reply>),
    /// A slot was never started.
    GiveBack(ConnectionKey, RequestId, Grant),
    /// The ledger has answered.
    Settled(Vec<Settled>),
    /// How does this request stand?
    Explain(ConnectionKey, RequestId, Reply),
    /// The ledger has changed this connection's limiter at that moment, for nobody who waits.
    Adjusted(ConnectionKey, LedgerTime, Adjusted),
    /// The ring has moved.
    RingChanged,
    /// A router is heard again that was silent when there was a slot for one of its waiters.
    Recall,
    /// Operators have set other limits.
    PoliciesChanged,
    /// How is this connection?
    Inspect(ConnectionKey, oneshot::Sender<Option<ConnectionReport>>),
    /// Some connection wanted to be looked at by now.
    Wake,
    /// What is going on here?
    Report(oneshot::Sender<ShardReport>),
    /// Look at some of your connections, for figures of all.
    Survey(Look<Survey>),
    /// The same, for those that are the busiest.
    Rank(Look<Ranking>),
}

/// What a shard has in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardReport {
    /// Connections with waiters or a window that isn't empty.
    pub connections: usize,
    /// Waiters of all of them.
    pub waiters: usize,
}
