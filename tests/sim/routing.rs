//! The routers in the world: each keeps its node's pending calls until they have their one answer. By the same rules as the product's router.

use std::time::Duration;

use rand::RngExt as _;
use turnstile::engine::grant::{Epoch, Grant};
use turnstile::engine::membership::Role;
use turnstile::engine::throttle::Refusal;

use crate::call::{Call, End, Patience, Place};
use crate::session::{Asked, Left, Reply, To, ToOwner, ToRouter};
use crate::world::World;

const GRACE: Duration = Duration::from_millis(50);
const TRY_REACHES_WITHIN: Duration = Duration::from_secs(1);

impl World {
    pub fn begin(&mut self, call: usize) {
        self.find_node(call);
        let node = self.calls[call].node;
        // A process that is not there calls nobody.
        if self.nodes[node].serves() && !self.calls[call].is_orphaned {
            self.calls[call].began_at = self.local(node);
            self.calls[call].began = self.now;
            self.calls[call].place = Place::Nowhere(Epoch::default());
            self.nodes[node].homeless.insert(call);
            self.route(node, call);
            self.drain(node);
        }
    }

    /// A worker of a node that is gone is another's, and some work for those who came later.
    fn find_node(&mut self, call: usize) {
        if self.nodes[self.calls[call].node].is_gone || self.random.random_ratio(1, 2) {
            let is_there = |n: &usize| self.nodes[*n].serves() && !self.nodes[*n].is_stopped;
            let there: Vec<usize> = (0..self.nodes.len()).filter(is_there).collect();
            if !there.is_empty() {
                self.calls[call].node = there[self.random.random_range(0..there.len())];
            }
        }
    }

    pub fn give_up(&mut self, call: usize) {
        if self.calls[call].is_open() {
            self.leave(call);
            self.end(call, End::Cancelled);
            self.drain(self.calls[call].node);
        }
    }

    fn end(&mut self, call: usize, end: End) {
        self.nodes[self.calls[call].node].homeless.remove(&call);
        self.calls[call].ends.push(end);
    }

    /// Takes a call out of wherever it waits.
    fn leave(&mut self, number: usize) {
        let call = &self.calls[number];
        let (n, key, request) = (call.node, self.scenario.connections[call.connection].key.clone(), call.request);
        match call.place {
            Place::Here(shard) => {
                call.is_gone.set(true);
                self.with_shard(n, shard, |shard, local, _| shard.cancel(local, &key, request));
            }
            Place::There(session, at) => {
                let open = self.sessions.get_mut(&session).is_some_and(|session| session.at_router.open.remove(&at).is_some());
                if open {
                    self.down(session, ToOwner::Cancel(at));
                }
            }
            Place::Nowhere(_) | Place::Outside => {}
        }
    }

    /// Looks for places for those who have none, and ends what nobody has answered in time.
    pub fn look_after_calls(&mut self, n: usize) {
        self.house(n);
        let local = self.local(n);
        for number in 0..self.calls.len() {
            let call = &self.calls[number];
            if call.node != n || !call.is_open() {
                continue;
            }
            let ends_at = match call.patience {
                Patience::Endless => continue,
                Patience::Deadline(after) | Patience::MaxWait(after) => call.began_at + after + GRACE,
                Patience::Never => call.began_at + TRY_REACHES_WITHIN,
            };
            if local >= ends_at {
                self.leave(number);
                self.end(number, End::RanOut);
            }
        }
        self.drain(n);
    }

    pub fn house(&mut self, n: usize) {
        let homeless: Vec<usize> = self.nodes[n].homeless.iter().copied().collect();
        homeless.into_iter().for_each(|call| self.route(n, call));
        self.drain(n);
    }

    /// Its session has ended.
    pub fn comes_back(&mut self, n: usize, call: usize) {
        self.calls[call].comes_back = true;
        self.calls[call].place = Place::Nowhere(Epoch::default());
        self.nodes[n].homeless.insert(call);
    }

    fn route(&mut self, n: usize, number: usize) {
        let local = self.local(n);
        let call = &self.calls[number];
        let Place::Nowhere(epoch) = call.place else { return };
        if !call.is_open() || epoch > self.epoch(n) {
            return;
        }
        let key = self.scenario.connections[call.connection].key.clone();
        let Some(owner) = self.nodes[n].ring.owner(&key) else { return };
        let asked = self.asked(n, number);
        if owner.node == self.nodes[n].id {
            let shard = usize::from(owner.index);
            let waited = asked.began_at.map(|at| local.saturating_since(at)).unwrap_or_default();
            let acquire = asked.to_acquire(local, waited, self.reply_here(number));
            self.settle_at(n, number, Place::Here(shard));
            self.with_shard(n, shard, |shard, local, view| shard.acquire(local, &key, acquire, view));
        } else {
            let there = self.index_of(owner.node);
            let Some(id) = self.session_with(n, there) else { return };
            let end = &mut self.sessions.get_mut(&id).unwrap().at_router;
            end.last_number += 1;
            let at = end.last_number;
            end.open.insert(at, number);
            self.settle_at(n, number, Place::There(id, at));
            self.down(id, ToOwner::Acquire(at, asked));
        }
    }

