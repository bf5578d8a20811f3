//! One owning actor: [`crate::engine::shard`] with a mailbox, a clock and a timer.
//!
//! Promises: nothing in it ever blocks or waits.
//! Must not: decide. The engine does; the actor says when it is, carries out what it is told, and arms one timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use metrics::Counter;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;

use super::message::{Message, ShardReport};
use super::offer::{Offer, Outcome, Reply};
use super::said::Said;
use crate::clock::Clock;
use crate::config::NodeConfig;
use crate::consensus::proposer::{Inbox, Proposer};
use crate::consensus::state_machine::LedgerReader;
use crate::engine;
use crate::engine::grant::{Sequence, ShardId, Tenure};
use crate::engine::key::ConnectionKey;
use crate::engine::limiter::Limiter;
use crate::engine::rate::Limits;
use crate::engine::ring::Ring;
use crate::engine::shard::{Effect, Start, View};
use crate::engine::throttle::{Bounds, LedgerClock};
use crate::engine::time::{LedgerTime, Timestamp};
use crate::telemetry;

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
    /// What all shards count.
    pub meter: Meter,
}

/// What the owners count.
#[derive(Debug)]
pub(super) struct Meter {
    grants: Counter,
    handovers: Counter,
}

impl Meter {
    /// In this process's recorder.
    pub(super) fn new() -> Self {
        Self { grants: telemetry::GRANTS.counter(), handovers: telemetry::HANDOVERS.counter() }
    }
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

impl View for Shared {
    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ledger.ring().borrow())
    }

    fn newest_stamp(&self) -> (LedgerTime, Timestamp) {
        self.ledger.newest_stamp()
    }

    fn limiter(&self, key: &ConnectionKey) -> (Result<Limiter, usize>, LedgerTime) {
        self.ledger.limiter(key)
    }

    fn policy(&self, key: &ConnectionKey) -> Option<Limits> {
        self.ledger.policies().borrow().ruling(key).map(|(_, limits)| limits.clone())
    }

    fn residents(&self) -> usize {
        self.resident.load(Ordering::Relaxed)
    }
}

/// The actor.
#[derive(Debug)]
pub(super) struct Shard;

/// What the actor keeps between messages.
pub(super) struct State {
    engine: engine::shard::Shard<Reply>,
    shared: Arc<Shared>,
    numbers: Arc<AtomicU64>,
    /// How many of the connections that all shards have in memory are counted as this one's.
    counted: usize,
    myself: ActorRef<Message>,
    inbox: Inbox,
    watcher: JoinHandle<()>,
    timer: Option<(Timestamp, JoinHandle<()>)>,
    /// Of which connections it was said that their limits differ.
    differing: Said,
}

impl Actor for Shard {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(&self, myself: ActorRef<Message>, arguments: Arguments) -> Result<State, ActorProcessingErr> {
        let Arguments { id, shared, tenure, numbers, is_respawn } = arguments;
        let (stamp, applied_at) = shared.ledger.newest_stamp();
        let own = myself.clone();
        let inbox: Inbox = Arc::new(move |settled| {
            // A shard that has crashed since is not there to release anything: its slots leave with their window.
            drop(own.cast(Message::Settled(settled)));
        });
        let (mut rings, mut policies) = (shared.ledger.ring(), shared.ledger.policies());
        rings.mark_unchanged();
        policies.mark_unchanged();
        let own = myself.clone();
        let watcher = tokio::spawn(async move {
            loop {
                let (changed, message) = tokio::select! {
                    changed = rings.changed() => (changed, Message::RingChanged),
                    changed = policies.changed() => (changed, Message::PoliciesChanged),
                };
                if changed.is_err() || own.cast(message).is_err() {
                    return;
                }
            }
        });
        let config = &shared.config;
        let start = Start {
            id,
            bounds: Bounds { max_waiters: config.max_waiters_per_connection, strict_limits: config.strict_limits },
            max_connections: config.max_connections,
            sequence: Sequence::after(tenure, numbers.load(Ordering::Acquire)),
            ledger_clock: LedgerClock::starting(stamp, applied_at),
            respawned_at: is_respawn.then(|| shared.clock.now()),
        };
        let engine = engine::shard::Shard::new(start, &*shared);
        Ok(State { engine, shared, numbers, counted: 0, myself, inbox, watcher, timer: None, differing: Said::default() })
    }

