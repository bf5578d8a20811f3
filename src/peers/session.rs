//! The router's end of a session: acquires for connections that another node owns, all in one stream.
//!
//! Promises: each acquire gets one answer, or loses its reply with the session; a grant is never taken for younger than it is; what waits for the
//! stream is bounded.
//! Must not: try again. The router does, wherever the ring sends it then.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::clock::Clock;
use crate::engine::cost::Cost;
use crate::engine::grant::{Epoch, NodeId, RequestId};
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::Adjustment;
use crate::engine::rate::{Niceness, RateLimit};
use crate::owner::{Offer, Outcome, RemoteOwner, Ticket};
use crate::wire::adjustment::{RoutedAdjustment, from_adjustment};
use crate::wire::explanation::from_question;
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
    /// Of an adjustment, whose caller may go away before it is answered; an acquire's caller has its own.
    #[expect(dead_code, reason = "what counts is that it lives")]
    ticket: Option<Arc<Ticket>>,
}

/// A message for the owner, and what it takes up until it is handed to the stream.
///
/// However long the stream stands still, no more than three of these wait for each acquire that the node may have in flight: to begin and to leave
/// the queue, while the acquire's ticket is out, and one about a slot that was granted to it, of which none come while nothing goes out.
#[derive(Debug)]
struct Outgoing {
    message: v1::RouterMessage,
    #[expect(dead_code, reason = "what counts is that it lives")]
    ticket: Option<Ticket>,
}

impl Open {
    fn of(acquire: &RoutedAcquire) -> (Self, oneshot::Receiver<Outcome>) {
        let (reply, answer) = oneshot::channel();
        let bound = acquire.limits.iter().map(RateLimit::delivery_bound).filter(|bound| !bound.is_zero()).min();
        let RoutedAcquire { key, id, niceness, cost, .. } = acquire.clone();
        (Self { reply, key, id, niceness, cost, bound, ticket: None }, answer)
    }
}

#[derive(Debug, Default)]
struct State {
    outbox: VecDeque<Outgoing>,
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

    /// Has the owner change what counts, for nobody who waits.
    pub(crate) fn adjust(
        &self,
        key: &ConnectionKey,
        epoch: Epoch,
        adjustment: Adjustment,
        ticket: Arc<Ticket>,
    ) -> oneshot::Receiver<Outcome> {
        let message = from_adjustment(&RoutedAdjustment { key: key.clone(), epoch, adjustment });
        self.ask(key, RouterSays::Adjust(message), Some(ticket))
    }

    /// Asks the owner how a request stands.
    pub(crate) fn explain(&self, key: &ConnectionKey, request: RequestId) -> oneshot::Receiver<Outcome> {
        self.ask(key, RouterSays::Explain(from_question(key, request)), None)
    }

