//! The owners in the world: the product's own shards, with a view of their node's ledger, and what they want done.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use turnstile::engine::grant::{Grant, RequestId, Sequence, ShardId, Tenure};
use turnstile::engine::key::ConnectionKey;
use turnstile::engine::ledger::Ledger;
use turnstile::engine::limiter::Limiter;
use turnstile::engine::rate::Limits;
use turnstile::engine::ring::Ring;
use turnstile::engine::shard::{Effect, Shard, Start, View};
use turnstile::engine::throttle::{Bounds, LedgerClock, Refusal};
use turnstile::engine::time::{LedgerTime, Timestamp};

use crate::proposer::Waiting;
use crate::session::{Open, Reply, To, ToRouter};
use crate::world::{Event, World};

/// What a node's shards read of it.
#[derive(Debug)]
pub struct Local<'a> {
    ring: &'a Arc<Ring>,
    ledger: &'a Ledger,
    applied_at: Timestamp,
    residents: usize,
}

impl View for Local<'_> {
    fn ring(&self) -> Arc<Ring> {
        Arc::clone(self.ring)
    }

    fn newest_stamp(&self) -> (LedgerTime, Timestamp) {
        (self.ledger.now(), self.applied_at)
    }

    fn limiter(&self, key: &ConnectionKey) -> (Result<Limiter, usize>, LedgerTime) {
        (self.ledger.limiter(key).ok_or_else(|| self.ledger.tracked()), self.ledger.now())
    }

    fn policy(&self, key: &ConnectionKey) -> Option<Limits> {
        self.ledger.policies().0.ruling(key).map(|(_, limits)| limits.clone())
    }

    fn residents(&self) -> usize {
        self.residents
    }
}

