//! The router's end of a session: acquires for connections that another node owns, all in one stream.
//!
//! Promises: each acquire gets one answer, or loses its reply with the session; a grant is never taken for younger than it is.
//! Must not: try again. The router does, wherever the ring sends it then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::clock::Clock;
use crate::engine::grant::{Epoch, NodeId, RequestId};
use crate::engine::key::ConnectionKey;
use crate::engine::rate::{Cost, Niceness, RateLimit};
use crate::owner::{Offer, Outcome, RemoteOwner};
use crate::wire::fields::to_span;
use crate::wire::peer::{self, RoutedAcquire, RoutedAnswer, RoutedRefusal};
use crate::wire::v1;
use crate::wire::v1::router_message::Message as RouterSays;

/// How often the router says that it is there while nobody waits.
const IDLE_STAMP_EVERY: Duration = Duration::from_secs(1);

/// The most messages in one frame.
const MAX_MESSAGES_PER_FRAME: usize = 1024;

/// What waits for an answer.
#[derive(Debug)]
struct Open {
    reply: oneshot::Sender<Outcome>,
    key: ConnectionKey,
    id: RequestId,
    niceness: Niceness,
    cost: Cost,
    /// The tightest delivery bound of its limits.
    bound: Option<Duration>,
}

impl Open {
    fn of(acquire: &RoutedAcquire) -> (Self, oneshot::Receiver<Outcome>) {
        let (reply, answer) = oneshot::channel();
        let bound = acquire.limits.iter().map(RateLimit::delivery_bound).filter(|bound| !bound.is_zero()).min();
        let RoutedAcquire { key, id, niceness, cost, .. } = acquire.clone();
        (Self { reply, key, id, niceness, cost, bound }, answer)
    }
}

#[derive(Debug, Default)]
struct State {
    outbox: Vec<v1::RouterMessage>,
    open: HashMap<u64, Open>,
    last_number: u64,
    /// The tightest delivery bound among those that are open, or were since none was.
    tightest: Option<Duration>,
    is_over: bool,
}

/// A session with one run of another node.
#[derive(Debug)]
pub(crate) struct Session {
    node: NodeId,
    clock: Clock,
    state: Mutex<State>,
    filled: Notify,
    over: Notify,
}

impl Session {
    pub(super) fn new(node: NodeId, clock: Clock) -> Self {
        Self { node, clock, state: Mutex::default(), filled: Notify::new(), over: Notify::new() }
    }

    /// Whose owners it reaches.
    pub(crate) const fn node(&self) -> NodeId {
        self.node
    }

    /// Sends an acquire. The reply is lost when the session ends.
    pub(crate) fn acquire(&self, acquire: &RoutedAcquire) -> (u64, oneshot::Receiver<Outcome>) {
        let (open, answer) = Open::of(acquire);
        let message = RouterSays::Acquire(peer::from_acquire(acquire));
        let mut state = self.state.lock();
        state.last_number += 1;
        let number = state.last_number;
        self.open(&mut state, number, open, message);
        (number, answer)
    }

    /// Asks the owner to let nothing through for a while.
    pub(crate) fn pause(&self, key: &ConnectionKey, epoch: Epoch, pause: Duration) -> oneshot::Receiver<Outcome> {
        let (reply, answer) = oneshot::channel();
        let message = v1::RoutedPause { key: Some(peer::from_key(key)), epoch: epoch.0.0, pause: Some(to_span(pause)) };
        let (id, niceness, cost) = (RequestId::new(0), Niceness::URGENT, Cost::ZERO);
        let open = Open { reply, key: key.clone(), id, niceness, cost, bound: None };
        let mut state = self.state.lock();
        state.last_number += 1;
        let number = state.last_number;
        self.open(&mut state, number, open, RouterSays::Pause(message));
        answer
    }

    fn open(&self, state: &mut State, number: u64, open: Open, message: RouterSays) {
        if !state.is_over {
            let tightest = state.tightest.filter(|_| !state.open.is_empty());
            state.tightest = [tightest, open.bound].into_iter().flatten().min();
            state.open.insert(number, open);
            self.push(state, number, message);
        }
    }

