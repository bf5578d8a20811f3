//! One owning actor: all connections of its share of the ring, one message at a time.
//!
//! Promises: nothing in it ever blocks or waits, so a full connection delays no other; what it releases was charged by the answer to its own
//! proposal.
//! Must not: decide. [`crate::engine::throttle`] does; the shard reads the clock, carries the effects out and arms one timer.

mod absence;
mod moves;
mod wakes;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;

use self::absence::present;
use super::message::{Message, ShardReport};
use super::offer::{Offer, Outcome, Reply};
use crate::clock::Clock;
use crate::config::NodeConfig;
use crate::consensus::proposer::{Inbox, Proposer, Settled};
use crate::consensus::state_machine::LedgerReader;
use crate::engine::grant::{Epoch, Grant, Sequence, ShardId, Tenure};
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::{Action, Proposal, Verdict};
use crate::engine::limiter::Limiter;
use crate::engine::ring::Ring;
use crate::engine::throttle::{Acquire, Bounds, Effect, LedgerClock, Now, Refusal, Settling, SlowestDelivery, Throttle};
use crate::engine::time::{LedgerTime, Timestamp};

/// How long nobody must have come back before a successor grants anything.
const CALM: Duration = Duration::from_millis(30);

/// The same when it is another node's successor: all nodes hear of the new ring within a heartbeat or two.
const CALM_AFTER_MOVE: Duration = Duration::from_millis(100);

/// How long a successor waits for those who come back, however many there are.
const LONGEST_SETTLING: Duration = Duration::from_secs(1);

/// What all shards of a node share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The node's configuration.
    pub config: NodeConfig,
    /// The node's clock.
    pub clock: Clock,
    /// The way to the ledger.
    pub proposer: Proposer,
    /// The ledger, as far as it is applied here.
    pub ledger: LedgerReader,
    /// How many connections all shards have in memory.
    pub resident: AtomicUsize,
}

/// What one shard starts with.
#[derive(Debug, Clone)]
pub(super) struct Arguments {
    /// Who it is.
    pub id: ShardId,
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// Whose numbers it draws: its own and those of the shards that it was respawned from.
    pub tenure: Tenure,
    /// The numbers drawn by those before it, so that a respawned shard goes on behind them.
    pub numbers: Arc<AtomicU64>,
    /// Whether waiters of a shard that crashed may come back.
    pub is_respawn: bool,
}

/// The actor.
#[derive(Debug)]
pub(super) struct Shard;

struct Resident {
    throttle: Throttle<Reply>,
    /// Whether it leaves for another owner as soon as its proposal in flight is answered.
    is_leaving: bool,
    /// Where it stands in the order of wakes; never later than it wants.
    wakes_at: Option<Timestamp>,
}

/// What the actor keeps between messages.
pub(super) struct State {
    arguments: Arguments,
    myself: ActorRef<Message>,
    inbox: Inbox,
    /// By which it owns what it owns.
    ring: Arc<Ring>,
    /// By which it owned what it owned before.
    former_ring: Arc<Ring>,
    /// The newest ring that the ledger has named.
    newest_epoch: Epoch,
    ring_watcher: JoinHandle<()>,
    /// Boxed, for most places of the map are empty or rest.
    connections: HashMap<ConnectionKey, Box<Resident>>,
    wakes: BTreeSet<(Timestamp, ConnectionKey)>,
    /// Where somebody waits behind a session that is silent.
    aside: BTreeSet<ConnectionKey>,
    timer: Option<(Timestamp, JoinHandle<()>)>,
    sequence: Sequence,
    ledger_clock: LedgerClock,
    slowest: SlowestDelivery,
    /// Until then waiters of a shard that crashed may come back.
    respawn_settles_at: Option<Timestamp>,
    /// Until then waiters of connections that have come with the ring may come back.
    move_settles_at: Option<Timestamp>,
    effects: Vec<Effect<Reply>>,
}

