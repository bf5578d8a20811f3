//! The owner's end of a session: the acquires of another node's workers.
//!
//! Promises: what a session has open is bounded; when it ends, whoever waits leaves the queue, and what was granted stays used, for it may have
//! reached a platform. A message that comes twice, or never should have come, changes nothing. Nothing that one acquire waits for delays the others,
//! nor the router's stamps.

mod aside;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::local::Local;
use super::parked::{Parked, Released};
use super::router_clock::RouterClock;
use crate::engine::grant::NodeId;
use crate::engine::throttle::{Acquire, Patience, Refusal};
use crate::owner::{Admission, Caller, Message, Outcome, Presence, Reply, Slot, Ticket};
use crate::wire::adjustment::adjustment;
use crate::wire::explanation;
use crate::wire::fields::BadField;
use crate::wire::peer::{self, PatienceLeft, RoutedAcquire, RoutedRefusal};
use crate::wire::v1;
use crate::wire::v1::owner_message::Message as OwnerSays;
use crate::wire::v1::router_message::Message as RouterSays;

/// The most answers in one frame, and the most that are taken from the owners before a frame is on its way.
const MAX_ANSWERS_PER_FRAME: usize = 1024;

/// How many answers may wait for a router that does not take them before it is listened to no more.
const MAX_UNSENT: usize = 4 * MAX_ANSWERS_PER_FRAME;

/// What a router asks for.
#[derive(Debug)]
struct Asked {
    acquire: RoutedAcquire,
    /// How long it waits, by this node's clock: a slot that comes too late gives nobody more time.
    patience: Patience,
    ticket: Ticket,
}

/// An acquire of the session.
#[derive(Debug)]
enum Open {
    /// In the queue of this actor.
    Waiting { asked: Asked, shard: ActorRef<Message>, caller: Caller },
    /// An adjustment that is being committed, or a question.
    Aside,
    /// Its slot is at the router.
    Granted { asked: Asked, slot: Slot },
}

impl Asked {
    /// What the actor is asked.
    fn to_acquire(&self, waited: Duration, reply: Reply) -> Acquire<Reply> {
        let RoutedAcquire { id, retryable, niceness, cost, ref limits, .. } = self.acquire;
        let (limits, patience) = (limits.clone(), self.patience);
        Acquire { request: id, retryable, niceness, cost, limits, waited, patience, reply }
    }
}

/// One session, seen from the owner.
pub(super) struct Serving<'a> {
    local: &'a Local,
    router: NodeId,
    admission: Admission,
    open: HashMap<u64, Open>,
    /// Those whose ring is on its way.
    parked: Parked<Asked>,
    /// Where the owners answer. Each that is open is answered once, so no more are under way than the session may have open, and those that were
    /// cancelled since: while more wait here than that, nothing is read that could end one and open another.
    replies: mpsc::UnboundedSender<(u64, Option<Outcome>)>,
    router_clock: RouterClock,
    /// Noted with every frame, whatever else is going on.
    presence: Arc<Presence>,
    frame: Vec<v1::OwnerMessage>,
}

impl<'a> Serving<'a> {
    /// A session, and where its owners' answers arrive.
    pub(super) fn new(
        local: &'a Local,
        router: NodeId,
        router_clock: RouterClock,
    ) -> (Self, mpsc::UnboundedReceiver<(u64, Option<Outcome>)>) {
        let (replies, outcomes) = mpsc::unbounded_channel();
        let admission = Admission::new(local.max_in_flight);
        (
            Self {
                local,
                router,
                admission,
                open: HashMap::new(),
                parked: Parked::new(local.rings.clone(), local.clock),
                replies,
                router_clock,
                presence: Arc::new(Presence::new(local.clock.now())),
                frame: Vec::new(),
            },
            outcomes,
        )
    }

