//! The work of one owning actor: all connections of its share of the ring, one event at a time.
//!
//! ```text
//! acquire, verdicts, a new ring, time ──► Shard ──► proposals, slots, refusals
//! ```
//!
//! Promises: nothing waits for anything else, so a full connection delays no other; what is released was charged by the answer to
//! this shard's own proposal; whoever waits for what is another's is sent on, and not while a slot may be under way to them.
//! Must not: decide for a connection. [`crate::engine::throttle`] does. Nor read a clock: each event says when it is.
//!
//! The ring's moves are in `moves`, the order of wakes in `wakes`.

mod changes;
mod effect;
mod moves;
mod report;
mod wakes;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;

pub use self::effect::{Caller, Effect, Settled, View};
pub use self::report::{ConnectionReport, Pause, Share};
use crate::engine::fault::Fault;
use crate::engine::grant::{Epoch, Grant, RequestId, Sequence, ShardId};
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::{Adjusted, Proposal, Verdict};
use crate::engine::limiter::Limiter;
use crate::engine::ring::Ring;
use crate::engine::throttle::{
    Acquire, Bounds, Effect as Decided, Explanation, LedgerClock, Now, Refusal, Settling, SlowestDelivery, Throttle,
};
use crate::engine::time::{LedgerTime, Timestamp};

/// How long nobody must have come back before a successor grants anything.
const CALM: Duration = Duration::from_millis(30);

/// The same when it is another node's successor: all nodes hear of the new ring within a heartbeat or two.
const CALM_AFTER_MOVE: Duration = Duration::from_millis(100);

/// How long a successor waits for those who come back, however many there are.
const LONGEST_SETTLING: Duration = Duration::from_secs(1);