impl Actor for Shard {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(&self, myself: ActorRef<Message>, arguments: Arguments) -> Result<State, ActorProcessingErr> {
        let now = arguments.shared.clock.now();
        let (stamp, applied_at) = arguments.shared.ledger.newest_stamp();
        let own = myself.clone();
        let inbox: Inbox = Arc::new(move |settled| {
            // A shard that has crashed since is not there to release anything: its slots leave with their window.
            drop(own.cast(Message::Settled(settled)));
        });
        let mut rings = arguments.shared.ledger.ring();
        let ring = Arc::clone(&rings.borrow_and_update());
        let own = myself.clone();
        let ring_watcher =
            tokio::spawn(async move { while rings.changed().await.is_ok() && own.cast(Message::RingChanged).is_ok() {} });
        Ok(State {
            inbox,
            myself,
            former_ring: Arc::clone(&ring),
            newest_epoch: ring.epoch(),
            ring,
            ring_watcher,
            connections: HashMap::new(),
            wakes: BTreeSet::new(),
            aside: BTreeSet::new(),
            timer: None,
            sequence: Sequence::after(arguments.tenure, arguments.numbers.load(Ordering::Acquire)),
            ledger_clock: LedgerClock::starting(stamp, applied_at),
            slowest: SlowestDelivery::default(),
            respawn_settles_at: arguments.is_respawn.then(|| now + CALM),
            move_settles_at: None,
            effects: Vec::new(),
            arguments,
        })
    }

    async fn handle(&self, _: ActorRef<Message>, message: Message, state: &mut State) -> Result<(), ActorProcessingErr> {
        let now = state.now();
        match message {
            Message::Acquire(key, mut acquire, sent_at) => {
                if !acquire.waited.is_zero() {
                    // Those who come back keep their order only if their way to this mailbox counts as well.
                    acquire.waited += now.local.saturating_since(sent_at);
                }
                state.acquire(now, &key, acquire);
            }
            Message::Cancel(key, request, _ticket) => {
                state.with(now, &key, |throttle, _, _| drop(throttle.cancel(request, Reply::is_abandoned)))
            }
            Message::Requeue(key, grant, acquire) => state.requeue(now, &key, &grant, acquire),
            Message::GiveBack(key, request, grant) => {
                state.with(now, &key, |throttle, _, _| throttle.give_back(request, &grant));
            }
            Message::Settled(settled) => state.settled(now.local, settled),
            Message::Paused(key, until) => state.paused(now, &key, until),
            Message::RingChanged => state.take_ring(now),
            Message::Recall => state.recall(now),
            Message::Wake => state.wake(now),
            Message::Report(reply) => drop(reply.send(state.report())),
        }
        Ok(())
    }
}

impl State {
    fn now(&self) -> Now {
        self.ledger_clock.now(self.arguments.shared.clock.now())
    }

    fn acquire(&mut self, now: Now, key: &ConnectionKey, acquire: Acquire<Reply>) {
        if !self.owns(now, key) {
            acquire.reply.answer(Outcome::Refused(Refusal::Moved));
            return;
        }
        if let Err(max_connections) = self.reside(now, key) {
            acquire.reply.answer(Outcome::TooManyConnections { max_connections });
            return;
        }
        let has_moved = self.move_settles_at.is_some_and(|at| at > now.local);
        let calm = if has_moved { CALM_AFTER_MOVE } else { CALM };
        let settling = (!acquire.waited.is_zero()).then(|| Settling::starting(now.local, calm, LONGEST_SETTLING));
        let config = &self.arguments.shared.config;
        let bounds = Bounds { max_waiters: config.max_waiters_per_connection, strict_limits: config.strict_limits };
        self.with(now, key, |throttle, sequence, effects| {
            if let Some(settling) = settling {
                throttle.settle(settling);
            }
            let known = throttle.limiter().limits().count();
            throttle.acquire(now, acquire, bounds, sequence, effects);
            if known > 0 && throttle.limiter().limits().count() > known {
                let limits: Vec<_> = throttle.limiter().limits().collect();
                tracing::warn!(%key, ?limits, "callers state different limits; each rules until one window after it was last stated");
            }
        });
    }

    fn requeue(&mut self, now: Now, key: &ConnectionKey, grant: &Grant, acquire: Acquire<Reply>) {
        self.slowest.observe(now.local, now.local.saturating_since(grant.proposed_at));
        if self.connections.contains_key(key) && grant.tenure == self.sequence.tenure() {
            self.with(now, key, |throttle, sequence, effects| throttle.requeue(now, grant, acquire, sequence, effects));
        } else {
            // The shard that released it is gone or another one, and its place is by its age.
            self.with(now, key, |throttle, _, _| throttle.give_back(acquire.request, grant));
            self.acquire(now, key, acquire);
        }
    }

    fn paused(&mut self, now: Now, key: &ConnectionKey, until: LedgerTime) {
        self.with(now, key, |throttle, _, _| throttle.pause(until));
    }