    /// Takes an acquire out of the queue; a grant that crosses this goes back.
    pub(crate) fn cancel(&self, number: u64) {
        let mut state = self.state.lock();
        // One that is answered has nothing to cancel.
        if state.open.remove(&number).is_some() {
            self.push(&mut state, number, RouterSays::Cancel(v1::RoutedEnd {}));
        }
    }

    /// Sends a grant back that came too late, and its acquire to its old place.
    pub(crate) fn too_late(&self, number: u64, acquire: &RoutedAcquire) -> oneshot::Receiver<Outcome> {
        let (open, answer) = Open::of(acquire);
        self.open(&mut self.state.lock(), number, open, RouterSays::TooLate(v1::RoutedEnd {}));
        answer
    }

    fn push(&self, state: &mut State, number: u64, message: RouterSays) {
        if !state.is_over {
            state.outbox.push(v1::RouterMessage { number, message: Some(message) });
            self.filled.notify_one();
        }
    }

    /// The next messages, or none when it is time for a stamp. Cancel-safe.
    pub(super) async fn next_messages(&self) -> Vec<v1::RouterMessage> {
        let stamp_every = {
            let mut state = self.state.lock();
            if !state.outbox.is_empty() {
                return take(&mut state.outbox);
            }
            match state.tightest.filter(|_| !state.open.is_empty()) {
                Some(bound) => bound / 4,
                None => IDLE_STAMP_EVERY,
            }
        };
        tokio::select! {
            () = self.filled.notified() => {}
            () = crate::clock::sleep(stamp_every) => {}
        }
        take(&mut self.state.lock().outbox)
    }

    /// Hands an owner's answer to whoever waits for it.
    pub(super) fn answered(self: &Arc<Self>, number: u64, message: v1::owner_message::Message) {
        let Some(open) = self.state.lock().open.remove(&number) else {
            // Cancelled meanwhile; the owner takes the slot back when it reads that.
            return;
        };
        let Open { reply, key, id, niceness, cost, .. } = open;
        let outcome = match peer::answer(message, niceness, cost) {
            Ok(RoutedAnswer::Granted(grant)) => {
                let owner: Arc<dyn RemoteOwner> = Arc::<Self>::clone(self);
                Outcome::Granted(Offer::remote(key, id, grant, owner, number))
            }
            Ok(RoutedAnswer::Refused(RoutedRefusal::Refusal(refusal))) => Outcome::Refused(refusal),
            Ok(RoutedAnswer::Refused(RoutedRefusal::Moved(epoch))) => Outcome::MovedBy(epoch),
            Ok(RoutedAnswer::Refused(RoutedRefusal::TooManyConnections(max_connections))) => {
                Outcome::TooManyConnections { max_connections }
            }
            Ok(RoutedAnswer::Refused(RoutedRefusal::TooManyInFlight(max_in_flight))) => {
                Outcome::TooManyInFlight { max_in_flight }
            }
            Ok(RoutedAnswer::Paused) => Outcome::Paused,
            Err(error) => {
                tracing::warn!(node = %self.node, %error, "an answer does not parse; asking again");
                self.push(&mut self.state.lock(), number, RouterSays::Cancel(v1::RoutedEnd {}));
                return;
            }
        };
        drop(reply.send(outcome));
    }

    /// Ends the session: whoever waits loses their reply.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.is_over = true;
        state.open.clear();
        state.outbox.clear();
        self.over.notify_one();
    }

    /// Returns when somebody has ended it. For the one task that holds it; cancel-safe.
    pub(super) async fn ended(&self) {
        self.over.notified().await;
    }

    /// The clock of its stamps.
    pub(super) const fn clock(&self) -> Clock {
        self.clock
    }
}

impl RemoteOwner for Session {
    fn give_back(&self, number: u64) {
        self.push(&mut self.state.lock(), number, RouterSays::GiveBack(v1::RoutedEnd {}));
    }

    fn done(&self, number: u64) {
        self.push(&mut self.state.lock(), number, RouterSays::Done(v1::RoutedEnd {}));
    }
}

fn take(outbox: &mut Vec<v1::RouterMessage>) -> Vec<v1::RouterMessage> {
    let rest = outbox.split_off(outbox.len().min(MAX_MESSAGES_PER_FRAME));
    std::mem::replace(outbox, rest)
}
