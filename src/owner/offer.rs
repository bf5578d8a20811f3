//! How an answer travels from an owner to the one who waits.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::{mpsc, oneshot};

use super::message::Message;
use super::presence::Presence;
use crate::engine;
use crate::engine::grant::{Epoch, Grant, RequestId};
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::Adjusted;
use crate::engine::throttle::{Explanation, Refusal};
use crate::engine::time::Timestamp;

/// What an owner says to an acquire.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A slot.
    Granted(Offer),
    /// None, and why.
    Refused(Refusal),
    /// None: another node is the owner, by a ring at least as new as this one.
    MovedBy(Epoch),
    /// None: the node has too many connections in memory.
    TooManyConnections {
        /// The bound.
        max_connections: usize,
    },
    /// None: too many acquires of this node are open at the owner.
    TooManyInFlight {
        /// The bound.
        max_in_flight: usize,
    },
    /// It was an adjustment, and this became of it.
    Adjusted(Adjusted),
    /// It was a question how a request stands, which may not wait here.
    Explained(Option<Explanation>),
}

/// Where the answer goes. Answers once; dropped without an answer, it says that there is none.
#[derive(Debug)]
pub(crate) struct Reply(Option<To>);

#[derive(Debug)]
enum To {
    /// A caller on this node.
    Caller(oneshot::Sender<Outcome>),
    /// A session with a router, and the number of its acquire there.
    Session {
        number: u64,
        outcomes: mpsc::UnboundedSender<(u64, Option<Outcome>)>,
        caller: oneshot::Sender<()>,
        presence: Arc<Presence>,
    },
}

/// Who waits behind a session: gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Caller(#[expect(dead_code, reason = "what counts is that it lives")] oneshot::Receiver<()>);

impl Reply {
    /// A reply, and where it arrives.
    pub(crate) fn channel() -> (Self, oneshot::Receiver<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(To::Caller(sender))), receiver)
    }

    /// A reply to a session's acquire of this number.
    pub(crate) fn session(
        number: u64,
        outcomes: mpsc::UnboundedSender<(u64, Option<Outcome>)>,
        presence: Arc<Presence>,
    ) -> (Self, Caller) {
        let (caller, waits) = oneshot::channel();
        (Self(Some(To::Session { number, outcomes, caller, presence })), Caller(waits))
    }

    /// Answers. A slot for someone who is gone goes back to its owner.
    pub(crate) fn answer(mut self, outcome: Outcome) {
        match self.0.take() {
            Some(To::Caller(sender)) => drop(sender.send(outcome)),
            Some(To::Session { number, outcomes, .. }) => drop(outcomes.send((number, Some(outcome)))),
            None => {}
        }
    }
}

impl engine::shard::Caller for Reply {
    /// A caller on this node always is.
    fn is_present(&self, now: Timestamp, silence: Duration) -> bool {
        match &self.0 {
            Some(To::Session { presence, .. }) => presence.is_heard(now, silence),
            Some(To::Caller(_)) | None => true,
        }
    }

    fn is_gone(&self) -> bool {
        match &self.0 {
            Some(To::Caller(sender)) => sender.is_closed(),
            Some(To::Session { caller, .. }) => caller.is_closed(),
            None => true,
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(To::Session { number, outcomes, .. }) = self.0.take() {
            drop(outcomes.send((number, None)));
        }
    }
}

/// An owner on another node, as whoever holds one of its slots sees it.
pub(crate) trait RemoteOwner: Debug + Send + Sync {
    /// Nothing was started with the slot of this acquire.
    fn give_back(&self, number: u64);
    /// The request of this acquire is over.
    fn done(&self, number: u64);
}

/// Where a slot came from.
#[derive(Debug, Clone)]
enum Origin {
    Shard(ActorRef<Message>),
    Remote(Arc<dyn RemoteOwner>, u64),
}

/// A slot on its way: it goes back to its owner unless it is taken.
#[derive(Debug)]
pub(crate) struct Offer(Option<Slot>);

impl Offer {
    pub(super) const fn new(key: ConnectionKey, request: RequestId, grant: Grant, owner: ActorRef<Message>) -> Self {
        Self(Some(Slot { key, request, grant, origin: Some(Origin::Shard(owner)) }))
    }

    /// A slot of the acquire with this number in a session.
    pub(crate) fn remote(key: ConnectionKey, request: RequestId, grant: Grant, owner: Arc<dyn RemoteOwner>, number: u64) -> Self {
        Self(Some(Slot { key, request, grant, origin: Some(Origin::Remote(owner, number)) }))
    }

    /// The slot, now its taker's. `None` for one that was taken before, which cannot be: taking consumes the offer.
    pub(crate) fn take(mut self) -> Option<Slot> {
        self.0.take()
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.give_back();
        }
    }
}

/// A slot that was taken. It stays used unless it is given back; that consumes it, so it happens once.
#[derive(Debug)]
pub(crate) struct Slot {
    key: ConnectionKey,
    request: RequestId,
    grant: Grant,
    /// `None` once the owner has heard of its end.
    origin: Option<Origin>,
}

impl Slot {
    /// What was granted.
    pub(crate) const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Of which connection.
    pub(crate) const fn key(&self) -> &ConnectionKey {
        &self.key
    }

    /// To which request.
    pub(crate) const fn request(&self) -> RequestId {
        self.request
    }

    /// Returns it to its owner: nothing was started with it. An owner that is gone takes nothing back: the slot leaves with its window.
    pub(crate) fn give_back(mut self) {
        match self.origin.take() {
            Some(Origin::Shard(owner)) => drop(owner.cast(Message::GiveBack(self.key.clone(), self.request, self.grant))),
            Some(Origin::Remote(owner, number)) => owner.give_back(number),
            None => {}
        }
    }

    /// Lets go of it without a word: its owner hears of it in another way.
    pub(crate) fn forget(mut self) {
        self.origin = None;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(Origin::Remote(owner, number)) = self.origin.take() {
            owner.done(number);
        }
    }
}