    /// Has the connection in memory, from the ledger if it is new here.
    fn reside(&mut self, now: Now, key: &ConnectionKey) -> Result<(), usize> {
        let shared = &self.arguments.shared;
        let max_connections = shared.config.max_connections;
        let Entry::Vacant(vacant) = self.connections.entry(key.clone()) else { return Ok(()) };
        let limiter = match shared.ledger.limiter(key) {
            Ok(limiter) => limiter,
            Err(tracked) if tracked >= max_connections => return Err(max_connections),
            Err(_) => Limiter::default(),
        };
        if shared.resident.load(Ordering::Relaxed) >= max_connections {
            return Err(max_connections);
        }
        shared.resident.fetch_add(1, Ordering::Relaxed);
        let is_open = |until: Option<Timestamp>| until.is_some_and(|at| at > now.local);
        let has_moved = is_open(self.move_settles_at) && self.former_ring.owner(key) != Some(self.arguments.id);
        let throttle = if has_moved {
            Throttle::taken_over(limiter, Settling::starting(now.local, CALM_AFTER_MOVE, LONGEST_SETTLING))
        } else if is_open(self.respawn_settles_at) {
            Throttle::taken_over(limiter, Settling::starting(now.local, CALM, LONGEST_SETTLING))
        } else {
            Throttle::new(limiter)
        };
        vacant.insert(Box::new(Resident { throttle, is_leaving: false, wakes_at: None }));
        Ok(())
    }

    fn settled(&mut self, answered_at: Timestamp, settled: Vec<Settled>) {
        // All slots of one batch were as slow as the slowest of them.
        let charged = settled.iter().filter(|settled| matches!(settled.verdict, Verdict::Charged { .. }));
        if let Some(proposed_at) = charged.map(|settled| settled.proposed_at).min() {
            self.slowest.observe(answered_at, answered_at.saturating_since(proposed_at));
        }
        for Settled { key, verdict, proposed_at } in settled {
            match &verdict {
                Verdict::Charged { stamp, .. } | Verdict::NotBefore { stamp, .. } | Verdict::Done { stamp } => {
                    self.ledger_clock.observe(*stamp, proposed_at, answered_at);
                }
                Verdict::Moved { epoch } => self.newest_epoch = self.newest_epoch.max(*epoch),
            }
            let now = self.now();
            self.with(now, &key, |throttle, sequence, effects| throttle.verdict(now, &verdict, sequence, effects, present(now)));
        }
    }

    /// Does something with a connection, then everything that follows from it. Nothing when it is not in memory.
    fn with(
        &mut self,
        now: Now,
        key: &ConnectionKey,
        action: impl FnOnce(&mut Throttle<Reply>, &mut Sequence, &mut Vec<Effect<Reply>>),
    ) {
        let Some(resident) = self.connections.get_mut(key) else { return };
        action(&mut resident.throttle, &mut self.sequence, &mut self.effects);
        if resident.is_leaving {
            self.hand_over(key);
            return;
        }
        // Whatever is proposed by an old ring comes back. The new one is on its way, and looks at everybody who waits.
        let is_current = self.newest_epoch <= self.ring.epoch();
        let slowest = self.slowest.get(now.local);
        let poll = || resident.throttle.poll(now, slowest, &mut self.sequence, &mut self.effects, present(now));
        let action = is_current.then(poll).flatten();
        let has_aside = resident.throttle.queue().has_aside();
        self.note_aside(key, has_aside);
        if let Some(action) = action {
            self.propose(now, key, action);
        }
        self.perform(key);
        if is_current {
            self.schedule(now, key);
        }
    }

    fn propose(&self, now: Now, key: &ConnectionKey, action: Action) {
        let proposal = Proposal { epoch: self.ring.epoch(), key: key.clone(), action };
        self.arguments.shared.proposer.propose(proposal, now.local, &self.inbox);
    }

    fn perform(&mut self, key: &ConnectionKey) {
        // Before anybody hears of a number, so that no successor draws it again.
        self.arguments.numbers.store(self.sequence.last(), Ordering::Release);
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Release { reply, request, grant } => {
                    // An offer that nobody takes comes back by itself.
                    let offer = Offer::new(key.clone(), request, grant, self.myself.clone());
                    reply.answer(Outcome::Granted(offer));
                }
                Effect::Refuse { reply, refusal } => reply.answer(Outcome::Refused(refusal)),
            }
        }
    }

    fn report(&self) -> ShardReport {
        let waiters = self.connections.values().map(|resident| resident.throttle.queue().len()).sum();
        ShardReport { connections: self.connections.len(), waiters }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.arguments.shared.resident.fetch_sub(self.connections.len(), Ordering::Relaxed);
        self.ring_watcher.abort();
        if let Some((_, timer)) = self.timer.take() {
            timer.abort();
        }
    }
}