impl World {
    /// Has a shard do something; what comes of it is done by [`World::drain`].
    pub fn with_shard(&mut self, n: usize, shard: usize, act: impl FnOnce(&mut Shard<Reply>, Timestamp, &Local<'_>)) {
        let local = self.local(n);
        let node = &mut self.nodes[n];
        let residents = node.shards.iter().map(Shard::residents).sum();
        let view = Local { ring: &node.ring, ledger: &node.ledger, applied_at: node.applied_at, residents };
        act(&mut node.shards[shard], local, &view);
    }

    pub fn wake(&mut self, n: usize) {
        self.nodes[n].wakes_at = None;
        for shard in 0..self.nodes[n].shards.len() {
            self.with_shard(n, shard, |shard, local, _| shard.wake(local));
        }
        self.drain(n);
    }

    /// Starts the owners once the ring is applied that makes them owners, or followed that does not; and asks whether the node is still in.
    pub fn look_after_ownership(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let is_in_ring = node.ring.has(node.id);
        let joined = node.proposer.joined().is_some_and(|joined| node.ring.epoch() >= joined);
        let observes = node.observes() && !is_in_ring && !node.ring.members().is_empty();
        if node.shards.is_empty() && (joined && is_in_ring || observes) {
            let shards = (0..usize::from(self.scenario.shards)).map(|shard| self.shard(n, shard, 0, false)).collect();
            let ring = Arc::clone(&self.nodes[n].ring);
            self.nodes[n].shards = shards;
            self.ring_changed(n, &ring);
        } else if node.is_out() {
            node.proposer.doubt();
            self.ask(n);
        }
        self.send_away(n);
    }

    /// Tells owners of a node that is no member that others own what they propose for.
    fn send_away(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        // By a ring that still has this node they would come back at once.
        if node.proposer.joined().is_none() && !node.ring.has(node.id) && !node.proposer.is_idle() {
            let moved = node.proposer.send_away(node.ring.epoch());
            self.settle(n, moved);
            self.drain(n);
        }
    }

    /// A shard that has just started, and draws numbers after `last`.
    pub fn shard(&self, n: usize, shard: usize, last: u64, is_respawn: bool) -> Shard<Reply> {
        let node = &self.nodes[n];
        let start = Start {
            id: ShardId { node: node.id, index: u16::try_from(shard).unwrap() },
            bounds: Bounds { max_waiters: 1_000, strict_limits: false },
            max_connections: 1_000,
            // One that is respawned goes on with the numbers of the same tenure.
            sequence: Sequence::after(Tenure::new(node.tenures + u64::try_from(shard).unwrap()), last),
            ledger_clock: LedgerClock::starting(node.ledger.now(), node.applied_at),
            respawned_at: is_respawn.then(|| self.local(n)),
        };
        Shard::new(start, &Local { ring: &node.ring, ledger: &node.ledger, applied_at: node.applied_at, residents: 0 })
    }

    /// What waits behind sessions at a shard that has crashed is told that it is not there: it comes back.
    pub fn lose_replies(&mut self, n: usize, shard: usize) {
        let epoch = self.epoch(n);
        let mut lost = Vec::new();
        for (&id, session) in self.sessions.iter_mut().filter(|(_, session)| session.owner == n) {
            let is_lost = |open: &Open| matches!(open, Open::Waiting { shard: at, .. } if *at == shard);
            let numbers: Vec<u64> =
                session.at_owner.open.iter().filter(|(_, open)| is_lost(open)).map(|(&number, _)| number).collect();
            numbers.iter().for_each(|number| drop(session.at_owner.open.remove(number)));
            lost.extend(numbers.into_iter().map(|number| (id, number)));
        }
        lost.into_iter().for_each(|(id, number)| self.up(id, ToRouter::MovedBy(number, epoch)));
    }

    /// The node has applied another ring, or followed it.
    pub fn ring_changed(&mut self, n: usize, former: &Ring) {
        self.witness.disrupted();
        for shard in 0..self.nodes[n].shards.len() {
            self.with_shard(n, shard, |shard, local, view| shard.ring_changed(local, view));
        }
        self.drain(n);
        self.end_with_departures(n, former);
        self.unpark(n);
        self.house(n);
    }

    /// The shard of this node that owns the connection, by the node's ring.
    pub fn shard_of(&self, n: usize, key: &ConnectionKey) -> Option<usize> {
        let node = &self.nodes[n];
        let owner = node.ring.owner(key).filter(|owner| owner.node == node.id && !node.shards.is_empty())?;
        Some(usize::from(owner.index))
    }

    /// Does what a node's shards want done, until they want nothing more.
    pub fn drain(&mut self, n: usize) {
        loop {
            let mut effects = Vec::new();
            for (index, shard) in self.nodes[n].shards.iter_mut().enumerate() {
                effects.extend(shard.take_effects().map(|effect| (index, effect)));
            }
            if effects.is_empty() {
                break;
            }
            for (shard, effect) in effects {
                self.perform(n, shard, effect);
            }
        }
        self.ask_if_new(n);
        let next = self.nodes[n].shards.iter().filter_map(Shard::next_wake).min();
        let Some(at) = next.map(|local| self.nodes[n].clock.moment_of(local).max(self.now)) else { return };
        if self.nodes[n].wakes_at.is_none_or(|armed| at < armed) {
            self.nodes[n].wakes_at = Some(at);
            self.schedule(at - self.now, Event::Wake(n, self.nodes[n].run));
        }
    }

    fn ask_if_new(&mut self, n: usize) {
        if !self.nodes[n].proposer.waiting.is_empty() && self.nodes[n].proposer.asked.is_none() {
            self.ask(n);
        }
    }

    fn perform(&mut self, n: usize, shard: usize, effect: Effect<Reply>) {
        let proposed_at = self.local(n);
        match effect {
            Effect::Propose(proposal) => {
                let shard = (shard, self.nodes[n].crashes[shard]);
                self.nodes[n].proposer.waiting.push(Waiting { proposal, proposed_at, shard });
            }
            Effect::Release { key, reply, request, grant } => {
                let life = (self.epoch(n), self.nodes[n].crashes[shard]);
                self.witness.released(&key, request, &grant, self.nodes[n].proposer.member, life);
                self.release(n, shard, &key, reply, request, grant);
            }
            Effect::Refuse { reply, refusal } => self.refuse(n, reply, refusal),
            Effect::TooManyConnections { .. } => panic!("a bound is reached that nobody comes near"),
            Effect::LimitsDiffer { .. } | Effect::Moved { .. } => {}
        }
    }

    fn release(&mut self, n: usize, shard: usize, key: &ConnectionKey, reply: Reply, request: RequestId, grant: Grant) {
        let is_taken = match &reply.to {
            To::Here(call) if !reply.is_gone.get() => {
                self.granted_here(n, *call, shard, grant);
                true
            }
            To::Here(_) => false,
            To::There { session, number, .. } => self.granted_there(n, *session, *number, shard, grant),
        };
        if !is_taken {
            self.with_shard(n, shard, |shard, local, _| shard.give_back(local, key, request, &grant));
        }
    }

    /// Sends a slot to the router; whether anybody waits for it there.
    fn granted_there(&mut self, n: usize, id: u64, number: u64, shard: usize, grant: Grant) -> bool {
        let local = self.local(n);
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.at_owner.is_over) else { return false };
        let Some(Open::Waiting { asked, .. }) = session.at_owner.open.remove(&number) else { return false };
        session.at_owner.open.insert(number, Open::Granted { asked, shard, grant });
        let (echoed, age) = (session.at_owner.newest, local.saturating_since(grant.proposed_at));
        self.up(id, ToRouter::Granted { number, grant, echoed, age });
        true
    }

    fn refuse(&mut self, n: usize, reply: Reply, refusal: Refusal) {
        match reply.to {
            To::Here(call) if !reply.is_gone.get() => self.refused(n, call, refusal),
            To::Here(_) => {}
            To::There { session: id, number, .. } => {
                let epoch = self.epoch(n);
                let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.at_owner.is_over) else { return };
                if session.at_owner.open.remove(&number).is_some() {
                    self.up(
                        id,
                        if refusal == Refusal::Moved {
                            ToRouter::MovedBy(number, epoch)
                        } else {
                            ToRouter::Refused(number, refusal)
                        },
                    );
                }
            }
        }
    }

    /// A reply to a session's acquire, and the flag that its caller is gone.
    pub fn reply_there(&self, id: u64, number: u64) -> Reply {
        let presence = Rc::clone(&self.sessions[&id].at_owner.presence);
        Reply { to: To::There { session: id, number, presence }, is_gone: Rc::new(Cell::new(false)) }
    }
}
