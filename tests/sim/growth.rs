//! Who comes and goes: new nodes join, nodes are drained, and some are lost for good with their disks. Each run has all of that that it can bear.

use std::collections::BTreeSet;

use rand::RngExt as _;
use turnstile::engine::membership::Role;

use crate::clock::{MILLISECOND, Moment, SECOND};
use crate::configuration::Configuration;
use crate::log::Log;
use crate::scenario::Severity;
use crate::world::{Event, World};

/// Somebody comes or goes.
#[derive(Debug, Clone, Copy)]
pub enum Turn {
    /// A new node, without a log.
    Join,
    /// Somebody wants a node to go.
    Drain,
    /// A node is killed, and its disk is lost.
    Lose,
    /// The process of a node that was drained ends.
    Exit(usize, u64),
}

impl World {
    /// Draws who comes and goes in this run, and when: as many come as make observers of some.
    pub fn plan_turns(&mut self) {
        let joins = 6 - self.scenario.founders + self.random.random_range(0..=1);
        for _ in 0..joins {
            self.turn_between(SECOND / 2, 6 * SECOND, Turn::Join);
        }
        for _ in 0..self.random.random_range(1..=2) {
            self.turn_between(4 * SECOND, 18 * SECOND, Turn::Drain);
        }
        if self.scenario.severity == Severity::Rough {
            self.turn_between(5 * SECOND, 18 * SECOND, Turn::Lose);
        }
    }

    fn turn_between(&mut self, first: Moment, last: Moment, turn: Turn) {
        let after = self.random.random_range(first..=last);
        self.turns += 1;
        self.schedule(after, Event::Turn(turn));
    }

    pub fn turn_later(&mut self, longest: Moment, turn: Turn) {
        self.turn_between(MILLISECOND, longest, turn);
    }

    pub fn take_turn(&mut self, turn: Turn) {
        self.turns -= 1;
        match turn {
            Turn::Join => self.add(Log::new(self.nodes.len())),
            Turn::Drain => self.want_gone(),
            Turn::Lose => self.lose(),
            Turn::Exit(n, run) if self.is_running(n, run) => self.exit(n),
            // Killed after it was drained. One that was started again is drained again.
            Turn::Exit(n, _) if !self.nodes[n].is_up => self.is_gone_for_good(n),
            Turn::Exit(..) => {}
        }
    }

    /// Tells a node to go: the leader, one time in three.
    fn want_gone(&mut self) {
        let leads = |n: &usize| self.nodes[*n].log.leads();
        let stays = |n: &usize| self.nodes[*n].is_up && !self.nodes[*n].is_to_go;
        let is_one_lost = self.witness.seen.lost > 0;
        let bears = |n: &usize| !is_one_lost || self.staying_beside(*n) >= 2;
        let staying: Vec<usize> = (0..self.nodes.len()).filter(stays).filter(bears).collect();
        let leader = staying.iter().copied().find(leads);
        let any = staying.get(self.random.random_range(0..staying.len().max(1))).copied();
        let is_leader = self.random.random_ratio(1, 3);
        match leader.filter(|_| is_leader).or(any) {
            Some(n) => self.nodes[n].is_to_go = true,
            None => self.turn_later(SECOND, Turn::Drain),
        }
    }

    /// Kills a node for good, if the cluster can bear that, and has another one come.
    fn lose(&mut self) {
        let candidates: Vec<usize> = (0..self.nodes.len()).filter(|&n| self.can_be_lost(n)).collect();
        if candidates.is_empty() {
            return self.turn_later(SECOND, Turn::Lose);
        }
        let n = candidates[self.random.random_range(0..candidates.len())];
        self.witness.seen.lost += 1;
        self.is_gone_for_good(n);
        self.turn_later(3 * SECOND, Turn::Join);
    }

    /// Whether a majority of disks is left without this node's, by each configuration that may be in force; it makes no difference by which of them
    /// somebody was lost before.
    fn can_be_lost(&self, n: usize) -> bool {
        let is_left = |voter: usize| voter != n && !self.nodes[voter].is_gone;
        let from = self.witness.keepers.configured_at();
        let logs = self.nodes.iter().filter(|node| !node.is_gone).map(|node| &node.log);
        let bears = |configuration: &Configuration| configuration.has_majority(is_left);
        let node = &self.nodes[n];
        let is_borne = logs.flat_map(|log| log.configurations_from(from)).all(bears);
        !node.is_gone && !node.is_to_go && is_borne && self.staying_beside(n) >= 2
    }

    /// How many keep the log and stay, without this node. While a lost one still counts as there, voters may be made of it and those who stay, and one or two
    /// of them bear no loss.
    fn staying_beside(&self, n: usize) -> usize {
        let stays = |&other: &usize| other != n && self.nodes[other].role() != Role::Observer && !self.nodes[other].is_to_go;
        self.living().filter(stays).count()
    }

    /// The end of a process that was drained: whoever called there is told.
    fn exit(&mut self, n: usize) {
        let open: Vec<usize> = (0..self.calls.len()).filter(|&call| self.calls[call].node == n).collect();
        open.into_iter().for_each(|call| self.give_up(call));
        self.witness.keepers.drained(n);
        self.is_gone_for_good(n);
    }

    fn is_gone_for_good(&mut self, n: usize) {
        if self.nodes[n].is_up {
            self.crash(n);
        }
        let node = &mut self.nodes[n];
        (node.is_gone, node.following, node.drain) = (true, None, None);
        node.homeless.clear();
    }

    /// The nodes that are not gone for good.
    pub fn living(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|&n| !self.nodes[n].is_gone)
    }

    /// Why those who keep the log are not yet those who are to, or not all nodes know it; `None` when all is as it will stay.
    pub fn unsettled(&self) -> Option<String> {
        if self.turns > 0 || self.living().any(|n| self.nodes[n].is_to_go) {
            return Some("somebody is still to come or to go".to_owned());
        }
        let Some(leader) = self.living().find(|&n| self.leads(n)) else { return Some("nobody leads".to_owned()) };
        let (log, ring) = (&self.nodes[leader].log, &self.nodes[leader].ring);
        let (at, configuration) = log.configuration().expect("a leader has a log");
        if *at > log.committed || configuration.next.is_some() || self.planned(leader, configuration).is_some() {
            return Some(format!("a change is under way or to come: {configuration:?}"));
        }
        let members: BTreeSet<usize> = ring.members().keys().map(|&id| self.index_of(id)).collect();
        if members != configuration.replicas() {
            return Some(format!("{members:?} own, by {configuration:?}"));
        }
        let known = self.replicas(configuration);
        self.living().find_map(|n| {
            let node = &self.nodes[n];
            let is_behind = configuration.has(n) && node.applied < log.committed;
            let knows = node.standing.known.as_ref().is_some_and(|known_here| known_here.replicas == known);
            let what = if is_behind {
                "is behind"
            } else if node.ring.epoch() != ring.epoch() {
                "has not the newest ring"
            } else if !knows {
                "does not know who keeps the log"
            } else {
                return None;
            };
            Some(format!("node {n}, {:?}, {what}: {:?}", node.role(), node.standing))
        })
    }
}