    fn ask(&self, key: &ConnectionKey, message: RouterSays, ticket: Option<Arc<Ticket>>) -> oneshot::Receiver<Outcome> {
        let (reply, answer) = oneshot::channel();
        let (id, niceness, cost) = (RequestId::new(0), Niceness::URGENT, Cost::ZERO);
        let open = Open { reply, key: key.clone(), id, niceness, cost, bound: None, ticket };
        let mut state = self.state.lock();
        state.last_number += 1;
        let number = state.last_number;
        self.open(&mut state, number, open, message);
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

    /// Takes an acquire out of the queue; a grant that crosses this goes back. The ticket counts until the stream has taken the message.
    pub(crate) fn cancel(&self, number: u64, ticket: Ticket) {
        let mut state = self.state.lock();
        // One that is answered has nothing to cancel.
        if state.open.remove(&number).is_some() {
            self.send(&mut state, number, RouterSays::Cancel(v1::RoutedEnd {}), Some(ticket));
        }
    }

    /// Sends a grant back that came too late, and its acquire to its old place.
    pub(crate) fn too_late(&self, number: u64, acquire: &RoutedAcquire) -> oneshot::Receiver<Outcome> {
        let (open, answer) = Open::of(acquire);
        self.open(&mut self.state.lock(), number, open, RouterSays::TooLate(v1::RoutedEnd {}));
        answer
    }

    fn push(&self, state: &mut State, number: u64, message: RouterSays) {
        self.send(state, number, message, None);
    }

    fn send(&self, state: &mut State, number: u64, message: RouterSays, ticket: Option<Ticket>) {
        if !state.is_over {
            state.outbox.push_back(Outgoing { message: v1::RouterMessage { number, message: Some(message) }, ticket });
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
            Ok(RoutedAnswer::Adjusted(adjusted)) => Outcome::Adjusted(adjusted),
            Ok(RoutedAnswer::Explained(explanation)) => Outcome::Explained(explanation),
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

fn take(outbox: &mut VecDeque<Outgoing>) -> Vec<v1::RouterMessage> {
    outbox.drain(..outbox.len().min(MAX_MESSAGES_PER_FRAME)).map(|outgoing| outgoing.message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ledger::Adjusted;
    use crate::engine::rate::Limits;
    use crate::owner::Admission;
    use crate::wire::adjustment::from_adjusted;
    use crate::wire::peer::PatienceLeft;

    fn session() -> Session {
        Session::new(NodeId::new(1), Clock::start())
    }

    fn acquire(delivery_millis: u64) -> RoutedAcquire {
        let limit = RateLimit::new(10, Duration::from_secs(1)).unwrap();
        let limit = limit.with_delivery_bound(Duration::from_millis(delivery_millis)).unwrap();
        RoutedAcquire {
            key: ConnectionKey::new("test", "session").unwrap(),
            epoch: Epoch::default(),
            id: RequestId::new(1),
            retryable: false,
            niceness: Niceness::URGENT,
            cost: Cost::ONE,
            limits: Limits::new([limit]).unwrap(),
            began_at: None,
            patience: PatienceLeft::Endless,
        }
    }

    #[tokio::test]
    async fn who_cancels_counts_until_the_stream_has_taken_the_word_of_it() {
        let (session, admission) = (session(), Admission::new(3));
        for _ in 0..3 {
            let ticket = admission.admit().unwrap();
            let (number, _answer) = session.acquire(&acquire(20));
            session.cancel(number, ticket);
        }
        assert_eq!(admission.admit().unwrap_err(), 3);
        assert_eq!(session.next_messages().await.len(), 6);
        drop(admission.admit().unwrap());
    }

    #[tokio::test]
    async fn a_pause_whose_caller_is_gone_counts_until_it_is_answered() {
        let (session, admission) = (Arc::new(session()), Admission::new(1));
        let ticket = Arc::new(admission.admit().unwrap());
        let pause = Adjustment::Penalize(Duration::from_secs(1));
        drop(session.adjust(&acquire(20).key, Epoch::default(), pause, ticket));
        assert_eq!(session.next_messages().await.len(), 1);
        assert_eq!(admission.admit().unwrap_err(), 1);
        session.answered(1, v1::owner_message::Message::Adjusted(from_adjusted(&Adjusted::Known)));
        drop(admission.admit().unwrap());
    }

    #[tokio::test]
    async fn a_session_that_ends_counts_no_longer() {
        let (session, admission) = (session(), Admission::new(1));
        let ticket = admission.admit().unwrap();
        let (number, _answer) = session.acquire(&acquire(20));
        session.cancel(number, ticket);
        session.end();
        drop(admission.admit().unwrap());
    }

    #[test]
    fn stamps_follow_the_tightest_bound_that_waits_of_those_who_come_back_too() {
        let session = session();
        let tightest = || session.state.lock().tightest.map(|bound| bound.as_millis());
        let (_, _first) = session.acquire(&acquire(100));
        assert_eq!(tightest(), Some(100));
        let (second, _second) = session.acquire(&acquire(20));
        assert_eq!(tightest(), Some(20));
        session.state.lock().open.clear();
        let (_, _third) = session.acquire(&acquire(60));
        assert_eq!(tightest(), Some(60));
        let _second = session.too_late(second, &acquire(20));
        assert_eq!(tightest(), Some(20));
    }
}
