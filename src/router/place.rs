//! Where an acquire waits: at an actor of this node, or through a session at another.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::oneshot;

use super::{Request, Router};
use crate::engine::grant::ShardId;
use crate::engine::throttle::{Acquire, Patience};
use crate::engine::time::Timestamp;
use crate::owner::{Message, Outcome, Reply, Slot, Ticket};
use crate::peers::Session;
use crate::wire::peer::{PatienceLeft, RoutedAcquire};

/// The owner of a connection, as the ring and the sessions say.
#[derive(Debug, Clone)]
pub(super) enum Owner {
    /// An actor of this node.
    Here(ShardId, ActorRef<Message>),
    /// Another node.
    There(Arc<Session>),
}

/// Where an acquire waits.
#[derive(Debug)]
pub(super) enum Seat {
    Here(ActorRef<Message>),
    There(Arc<Session>, u64),
}

/// Where an acquire stands: dropping it takes the waiter out of the queue.
pub(super) struct Place<'a> {
    request: &'a Request,
    seat: Seat,
    answer: oneshot::Receiver<Outcome>,
    /// While it waits. What its caller gets, or what the owner gives back when it has read that nobody waits any more.
    ticket: Option<Ticket>,
}

impl Place<'_> {
    /// The owner's answer, and the ticket; `None` for the answer when the owner is gone.
    pub(super) async fn outcome(&mut self) -> (Option<Outcome>, Option<Ticket>) {
        let outcome = (&mut self.answer).await.ok();
        (outcome, self.ticket.take())
    }
}

impl<'a> Place<'a> {
    /// Where it was, after it has been answered.
    pub(super) fn into_seat(self) -> Seat {
        match &self.seat {
            Seat::Here(shard) => Seat::Here(shard.clone()),
            Seat::There(session, number) => Seat::There(Arc::clone(session), *number),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            // Closed first: by that the owner tells this waiter from a retry that took its place.
            self.answer.close();
            match &self.seat {
                // An owner that is gone has no queue to leave.
                Seat::Here(shard) => drop(shard.cast(Message::Cancel(self.request.key.clone(), self.request.id, ticket))),
                Seat::There(session, number) => session.cancel(*number, ticket),
            }
        }
    }
}

/// A slot that came too late, and where to say so.
pub(super) struct Stale {
    pub(super) slot: Slot,
    pub(super) seat: Seat,
}

impl Router {
    /// Sends the acquire to its owner. It began to wait at `began_at` if there was an owner before; a stale slot goes back to the owner that it came from.
    pub(super) fn take_place<'a>(
        &self,
        request: &'a Request,
        owner: &Owner,
        began_at: Option<Timestamp>,
        stale: Option<Stale>,
        ticket: Ticket,
    ) -> Place<'a> {
        let now = self.clock.now();
        let waited = began_at.map(|at| now.saturating_since(at)).unwrap_or_default();
        let (seat, answer) = match (stale, owner) {
            (Some(Stale { slot, seat: Seat::There(session, number) }), _) => {
                let answer = session.too_late(number, &self.to_routed(request, began_at));
                slot.forget();
                (Seat::There(session, number), answer)
            }
            (Some(Stale { slot, seat: Seat::Here(shard) }), _) => {
                let (reply, answer) = Reply::channel();
                let acquire = to_acquire(request, waited, reply);
                drop(shard.cast(Message::Requeue(request.key.clone(), *slot.grant(), acquire)));
                slot.forget();
                (Seat::Here(shard), answer)
            }
            (None, Owner::Here(_, shard)) => {
                let (reply, answer) = Reply::channel();
                let acquire = to_acquire(request, waited, reply);
                // An owner that is gone takes the reply with it, so the answer is lost at once.
                drop(shard.cast(Message::Acquire(request.key.clone(), acquire, now)));
                (Seat::Here(shard.clone()), answer)
            }
            (None, Owner::There(session)) => {
                let (number, answer) = session.acquire(&self.to_routed(request, began_at));
                (Seat::There(Arc::clone(session), number), answer)
            }
        };
        Place { request, seat, answer, ticket: Some(ticket) }
    }

    fn to_routed(&self, request: &Request, began_at: Option<Timestamp>) -> RoutedAcquire {
        let now = self.clock.now();
        RoutedAcquire {
            key: request.key.clone(),
            epoch: self.ring.borrow().epoch(),
            id: request.id,
            retryable: request.retryable,
            niceness: request.niceness,
            cost: request.cost,
            limits: request.limits.clone(),
            began_at,
            patience: match request.patience {
                Patience::Endless => PatienceLeft::Endless,
                Patience::Deadline(at) => PatienceLeft::Deadline(at.saturating_since(now)),
                Patience::MaxWait(at) => PatienceLeft::MaxWait(at.saturating_since(now)),
                Patience::Never => PatienceLeft::Never,
            },
        }
    }
}

/// What the owner is asked; `waited` at owners before it.
fn to_acquire(request: &Request, waited: Duration, reply: Reply) -> Acquire<Reply> {
    Acquire {
        request: request.id,
        retryable: request.retryable,
        niceness: request.niceness,
        cost: request.cost,
        limits: request.limits.clone(),
        waited,
        patience: request.patience,
        reply,
    }
}
