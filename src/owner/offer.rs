//! How an answer travels from an owner to the one who waits.

use ractor::ActorRef;
use tokio::sync::oneshot;

use super::message::Message;
use crate::engine::grant::{Grant, RequestId};
use crate::engine::key::ConnectionKey;
use crate::engine::throttle::Refusal;

/// What an owner says to an acquire.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A slot.
    Granted(Offer),
    /// None, and why.
    Refused(Refusal),
    /// None: the node has too many connections in memory.
    TooManyConnections {
        /// The bound.
        max_connections: usize,
    },
}

/// Where the answer goes. Answers once.
#[derive(Debug)]
pub(crate) struct Reply(oneshot::Sender<Outcome>);

impl Reply {
    /// A reply, and where it arrives.
    pub(crate) fn channel() -> (Self, oneshot::Receiver<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }

    /// Answers. A slot for someone who is gone goes back to its owner.
    pub(crate) fn answer(self, outcome: Outcome) {
        drop(self.0.send(outcome));
    }
}

/// A slot on its way: it goes back to its owner unless it is taken.
#[derive(Debug)]
pub(crate) struct Offer(Option<Slot>);

impl Offer {
    pub(super) const fn new(key: ConnectionKey, request: RequestId, grant: Grant, owner: ActorRef<Message>) -> Self {
        Self(Some(Slot { key, request, grant, owner }))
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
    owner: ActorRef<Message>,
}

impl Slot {
    /// What was granted.
    pub(crate) const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Returns it to its owner: nothing was started with it.
    pub(crate) fn give_back(self) {
        // An owner that is gone gives nothing back: the slot leaves with its window.
        drop(self.owner.cast(Message::GiveBack(self.key, self.request, self.grant)));
    }
}

/// What a surface needs that keeps slots by their names.
#[cfg(feature = "cli")]
impl Slot {
    /// Of which connection.
    pub(crate) const fn key(&self) -> &ConnectionKey {
        &self.key
    }

    /// To which request.
    pub(crate) const fn request(&self) -> RequestId {
        self.request
    }
}