/// What a shard starts with.
#[derive(Debug, Clone)]
pub struct Start {
    /// Who it is.
    pub id: ShardId,
    /// What bounds each of its connections.
    pub bounds: Bounds,
    /// The most connections that its node has in memory, and that the ledger tracks.
    pub max_connections: usize,
    /// Whose numbers it draws, and from which on.
    pub sequence: Sequence,
    /// Ledger time, at least as old as it says.
    pub ledger_clock: LedgerClock,
    /// When it starts, if waiters of a shard that crashed may come back to it.
    pub respawned_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Resident<T> {
    throttle: Throttle<T>,
    /// Whether it leaves for another owner as soon as its proposal in flight is answered.
    is_leaving: bool,
    /// Where it stands in the order of wakes; never later than it wants.
    wakes_at: Option<Timestamp>,
    /// The stamp of the newest entry that its copy of the limiter had seen.
    copied_at: LedgerTime,
}

/// All connections of one owning actor.
#[derive(Debug)]
pub struct Shard<T> {
    id: ShardId,
    bounds: Bounds,
    max_connections: usize,
    /// By which it owns what it owns.
    ring: Arc<Ring>,
    /// By which it owned what it owned before.
    former_ring: Arc<Ring>,
    /// The newest ring that the ledger has named.
    newest_epoch: Epoch,
    /// Boxed, for most places of the map are empty or rest.
    connections: HashMap<ConnectionKey, Box<Resident<T>>, FixedState>,
    wakes: BTreeSet<(Timestamp, ConnectionKey)>,
    /// Where somebody waits behind a session that is silent.
    aside: BTreeSet<ConnectionKey>,
    sequence: Sequence,
    ledger_clock: LedgerClock,
    slowest: SlowestDelivery,
    /// Until then waiters of a shard that crashed may come back.
    respawn_settles_at: Option<Timestamp>,
    /// Until then waiters of connections that have come with the ring may come back.
    move_settles_at: Option<Timestamp>,
    /// Of connections that are not in memory: what the ledger has changed, and this node has not applied yet.
    ahead: Vec<(ConnectionKey, (LedgerTime, Adjusted))>,
    decided: Vec<Decided<T>>,
    effects: Vec<Effect<T>>,
}

impl<T: Caller> Shard<T> {
    /// A shard without connections.
    pub fn new(start: Start, view: &impl View) -> Self {
        let ring = view.ring();
        Self {
            id: start.id,
            bounds: start.bounds,
            max_connections: start.max_connections,
            former_ring: Arc::clone(&ring),
            newest_epoch: ring.epoch(),
            ring,
            connections: HashMap::default(),
            wakes: BTreeSet::new(),
            aside: BTreeSet::new(),
            sequence: start.sequence,
            ledger_clock: start.ledger_clock,
            slowest: SlowestDelivery::default(),
            respawn_settles_at: start.respawned_at.map(|at| at + CALM),
            move_settles_at: None,
            ahead: Vec::new(),
            decided: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Queues an acquire, or refuses it.
    pub fn acquire(&mut self, local: Timestamp, key: &ConnectionKey, acquire: Acquire<T>, view: &impl View) {
        let now = self.ledger_clock.now(local);
        if !self.owns(now, key, view) {
            self.effects.push(Effect::Refuse { reply: acquire.reply, refusal: Refusal::Moved });
            return;
        }
        if Fault::QueueDroppedOnFailover.is_planted() && !acquire.waited.is_zero() {
            return;
        }
        if !self.reside(now, key, view) {
            let max_connections = self.max_connections;
            self.effects.push(Effect::TooManyConnections { reply: acquire.reply, max_connections });
            return;
        }
        let has_moved = self.move_settles_at.is_some_and(|at| at > local);
        let calm = if has_moved { CALM_AFTER_MOVE } else { CALM };
        let settling = (!acquire.waited.is_zero()).then(|| Settling::starting(local, calm, LONGEST_SETTLING));
        let (bounds, mut differing) = (self.bounds, None);
        self.with(now, key, |throttle, sequence, decided| {
            if let Some(settling) = settling {
                throttle.settle(settling);
            }
            let known = throttle.limiter().limits().count();
            throttle.acquire(now, acquire, bounds, sequence, decided);
            if known > 0 && throttle.limiter().limits().count() > known {
                differing = Some(throttle.limiter().limits().collect());
            }
        });
        self.effects.extend(differing.map(|limits| Effect::LimitsDiffer { key: key.clone(), limits }));
    }

    /// Takes a waiter out of the queue whose caller has gone, unless another caller has taken its place.
    pub fn cancel(&mut self, local: Timestamp, key: &ConnectionKey, request: RequestId) {
        let now = self.ledger_clock.now(local);
        self.with(now, key, |throttle, _, _| drop(throttle.cancel(request, T::is_gone)));
    }

    /// Takes back a slot that came too late to be started, and its waiter.
    pub fn requeue(&mut self, local: Timestamp, key: &ConnectionKey, grant: &Grant, acquire: Acquire<T>, view: &impl View) {
        let now = self.ledger_clock.now(local);
        self.slowest.observe(local, local.saturating_since(grant.proposed_at));
        if self.connections.contains_key(key) && grant.tenure == self.sequence.tenure() {
            self.with(now, key, |throttle, sequence, decided| throttle.requeue(now, grant, acquire, sequence, decided));
        } else {
            // The shard that released it is gone or another one, and its place is by its age.
            self.with(now, key, |throttle, _, _| throttle.give_back(acquire.request, grant));
            self.acquire(local, key, acquire, view);
        }
    }

    /// Takes back a slot with which nothing was started.
    pub fn give_back(&mut self, local: Timestamp, key: &ConnectionKey, request: RequestId, grant: &Grant) {
        let now = self.ledger_clock.now(local);
        self.with(now, key, |throttle, _, _| throttle.give_back(request, grant));
    }

    /// How a request stands that waits for this connection; `None` when it does not wait here.
    #[must_use]
    pub fn explain(&self, local: Timestamp, key: &ConnectionKey, request: RequestId) -> Option<Explanation> {
        self.connections.get(key)?.throttle.explain(self.ledger_clock.now(local), request)
    }

    /// Takes the ledger's answers to proposals of this shard, all of one batch at once.
    pub fn settled(&mut self, local: Timestamp, settled: Vec<Settled>) {
        // All slots of one batch were as slow as the slowest of them.
        let charged = settled.iter().filter(|settled| matches!(settled.verdict, Verdict::Charged { .. }));
        if let Some(proposed_at) = charged.map(|settled| settled.proposed_at).min() {
            self.slowest.observe(local, local.saturating_since(proposed_at));
        }
        for Settled { key, verdict, proposed_at } in settled {
            match &verdict {
                Verdict::Charged { stamp, .. }
                | Verdict::NotBefore { stamp, .. }
                | Verdict::Done { stamp }
                | Verdict::Adjusted { stamp, .. } => {
                    self.ledger_clock.observe(*stamp, proposed_at, local);
                }
                Verdict::Moved { epoch } => self.newest_epoch = self.newest_epoch.max(*epoch),
            }
            let now = self.ledger_clock.now(local);
            let present = |reply: &T, silence| reply.is_present(local, silence);
            self.with(now, &key, |throttle, sequence, decided| throttle.verdict(now, &verdict, sequence, decided, present));
        }
    }

    /// Somebody is heard again: lets those wait again who are behind them.
    pub fn recall(&mut self, local: Timestamp) {
        let (now, slowest) = (self.ledger_clock.now(local), self.slowest.get(local));
        let present = |reply: &T, silence| reply.is_present(local, silence);
        for key in std::mem::take(&mut self.aside) {
            self.with(now, &key, |throttle, sequence, _| throttle.recall(slowest, sequence, present));
        }
    }

    /// What there is to do since this was asked last.
    pub fn take_effects(&mut self) -> std::vec::Drain<'_, Effect<T>> {
        self.effects.drain(..)
    }

    /// Who it is.
    #[must_use]
    pub const fn id(&self) -> ShardId {
        self.id
    }

    /// The number that was drawn last: no successor may draw it again.
    #[must_use]
    pub const fn last_number(&self) -> u64 {
        self.sequence.last()
    }

    /// How many connections are in memory.
    #[must_use]
    pub fn residents(&self) -> usize {
        self.connections.len()
    }

    /// How many wait at all of them.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.connections.values().map(|resident| resident.throttle.queue().len()).sum()
    }