    async fn handle(&self, _: ActorRef<Message>, message: Message, state: &mut State) -> Result<(), ActorProcessingErr> {
        let now = state.shared.clock.now();
        let State { engine, shared, .. } = state;
        match message {
            Message::Acquire(key, mut acquire, sent_at) => {
                if !acquire.waited.is_zero() {
                    // Those who come back keep their order only if their way to this mailbox counts as well.
                    acquire.waited += now.saturating_since(sent_at);
                }
                engine.acquire(now, &key, acquire, &**shared);
            }
            Message::Cancel(key, request, _ticket) => engine.cancel(now, &key, request),
            Message::Requeue(key, grant, acquire) => engine.requeue(now, &key, &grant, acquire, &**shared),
            Message::GiveBack(key, request, grant) => engine.give_back(now, &key, request, &grant),
            Message::Settled(settled) => engine.settled(now, settled),
            Message::Explain(key, request, reply) => reply.answer(Outcome::Explained(engine.explain(now, &key, request))),
            Message::Adjusted(key, stamp, adjusted) => engine.adjusted(now, key, (stamp, adjusted), &**shared),
            Message::RingChanged => engine.ring_changed(now, &**shared),
            Message::PoliciesChanged => engine.policies_changed(now, &**shared),
            // Whoever asked may be gone.
            Message::Inspect(key, reply) => drop(reply.send(engine.report(now, &key))),
            Message::Recall => engine.recall(now),
            Message::Wake => {
                if let Some((_, timer)) = state.timer.take() {
                    // It is not always this one that has rung.
                    timer.abort();
                }
                engine.wake(now);
            }
            Message::Report(reply) => {
                let report = ShardReport { connections: engine.residents(), waiters: engine.waiters() };
                // Whoever asked may be gone.
                reply.send(report).ok();
            }
            Message::Survey(look) => look.take(engine, now),
            Message::Rank(look) => look.take(engine, now),
        }
        state.carry_out(now);
        state.arm();
        Ok(())
    }
}

impl State {
    /// Does what is to be done.
    fn carry_out(&mut self, now: Timestamp) {
        // Before anybody hears of a number, so that no successor draws it again.
        self.numbers.store(self.engine.last_number(), Ordering::Release);
        self.count(self.engine.residents());
        let mut grants = 0;
        let shard = self.engine.id().index;
        for effect in self.engine.take_effects() {
            match effect {
                Effect::Propose(proposal) => self.shared.proposer.propose(proposal, now, &self.inbox),
                Effect::Release { key, reply, request, grant } => {
                    grants += 1;
                    // An offer that nobody takes comes back by itself.
                    let offer = Offer::new(key, request, grant, self.myself.clone());
                    reply.answer(Outcome::Granted(offer));
                }
                Effect::Refuse { reply, refusal } => reply.answer(Outcome::Refused(refusal)),
                Effect::TooManyConnections { reply, max_connections } => {
                    reply.answer(Outcome::TooManyConnections { max_connections });
                }
                Effect::LimitsDiffer { key, limits } if self.differing.is_news(now, &key) => {
                    tracing::warn!(%key, ?limits, "callers state different limits; each rules until one window after it was last stated");
                }
                Effect::LimitsDiffer { .. } => {}
                Effect::Moved { epoch, connections } => {
                    tracing::info!(shard, epoch = epoch.0.0, connections, "the ring has moved: connections go to other owners");
                    self.shared.meter.handovers.increment(u64::try_from(connections).unwrap_or(u64::MAX));
                }
            }
        }
        if grants > 0 {
            self.shared.meter.grants.increment(grants);
        }
    }

    /// Counts as many connections as this shard's.
    fn count(&mut self, connections: usize) {
        let counted = std::mem::replace(&mut self.counted, connections);
        if connections > counted {
            self.shared.resident.fetch_add(connections - counted, Ordering::Relaxed);
        } else if connections < counted {
            self.shared.resident.fetch_sub(counted - connections, Ordering::Relaxed);
        }
    }

    /// Keeps one timer, for the first wake.
    fn arm(&mut self) {
        let Some(at) = self.engine.next_wake() else { return };
        if self.timer.as_ref().is_some_and(|&(armed, _)| armed <= at) {
            return;
        }
        let (clock, myself) = (self.shared.clock, self.myself.clone());
        let timer = tokio::spawn(async move {
            clock.sleep_until(at).await;
            drop(myself.cast(Message::Wake));
        });
        if let Some((_, later)) = self.timer.replace((at, timer)) {
            later.abort();
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.count(0);
        self.watcher.abort();
        if let Some((_, timer)) = self.timer.take() {
            timer.abort();
        }
    }
}
