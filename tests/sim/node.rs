//! One node: its process, its disk, and what it knows of the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use turnstile::engine::grant::{Incarnation, NodeId};
use turnstile::engine::ledger::{Command, LeaderClock, Ledger};
use turnstile::engine::membership::{KnownReplicas, Role};
use turnstile::engine::ring::Ring;
use turnstile::engine::shard::Shard;
use turnstile::engine::time::Timestamp;

use crate::clock::{Clock, Moment};
use crate::drain::{Drain, Office};
use crate::log::Log;
use crate::observers::Following;
use crate::proposer::Proposer;
use crate::session::Reply;
use crate::standing::{Heard, Standing};
use crate::world::Event;

/// A leader's entry under way.
#[derive(Debug)]
pub struct Writing {
    pub index: usize,
    pub term: u64,
    pub asked: Vec<(usize, u64)>,
}

#[derive(Debug)]
pub struct Node {
    pub id: NodeId,
    pub clock: Clock,
    pub is_up: bool,
    pub is_stopped: bool,
    /// With its disk, for good.
    pub is_gone: bool,
    pub deferred: Vec<Event>,
    /// Which run of the process.
    pub run: u64,
    pub log: Log,
    pub ledger: Ledger,
    /// The newest that it has applied, or followed.
    pub ring: Arc<Ring>,
    pub applied: usize,
    pub applied_term: u64,
    pub applied_at: Timestamp,
    pub leader_clock: LeaderClock,
    pub inbox: VecDeque<(usize, u64, Command)>,
    pub writing: Option<Writing>,
    pub proposer: Proposer,
    pub shards: Vec<Shard<Reply>>,
    /// How often each has crashed.
    pub crashes: Vec<u64>,
    /// The tenure of the first.
    pub tenures: u64,
    /// Calls that have nowhere to wait.
    pub homeless: BTreeSet<usize>,
    /// What it says of itself, and has heard of the others.
    pub standing: Standing,
    pub heard: BTreeMap<usize, Heard>,
    /// Since when it watches each run.
    pub watched: BTreeMap<Incarnation, Moment>,
    pub looked_at: Moment,
    pub heard_leader_at: Moment,
    pub patience: Moment,
    pub beats_at: Moment,
    pub greeted: BTreeMap<usize, Moment>,
    pub ticks_at: Moment,
    pub reconciles_at: Moment,
    /// Whose ring it follows, and has followed last; and whose turn it is when that one is lost.
    pub following: Option<Following>,
    pub followed: Option<usize>,
    pub turn: usize,
    /// Whether somebody wants it to go, and how far it has come.
    pub is_to_go: bool,
    pub drain: Option<Drain>,
    pub drains_at: Moment,
    pub is_disk_slow: bool,
    /// Its next write fails: then it stops.
    pub fails_disk: bool,
    pub wakes_at: Option<Moment>,
}

impl Node {
    /// Whether its owners and its router are there.
    pub fn serves(&self) -> bool {
        self.is_up && !self.shards.is_empty()
    }

    /// What a node is by the newest replicas that this one knows.
    pub fn role_of(&self, node: NodeId) -> Role {
        self.standing.known.as_ref().map_or(Role::Observer, |known| known.replicas.role(node))
    }

    /// What it takes itself for.
    pub fn role(&self) -> Role {
        self.role_of(self.id)
    }

    /// Whether it is known to have no log.
    pub fn observes(&self) -> bool {
        self.standing.known.is_some() && self.role() == Role::Observer
    }

    /// Whether it is a voter by the newest that it knows: its own log, committed or not, may be an old one.
    pub fn may_stand(&self) -> bool {
        let Some((index, configuration)) = self.log.configuration() else { return false };
        let at = (self.log.entry(*index).term, u64::try_from(*index).unwrap());
        match &self.standing.known {
            Some(known) if known.at >= at => known.replicas.role(self.id) == Role::Voter,
            _ => configuration.has_voter(self.log.me),
        }
    }

    /// Takes what is known of the replicas, if it is newer.
    pub fn learn(&mut self, known: Option<&Rc<KnownReplicas>>) {
        if known.map(|known| known.at) > self.standing.known.as_ref().map(|known| known.at) {
            self.standing.known = known.cloned();
        }
    }

    /// Whether it may be an owner: as a replica, which has applied that it is one, and does not go.
    pub fn may_own(&self) -> bool {
        let by_log =
            self.log.configuration().is_some_and(|(at, configuration)| *at <= self.applied && configuration.has(self.log.me));
        by_log && self.role() != Role::Observer && self.drain.is_none()
    }

    /// Whether its ring is one that it has no part in, though it had joined by an earlier one.
    pub fn is_out(&self) -> bool {
        self.proposer.joined().is_some_and(|joined| self.ring.epoch() >= joined) && !self.ring.has(self.id)
    }

    /// Takes itself for no member any more, if it reaches no leader who would tell: it may never hear who leads now.
    pub fn give_up_if_out(&mut self) {
        if self.is_out() {
            self.proposer.is_out();
        }
    }

    /// How far it has come with handing its office over, if it does.
    pub fn office(&self) -> Option<&Office> {
        self.drain.as_ref()?.office.as_ref()
    }

    /// Whether it leads and is to write nothing more.
    pub fn hands_over(&self) -> bool {
        self.office().is_some()
    }

    /// How much its owners have in memory.
    pub fn residents(&self) -> usize {
        self.shards.iter().map(Shard::residents).sum()
    }

    pub fn waiters(&self) -> usize {
        self.shards.iter().map(Shard::waiters).sum()
    }
}