    /// Serves until the router ends the session, or is gone.
    pub(super) async fn run(
        &mut self,
        mut frames: Streaming<v1::RouteRequest>,
        mut outcomes: mpsc::UnboundedReceiver<(u64, Option<Outcome>)>,
        answers: mpsc::Sender<Result<v1::RouteResponse, Status>>,
    ) {
        loop {
            let listens = self.frame.len() < MAX_UNSENT && outcomes.len() <= self.local.max_in_flight;
            // All arms are cancel-safe: none takes anything before it is ready.
            tokio::select! {
                frame = frames.message(), if listens => {
                    if let Err(end) = self.read(frame) {
                        if let Some(status) = end {
                            drop(answers.send(Err(status)).await);
                        }
                        return;
                    }
                }
                Some((number, outcome)) = outcomes.recv(), if self.frame.len() < MAX_ANSWERS_PER_FRAME => {
                    self.answered(number, outcome);
                }
                released = self.parked.released() => self.unpark(released),
                place = answers.reserve(), if !self.frame.is_empty() => match place {
                    Ok(place) => place.send(Ok(self.next_frame())),
                    Err(_) => return,
                },
            }
            while self.frame.len() < MAX_ANSWERS_PER_FRAME
                && let Ok((number, outcome)) = outcomes.try_recv()
            {
                self.answered(number, outcome);
            }
            // At once if there is a place; else whatever comes meanwhile goes with it.
            if !self.frame.is_empty()
                && let Ok(place) = answers.try_reserve()
            {
                place.send(Ok(self.next_frame()));
            }
        }
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// When the session ends, with what to tell the router.
    fn read(&mut self, frame: Result<Option<v1::RouteRequest>, Status>) -> Result<(), Option<Status>> {
        let frame = frame.map_err(|status| {
            tracing::debug!(router = %self.router, %status, "a session was lost");
            None
        })?;
        let frame = frame.ok_or(None)?;
        self.local.peers.check_member(frame.sender.as_ref()).map_err(Some)?;
        self.observe(frame.stamp_nanos);
        for message in frame.messages {
            self.hear(message).map_err(|error| {
                // No router of this version sends such: its node is out of order.
                tracing::error!(router = %self.router, %error, "a message does not parse; its session ends");
                Some(Status::invalid_argument(error.to_string()))
            })?;
        }
        Ok(())
    }

    fn next_frame(&mut self) -> v1::RouteResponse {
        let rest = self.frame.split_off(self.frame.len().min(MAX_ANSWERS_PER_FRAME));
        let messages = std::mem::replace(&mut self.frame, rest);
        v1::RouteResponse { sender: Some(self.local.peers.sender(self.router)), messages }
    }

    fn observe(&mut self, stamp_nanos: u64) {
        let now = self.local.clock.now();
        if self.presence.hear(now) {
            self.local.owners.recall();
        }
        self.router_clock.observe(now, stamp_nanos, !self.open.is_empty());
    }

    fn hear(&mut self, message: v1::RouterMessage) -> Result<(), BadField> {
        let v1::RouterMessage { number, message } = message;
        match (message, self.open.remove(&number)) {
            (Some(RouterSays::Cancel(_)), None) => drop(self.parked.remove(number)),
            // Said twice.
            (_, None) if self.parked.has(number) => {}
            (Some(RouterSays::Acquire(acquire)), None) => self.acquire(number, peer::acquire(acquire)?),
            (Some(RouterSays::Adjust(adjust)), None) => self.adjust(number, adjustment(adjust)?),
            (Some(RouterSays::Explain(asked)), None) => self.explain(number, explanation::question(asked)?),
            (Some(RouterSays::Cancel(_)), Some(open)) => self.leave(open),
            (Some(RouterSays::TooLate(_)), Some(Open::Granted { asked, slot })) => self.requeue(number, asked, slot),
            (Some(RouterSays::GiveBack(_)), Some(Open::Granted { slot, .. })) => slot.give_back(),
            (Some(RouterSays::Done(_)), Some(Open::Granted { .. })) => {}
            // Said twice, or about something that is over.
            (_, Some(open)) => drop(self.open.insert(number, open)),
            (_, None) => {}
        }
        Ok(())
    }

    fn acquire(&mut self, number: u64, acquire: RoutedAcquire) {
        let now = self.local.clock.now();
        let patience = match acquire.patience {
            PatienceLeft::Endless => Patience::Endless,
            PatienceLeft::Deadline(left) => Patience::Deadline(now + left),
            PatienceLeft::MaxWait(left) => Patience::MaxWait(now + left),
            PatienceLeft::Never => Patience::Never,
        };
        let ticket = match self.admission.admit() {
            Ok(ticket) => ticket,
            Err(max_in_flight) => return self.refuse(number, &RoutedRefusal::TooManyInFlight(max_in_flight)),
        };
        let (epoch, asked) = (acquire.epoch, Asked { acquire, patience, ticket });
        if self.parked.knows(epoch) {
            self.enqueue(number, asked);
        } else {
            self.parked.park(number, epoch, asked);
        }
    }

    fn unpark(&mut self, released: Vec<(u64, Released<Asked>)>) {
        for (number, released) in released {
            match released {
                Released::Known(asked) => self.enqueue(number, asked),
                Released::TooLate(Asked { acquire, .. }) => {
                    tracing::debug!(router = %self.router, epoch = acquire.epoch.0.0, "a ring that a router has seen did not arrive in time");
                    self.refuse(number, &RoutedRefusal::Moved(self.local.epoch()));
                }
            }
        }
    }

    fn enqueue(&mut self, number: u64, asked: Asked) {
        let Some(shard) = self.local.shard_of(&asked.acquire.key) else {
            return self.refuse(number, &RoutedRefusal::Moved(self.local.epoch()));
        };
        let (reply, caller) = self.reply(number);
        let now = self.local.clock.now();
        let waited = asked.acquire.began_at.map(|at| self.router_clock.waited_since(at, now)).unwrap_or_default();
        drop(shard.cast(Message::Acquire(asked.acquire.key.clone(), asked.to_acquire(waited, reply), now)));
        self.open.insert(number, Open::Waiting { asked, shard, caller });
    }

    fn requeue(&mut self, number: u64, asked: Asked, slot: Slot) {
        let Some(shard) = self.local.shard_of(&asked.acquire.key) else {
            slot.give_back();
            return self.refuse(number, &RoutedRefusal::Moved(self.local.epoch()));
        };
        let (reply, caller) = self.reply(number);
        let waited = self.local.clock.now().saturating_since(slot.grant().arrived_at);
        drop(shard.cast(Message::Requeue(asked.acquire.key.clone(), *slot.grant(), asked.to_acquire(waited, reply))));
        slot.forget();
        self.open.insert(number, Open::Waiting { asked, shard, caller });
    }

    fn reply(&self, number: u64) -> (Reply, Caller) {
        Reply::session(number, self.replies.clone(), Arc::clone(&self.presence))
    }

    fn answered(&mut self, number: u64, outcome: Option<Outcome>) {
        let Some(open) = self.open.remove(&number) else {
            // Cancelled: an offer that nobody takes goes back by itself.
            return;
        };
        let asked = match open {
            Open::Waiting { asked, .. } => asked,
            Open::Aside => return self.answered_aside(number, outcome.as_ref()),
            // A slot is answered once.
            granted @ Open::Granted { .. } => {
                self.open.insert(number, granted);
                return;
            }
        };
        match outcome {
            Some(Outcome::Granted(offer)) => {
                let Some(slot) = offer.take() else { return };
                let granted = peer::from_grant(slot.grant(), self.router_clock.newest_nanos(), self.local.clock.now());
                self.open.insert(number, Open::Granted { asked, slot });
                self.say(number, granted);
            }
            Some(Outcome::Refused(Refusal::Moved) | Outcome::MovedBy(_) | Outcome::Adjusted(_) | Outcome::Explained(_))
            | None => {
                // Of a shard that crashed, too: its successor is asked the same way.
                self.refuse(number, &RoutedRefusal::Moved(self.local.epoch()));
            }
            Some(Outcome::Refused(refusal)) => self.refuse(number, &RoutedRefusal::Refusal(refusal)),
            Some(Outcome::TooManyConnections { max_connections }) => {
                self.refuse(number, &RoutedRefusal::TooManyConnections(max_connections));
            }
            Some(Outcome::TooManyInFlight { max_in_flight }) => {
                self.refuse(number, &RoutedRefusal::TooManyInFlight(max_in_flight))
            }
        }
    }

    fn refuse(&mut self, number: u64, refusal: &RoutedRefusal) {
        self.say(number, peer::from_refusal(refusal));
    }

    fn say(&mut self, number: u64, message: OwnerSays) {
        self.frame.push(v1::OwnerMessage { number, message: Some(message) });
    }

    /// Takes an acquire out of the queue, or its slot back: who cancels has started nothing.
    fn leave(&self, open: Open) {
        match open {
            Open::Waiting { asked: Asked { acquire, ticket, .. }, shard, caller } => {
                // First: by that the owner tells this waiter from a retry that took its place.
                drop(caller);
                drop(shard.cast(Message::Cancel(acquire.key, acquire.id, ticket)));
            }
            Open::Granted { slot, .. } => slot.give_back(),
            // It is as good as committed.
            Open::Aside => {}
        }
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        #[expect(clippy::iter_over_hash_type, reason = "they leave together: no order is a better one")]
        for (_, open) in self.open.drain() {
            if let Open::Waiting { asked: Asked { acquire, ticket, .. }, shard, caller } = open {
                drop(caller);
                drop(shard.cast(Message::Cancel(acquire.key, acquire.id, ticket)));
            }
        }
    }
}