    fn settle_at(&mut self, n: usize, call: usize, place: Place) {
        self.calls[call].place = place;
        self.nodes[n].homeless.remove(&call);
    }

    fn reply_here(&mut self, call: usize) -> Reply {
        self.calls[call].is_gone = std::rc::Rc::default();
        Reply { to: To::Here(call), is_gone: std::rc::Rc::clone(&self.calls[call].is_gone) }
    }

    fn asked(&self, n: usize, number: usize) -> Asked {
        let call @ Call { request, retryable, niceness, cost, began_at, .. } = &self.calls[number];
        let left = |after: Duration| (*began_at + after).saturating_since(self.local(n));
        Asked {
            key: self.scenario.connections[call.connection].key.clone(),
            epoch: self.epoch(n),
            request: *request,
            retryable: *retryable,
            niceness: *niceness,
            cost: *cost,
            limits: call.limits.clone(),
            began_at: call.comes_back.then_some(*began_at),
            left: match call.patience {
                Patience::Endless => Left::Endless,
                Patience::Deadline(after) => Left::Deadline(left(after)),
                Patience::MaxWait(after) => Left::MaxWait(left(after)),
                Patience::Never => Left::Never,
            },
        }
    }

    /// A slot of an owner on this node.
    pub fn granted_here(&mut self, n: usize, call: usize, shard: usize, grant: Grant) {
        let key = self.scenario.connections[self.calls[call].connection].key.clone();
        let request = self.calls[call].request;
        if self.is_stale(n, &grant) {
            self.witness.seen.too_late += 1;
            let asked = self.asked(n, call);
            let waited = self.local(n).saturating_since(grant.arrived_at);
            let acquire = asked.to_acquire(self.local(n), waited, self.reply_here(call));
            match self.shard_of(n, &key) {
                Some(shard) => self.with_shard(n, shard, |shard, local, view| shard.requeue(local, &key, &grant, acquire, view)),
                None => {
                    self.with_shard(n, shard, |shard, local, _| shard.give_back(local, &key, request, &grant));
                    self.comes_back(n, call);
                }
            }
        } else if self.start(call, &grant) {
            self.end(call, End::Started);
        } else {
            self.with_shard(n, shard, |shard, local, _| shard.give_back(local, &key, request, &grant));
            self.end(call, End::GivenBack);
        }
    }

    /// What an owner on another node says.
    pub fn told(&mut self, id: u64, message: ToRouter) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.at_router.is_over) else { return };
        let (n, number) = match &message {
            ToRouter::Granted { number, .. } | ToRouter::Refused(number, _) | ToRouter::MovedBy(number, _) => {
                (session.router, *number)
            }
        };
        // Cancelled meanwhile; the owner takes the slot back when it reads that.
        let Some(call) = session.at_router.open.remove(&number) else { return };
        match message {
            ToRouter::Granted { grant, echoed, age, .. } => {
                let grant = Grant { proposed_at: echoed.saturating_sub(age), ..grant };
                if self.is_stale(n, &grant) {
                    self.witness.seen.too_late += 1;
                    self.sessions.get_mut(&id).unwrap().at_router.open.insert(number, call);
                    self.calls[call].comes_back = true;
                    self.down(id, ToOwner::TooLate(number));
                } else if self.start(call, &grant) {
                    self.witness.seen.routed_by_observers += u64::from(self.nodes[n].role() == Role::Observer);
                    self.down(id, ToOwner::Done(number));
                    self.end(call, End::Started);
                } else {
                    self.down(id, ToOwner::GiveBack(number));
                    self.end(call, End::GivenBack);
                }
            }
            ToRouter::Refused(_, refusal) => self.refused(n, call, refusal),
            ToRouter::MovedBy(_, epoch) => {
                self.calls[call].comes_back = true;
                self.calls[call].place = Place::Nowhere(epoch);
                self.nodes[n].homeless.insert(call);
                self.house(n);
            }
        }
    }

    pub fn refused(&mut self, n: usize, call: usize, refusal: Refusal) {
        if refusal == Refusal::Moved {
            self.comes_back(n, call);
        } else {
            self.end(call, End::Refused(refusal));
        }
    }

    fn is_stale(&self, n: usize, grant: &Grant) -> bool {
        grant.is_stale(self.local(n))
    }

    /// Starts a call, which then takes its way to the platform; or does not, for one in thirty has nothing to do any more.
    fn start(&mut self, number: usize, grant: &Grant) -> bool {
        if self.random.random_ratio(1, 30) {
            return false;
        }
        let call = &self.calls[number];
        // The guard is for the way and for clocks that differ.
        let guard =
            call.limits.iter().map(|limit| limit.guard().saturating_sub(limit.window() / 2_000)).min().unwrap_or_default();
        let way = self.random.random_range(0..=u64::try_from(guard.as_nanos()).unwrap());
        self.witness.started(call.connection, call, grant, self.now + way);
        true
    }
}
