//! How a node goes, so that nobody misses it: it leaves the ring, hands its office over if it leads, and leaves the replicas. By the same rules as the
//! product's.

use turnstile::engine::grant::Incarnation;
use turnstile::engine::ledger::Command;
use turnstile::engine::membership::Role;

use crate::clock::{MILLISECOND, Moment, SECOND};
use crate::growth::Turn;
use crate::world::{Datagram, World};

/// How long it may take before the node goes on as before; and how soon it is told to go again.
const LASTS: Moment = 10 * SECOND;
const AGAIN_AFTER: Moment = 2 * SECOND;
const ASKS_AGAIN_AFTER: Moment = 200 * MILLISECOND;
const CATCHES_UP_WITHIN: Moment = 500 * MILLISECOND;
/// For how long followers hold on to a leader that is silent.
const LEASE: Moment = 240 * MILLISECOND;
const TAKES_OFFICE_WITHIN: Moment = SECOND;
/// Until then the leader may be making a replica of an observer, for it has not heard that it goes.
const HEARD_WITHIN: Moment = 1_500 * MILLISECOND;

/// A leader's office on its way to another voter.
#[derive(Debug, Clone, Copy)]
pub enum Office {
    /// The leader writes nothing more until the other has all of its log.
    CatchesUp { to: usize, until: Moment },
    /// Nor does it say anything, until its followers vote for another.
    Silent { to: usize, until: Moment },
    /// The other was told to stand.
    Called { until: Moment },
}

/// How far a node has come that goes.
#[derive(Debug)]
pub struct Drain {
    until: Moment,
    /// Which run it has had marked down, and when.
    marked: Option<(Incarnation, Moment)>,
    pub office: Option<Office>,
    /// Whether it has left the ring and its office, and now leaves the replicas.
    pub is_leaving: bool,
    /// How long it must have been an observer then, and since when it is.
    heard_after: Moment,
    observes_since: Moment,
    is_drained: bool,
}

impl Drain {
    const fn until(until: Moment) -> Self {
        let (marked, office, is_leaving, is_drained) = (None, None, false, false);
        Self { until, marked, office, is_leaving, heard_after: 0, observes_since: 0, is_drained }
    }
}

impl World {
    /// Goes, if somebody wants it to.
    pub fn look_after_drain(&mut self, n: usize) {
        if !self.nodes[n].is_to_go || !self.nodes[n].serves() {
            return;
        }
        let now = self.now;
        let node = &mut self.nodes[n];
        let Some(drain) = &node.drain else {
            if now >= node.drains_at {
                node.drain = Some(Drain::until(now + LASTS));
            }
            return;
        };
        if drain.is_drained {
            return;
        }
        if now >= drain.until {
            (node.drain, node.drains_at) = (None, now + AGAIN_AFTER);
        } else if drain.is_leaving {
            self.leave_the_replicas(n);
        } else if let Some(incarnation) = self.own_member(n) {
            self.leave_the_ring(n, incarnation);
        } else if !self.nodes[n].ring.has(self.nodes[n].id) && self.nodes[n].waiters() == 0 {
            self.hand_leadership_over(n);
        }
    }

    /// The run of this node that is a member, if it is a replica still.
    fn own_member(&self, n: usize) -> Option<Incarnation> {
        let node = &self.nodes[n];
        node.ledger.members().find(|member| member.node == node.id).filter(|_| node.role() != Role::Observer)
    }

    fn leave_the_ring(&mut self, n: usize, incarnation: Incarnation) {
        let now = self.now;
        let Some(drain) = &mut self.nodes[n].drain else { return };
        let is_asked = |(marked, at): (Incarnation, Moment)| marked == incarnation && now - at < ASKS_AGAIN_AFTER;
        if drain.marked.is_some_and(is_asked) {
            return;
        }
        drain.marked = Some((incarnation, now));
        let command = Command::MarkDown { incarnation };
        match self.nodes[n].log.leader {
            Some(leader) if leader == n => self.submitted(n, n, 0, command),
            Some(leader) => self.send(n, leader, Datagram::Submit(0, command)),
            None => {}
        }
    }

    /// Has another voter lead, if this node does: then it leaves the replicas.
    fn hand_leadership_over(&mut self, n: usize) {
        let now = self.now;
        let office = match self.nodes[n].office().copied() {
            _ if !self.nodes[n].log.leads() => None,
            None => self.next_leader(n).map(|to| Office::CatchesUp { to, until: now + CATCHES_UP_WITHIN }),
            Some(Office::CatchesUp { to, .. }) if self.nodes[n].log.lag_of(to) == Some(0) => {
                Some(Office::Silent { to, until: now + LEASE })
            }
            Some(Office::Silent { to, until }) if now >= until => {
                self.send(n, to, Datagram::Stand);
                Some(Office::Called { until: now + TAKES_OFFICE_WITHIN })
            }
            Some(Office::CatchesUp { until, .. } | Office::Called { until }) if now >= until => None,
            office @ Some(_) => office,
        };
        let is_free = office.is_none() && (!self.nodes[n].log.leads() || self.next_leader(n).is_none());
        let heard_after = if self.nodes[n].role() == Role::Observer { HEARD_WITHIN } else { 0 };
        let Some(drain) = &mut self.nodes[n].drain else { return };
        let was = std::mem::replace(&mut drain.office, office);
        (drain.is_leaving, drain.heard_after, drain.observes_since) = (is_free, heard_after, now);
        if matches!(was, Some(Office::Called { .. })) && !self.nodes[n].log.leads() {
            self.witness.seen.handed_over += 1;
        }
    }

    /// Who is to lead when this leader leaves.
    fn next_leader(&self, n: usize) -> Option<usize> {
        let node = &self.nodes[n];
        let is_fit = |other: &usize| {
            let is_voter = node.role_of(self.nodes[*other].id) == Role::Voter;
            is_voter && !node.heard[other].standing.is_leaving && self.is_caught_up(n, *other)
        };
        node.heard.keys().copied().filter(|&other| self.is_there(n, other)).find(is_fit)
    }

    /// Waits until it is none of them, and is gone a while after that: until then it routes.
    fn leave_the_replicas(&mut self, n: usize) {
        let (now, is_observer) = (self.now, self.nodes[n].role() == Role::Observer);
        let Some(drain) = &mut self.nodes[n].drain else { return };
        if !is_observer {
            drain.observes_since = now;
        } else if now - drain.observes_since >= drain.heard_after {
            drain.is_drained = true;
            self.witness.seen.drained += 1;
            self.witness.keepers.drained(n);
            self.turn_later(2 * SECOND, Turn::Exit(n, self.nodes[n].run));
        }
    }

    /// Whether this leader says nothing to its followers, so that they elect another.
    pub fn is_silent(&self, n: usize) -> bool {
        matches!(self.nodes[n].office(), Some(Office::Silent { .. } | Office::Called { .. }))
    }
}
