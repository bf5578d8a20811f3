//! The task behind a [`Remote`](super::Remote): speaks with one node at a time.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Code, Streaming};

use super::{Order, RemoteError, RemotePermit, Waiting};
use crate::client::Margin;
use crate::clock::{self, Clock};
use crate::engine::grant::{ArrivalNumber, ReleaseNumber, RequestId, Tenure};
use crate::engine::time::Timestamp;
use crate::wire::fields::{request_id, request_id_bytes, span, to_span};
use crate::wire::v1;
use crate::wire::v1::session_request::Message;
use crate::wire::v1::session_response::Message as Said;
use crate::wire::v1::throttle_service_client::ThrottleServiceClient;

/// How long a node has to answer, and how long its silence is borne.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// The pause between two nodes, so that a cluster that is gone is not asked in a tight loop.
const NEXT_NODE_AFTER: Duration = Duration::from_millis(20);

/// How often the node hears of this clock while no delivery bound asks for more.
const SLOWEST_STAMPS: Duration = Duration::from_millis(250);

/// Another node is to be asked.
#[derive(Debug, PartialEq, Eq)]
struct Gone;

/// One node after the other, and those who wait.
#[derive(Debug)]
pub(super) struct Conversation {
    addresses: Vec<String>,
    clock: Clock,
    orders: mpsc::UnboundedReceiver<Order>,
    /// For permits, to say that they are over.
    sender: mpsc::WeakUnboundedSender<Order>,
    /// In the order in which they began.
    waiting: BTreeMap<u64, Waiting>,
    numbers: HashMap<RequestId, u64>,
    /// How many sessions there were.
    session: u64,
    /// To the node, while there is one. What callers hold bounds it, as it bounds the orders.
    outgoing: Option<mpsc::UnboundedSender<v1::SessionRequest>>,
    stamp_every: Duration,
}

impl Conversation {
    pub(super) fn new(
        addresses: Vec<String>,
        clock: Clock,
        orders: mpsc::UnboundedReceiver<Order>,
        sender: mpsc::WeakUnboundedSender<Order>,
    ) -> Self {
        let (waiting, numbers, outgoing) = (BTreeMap::new(), HashMap::new(), None);
        Self { addresses, clock, orders, sender, waiting, numbers, session: 0, outgoing, stamp_every: SLOWEST_STAMPS }
    }

    /// Goes on until nobody holds the session any more.
    pub(super) async fn run(mut self) {
        for address in self.addresses.clone().iter().cycle() {
            if let Some(answers) = self.reach(address).await {
                self.converse(answers).await;
                self.outgoing = None;
            }
            if self.orders.is_closed() && self.orders.is_empty() {
                return;
            }
            clock::sleep(NEXT_NODE_AFTER).await;
        }
    }

    /// Begins a session with the node at this address, if it answers.
    async fn reach(&mut self, address: &str) -> Option<Streaming<v1::SessionResponse>> {
        let (outgoing, requests) = mpsc::unbounded_channel();
        let mut begun = pin!(clock::timeout(ANSWERS_WITHIN, begin(address, requests)));
        let answers = loop {
            tokio::select! {
                begun = &mut begun => break begun.ok()??,
                // Cancel-safe: an order is taken whole or stays.
                order = self.orders.recv() => self.take(order?),
            }
        };
        self.session += 1;
        self.outgoing = Some(outgoing);
        tracing::debug!(%address, waiting = self.waiting.len(), "a session has begun");
        Some(answers)
    }

    /// Speaks with a node until it is gone, or nobody holds the session any more.
    async fn converse(&mut self, mut answers: Streaming<v1::SessionResponse>) {
        let now = self.clock.now();
        for waiting in self.waiting.values() {
            // By one clock reading, and who began first goes first: so they keep their order.
            self.say(Some(Message::Acquire(ask(waiting, now))));
        }
        let mut stamps_at = now;
        loop {
            tokio::select! {
                // Cancel-safe: an order is taken whole or stays.
                order = self.orders.recv() => match order {
                    Some(order) => self.take(order),
                    None => return,
                },
                // Cancel-safe: an answer is taken whole or stays.
                answer = answers.message() => {
                    let Ok(Some(answer)) = answer else { return };
                    if self.hear(answer) == Some(Gone) {
                        return;
                    }
                }
                // Cancel-safe: it only waits.
                () = self.clock.sleep_until(stamps_at), if !self.waiting.is_empty() => {
                    self.say(None);
                    stamps_at = self.clock.now() + self.stamp_every;
                }
            }
        }
    }

    fn say(&self, message: Option<Message>) {
        if let Some(outgoing) = &self.outgoing {
            // A node that is gone hears nothing; its answers end as well.
            outgoing.send(v1::SessionRequest { stamp_nanos: Some(self.clock.now().as_nanos()), message }).ok();
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Acquire(waiting) => {
                if !waiting.delivery_bound.is_zero() {
                    self.stamp_every = self.stamp_every.min(waiting.delivery_bound / 4);
                }
                self.say(Some(Message::Acquire(ask(&waiting, waiting.began_at))));
                self.keep(*waiting);
            }
            Order::Leave(number) => {
                if let Some(waiting) = self.waiting.remove(&number) {
                    self.numbers.remove(&waiting.id);
                    self.say(Some(Message::Cancel(v1::Cancel { request_id: request_id_bytes(waiting.id) })));
                }
            }
            Order::Done { session, id } if session == self.session => {
                self.say(Some(Message::Done(v1::Done { request_id: request_id_bytes(id) })));
            }
            // What was held ended with its session.
            Order::Done { .. } => {}
        }
    }