    /// Has the connection in memory, from the ledger if it is new here. Not if there are too many.
    fn reside(&mut self, now: Now, key: &ConnectionKey, view: &impl View) -> bool {
        if self.connections.contains_key(key) {
            return true;
        }
        let (limiter, copied_at) = view.limiter(key);
        let limiter = match limiter {
            Ok(limiter) => limiter,
            Err(tracked) if tracked >= self.max_connections => return false,
            Err(_) => Limiter::default(),
        };
        if view.residents() >= self.max_connections {
            return false;
        }
        let is_open = |until: Option<Timestamp>| until.is_some_and(|at| at > now.local);
        let has_moved = is_open(self.move_settles_at) && self.former_ring.owner(key) != Some(self.id);
        let mut throttle = if has_moved {
            Throttle::taken_over(limiter, Settling::starting(now.local, CALM_AFTER_MOVE, LONGEST_SETTLING))
        } else if is_open(self.respawn_settles_at) {
            Throttle::taken_over(limiter, Settling::starting(now.local, CALM, LONGEST_SETTLING))
        } else {
            Throttle::new(limiter)
        }
        .ruled_by(view.policy(key));
        let missed = self.ahead.iter().filter(|(of, (stamp, _))| of == key && *stamp > copied_at);
        missed.for_each(|(_, (stamp, adjusted))| throttle.adjusted(*stamp, adjusted));
        self.connections.insert(key.clone(), Box::new(Resident { throttle, is_leaving: false, wakes_at: None, copied_at }));
        true
    }

    /// Does something with a connection, then everything that follows from it. Nothing when it is not in memory.
    fn with(
        &mut self,
        now: Now,
        key: &ConnectionKey,
        action: impl FnOnce(&mut Throttle<T>, &mut Sequence, &mut Vec<Decided<T>>),
    ) {
        let Some(resident) = self.connections.get_mut(key) else { return };
        action(&mut resident.throttle, &mut self.sequence, &mut self.decided);
        if resident.is_leaving {
            self.hand_over(key);
            return;
        }
        // Whatever is proposed by an old ring comes back. The new one is on its way, and looks at everybody who waits.
        let is_current = self.newest_epoch <= self.ring.epoch();
        let slowest = self.slowest.get(now.local);
        let present = |reply: &T, silence| reply.is_present(now.local, silence);
        let poll = || resident.throttle.poll(now, slowest, &mut self.sequence, &mut self.decided, present);
        let action = is_current.then(poll).flatten();
        let has_aside = resident.throttle.queue().has_aside();
        self.note_aside(key, has_aside);
        let epoch = self.ring.epoch();
        self.effects.extend(action.map(|action| Effect::Propose(Proposal { epoch, key: key.clone(), action })));
        self.carry_out(key);
        if is_current {
            self.schedule(now, key);
        }
    }

    /// Says of what was decided for a connection whose it is.
    fn carry_out(&mut self, key: &ConnectionKey) {
        self.effects.extend(self.decided.drain(..).map(|decided| match decided {
            Decided::Release { reply, request, grant } => Effect::Release { key: key.clone(), reply, request, grant },
            Decided::Refuse { reply, refusal } => Effect::Refuse { reply, refusal },
        }));
    }

    /// Keeps in mind where somebody is set aside.
    fn note_aside(&mut self, key: &ConnectionKey, has_aside: bool) {
        if has_aside {
            if !self.aside.contains(key) {
                self.aside.insert(key.clone());
            }
        } else if !self.aside.is_empty() {
            self.aside.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