    fn keep(&mut self, waiting: Waiting) {
        self.numbers.insert(waiting.id, waiting.number);
        self.waiting.insert(waiting.number, waiting);
    }

    fn let_go(&mut self, id: RequestId) -> Option<Waiting> {
        let number = self.numbers.remove(&id)?;
        self.waiting.remove(&number)
    }

    /// Takes one answer.
    fn hear(&mut self, answer: v1::SessionResponse) -> Option<Gone> {
        let Ok(id) = request_id("request_id", &answer.request_id) else { return Some(Gone) };
        let Some(message) = answer.message else { return Some(Gone) };
        // Without a waiter it is of one who has left, and the node has read that, or will: a grant that crossed it goes back.
        let waiting = self.let_go(id)?;
        let now = self.clock.now();
        match message {
            // Of the grant before, which came too late.
            Said::Ended(_) | Said::Reconciled(_) => self.keep(waiting),
            Said::Granted(granted) => match Granted::parse(&granted, now) {
                None => {
                    self.keep(waiting);
                    return Some(Gone);
                }
                Some(granted) if granted.is_stale() => {
                    self.give_back(id);
                    self.ask_again(waiting, now);
                }
                Some(_) if waiting.reply.is_closed() => self.give_back(id),
                // Who goes away at this very moment drops the permit: its slot stays used.
                Some(granted) => drop(waiting.reply.send(Ok(self.permit(id, granted)))),
            },
            Said::Throttled(_) => refuse(waiting, Code::ResourceExhausted, "there is no slot"),
            Said::Failed(failed) => {
                let code = Code::from_i32(failed.code);
                if code == Code::Unavailable {
                    self.keep(waiting);
                    return Some(Gone);
                }
                if matches!(code, Code::AlreadyExists | Code::Aborted) {
                    // Granted through a session that broke before it said so, or taken over there: it is another request from now on.
                    self.ask_again(Waiting { id: RequestId::new(rand::random()), ..waiting }, now);
                } else {
                    refuse(waiting, code, &failed.message);
                }
            }
        }
        None
    }

    fn ask_again(&mut self, waiting: Waiting, now: Timestamp) {
        self.say(Some(Message::Acquire(ask(&waiting, now))));
        self.keep(waiting);
    }

    fn give_back(&self, id: RequestId) {
        self.say(Some(Message::GiveBack(v1::GiveBack { request_id: request_id_bytes(id) })));
    }

    fn permit(&self, id: RequestId, granted: Granted) -> RemotePermit {
        let Granted { tenure, arrival, waits_since, release, margin, .. } = granted;
        RemotePermit { tenure, arrival, waits_since, release, margin, id, session: self.session, orders: self.sender.clone() }
    }
}

/// A grant as it came.
struct Granted {
    tenure: Tenure,
    arrival: ArrivalNumber,
    waits_since: ArrivalNumber,
    release: ReleaseNumber,
    margin: Margin,
    /// How old it may be, at most.
    age: Duration,
}

impl Granted {
    /// `None` when the message lacks what it must have.
    fn parse(message: &v1::Granted, now: Timestamp) -> Option<Self> {
        let grant = message.grant.as_ref()?;
        let margin = grant.margin.as_ref()?;
        let span = |message: Option<prost_types::Duration>| span("grant", message?).ok();
        let echoed = Timestamp::from_nanos(message.stamp_nanos?);
        Some(Self {
            tenure: Tenure::new(grant.tenure),
            arrival: ArrivalNumber::from_wire(grant.arrival),
            waits_since: ArrivalNumber::from_wire(grant.waits_since),
            release: ReleaseNumber::from_wire(grant.release),
            margin: Margin { delivery: span(margin.delivery)?, guard: span(margin.guard)? },
            age: span(message.age)? + now.saturating_since(echoed),
        })
    }

    fn is_stale(&self) -> bool {
        !self.margin.delivery.is_zero() && self.age > self.margin.delivery
    }
}

/// An acquire as it is asked at `now`.
fn ask(waiting: &Waiting, now: Timestamp) -> v1::Acquire {
    let waited = now.saturating_since(waiting.began_at);
    v1::Acquire {
        request_id: request_id_bytes(waiting.id),
        waited: (!waited.is_zero()).then(|| to_span(waited)),
        ..waiting.ask.clone()
    }
}

fn refuse(waiting: Waiting, code: Code, message: &str) {
    // A caller who is gone needs no answer.
    waiting.reply.send(Err(RemoteError::Refused { code, message: message.to_owned() })).ok();
}

/// A session with the node at this address, if there is one that answers.
async fn begin(address: &str, requests: mpsc::UnboundedReceiver<v1::SessionRequest>) -> Option<Streaming<v1::SessionResponse>> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
    let endpoint = endpoint.tcp_nodelay(true).http2_keep_alive_interval(ANSWERS_WITHIN).keep_alive_timeout(ANSWERS_WITHIN);
    let channel = endpoint.connect().await.ok()?;
    let answers = ThrottleServiceClient::new(channel).session(UnboundedReceiverStream::new(requests)).await.ok()?;
    Some(answers.into_inner())
}
