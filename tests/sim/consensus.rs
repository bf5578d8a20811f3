//! The log in the world: messages, the leader's stamps, and proposals on their way. By the same rules as the product's.

use std::rc::Rc;
use std::sync::Arc;

use rand::RngExt as _;
use turnstile::engine::grant::LogIndex;
use turnstile::engine::ledger::{Answer, Command, LedgerEntry};
use turnstile::engine::shard::Settled;

use crate::clock::{MILLISECOND, Moment};
use crate::configuration::Configuration;
use crate::faults::Undo;
use crate::log::Body;
use crate::node::Writing;
use crate::proposer::Outcome;
use crate::world::{Datagram, Event, World};

const BEATS_EVERY: Moment = 50 * MILLISECOND;
const TICKS_EVERY: Moment = 1_000 * MILLISECOND;
const ANSWERED_WITHIN: Moment = 400 * MILLISECOND;
const MAX_COMMANDS_PER_ENTRY: usize = 64;

impl World {
    pub fn receive(&mut self, from: usize, to: usize, body: Datagram) {
        match body {
            Datagram::Hello(standing) => self.greeted_by(to, from, standing),
            Datagram::Ring(ring) => self.hear_ring(to, from, &ring),
            Datagram::Stand => self.elect(to, false),
            Datagram::Append(append) => {
                if append.term >= self.nodes[to].log.term {
                    self.nodes[to].heard_leader_at = self.now;
                }
                let answer = self.nodes[to].log.receive(from, append);
                self.step_down(to);
                if let Some(answer) = answer {
                    self.send(to, from, Datagram::Appended(answer));
                }
                self.write_to_disk(to);
                self.apply(to);
            }
            Datagram::Appended(appended) => {
                self.nodes[to].log.appended(from, appended, self.now);
                self.step_down(to);
                self.apply(to);
            }
            Datagram::Submit(request, command) => self.submitted(to, from, request, command),
            Datagram::Answer(request, answer) => self.answered(to, request, answer),
        }
    }

    /// What a leader that is none any more forgets.
    pub fn step_down(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if !node.log.leads() {
            node.inbox.clear();
            node.writing = None;
        }
    }

    pub fn broadcast(&mut self, n: usize) {
        let Some((_, configuration)) = self.nodes[n].log.configuration().filter(|_| !self.is_silent(n)).cloned() else { return };
        for to in configuration.replicas().into_iter().filter(|&to| to != n) {
            if let Some(append) = self.nodes[n].log.to_send(to) {
                self.send(n, to, Datagram::Append(append));
            }
        }
    }

    pub fn write_to_disk(&mut self, n: usize) {
        if self.nodes[n].log.begins_sync() {
            let (shortest, longest) = self.scenario.sync;
            let slowness = if self.nodes[n].is_disk_slow { 40 } else { 1 };
            let takes = self.random.random_range(shortest..=longest) * slowness;
            self.schedule(takes, Event::Synced(n, self.nodes[n].run));
        }
    }

    pub fn synced(&mut self, n: usize) {
        if self.nodes[n].fails_disk {
            self.crash(n);
            return self.schedule(1_000 * MILLISECOND, Event::Undo(Undo::Restart(n)));
        }
        self.nodes[n].log.synced();
        let log = &self.nodes[n].log;
        if let Some(leader) = log.leader.filter(|&leader| leader != n) {
            let answer = log.acknowledges();
            self.send(n, leader, Datagram::Appended(answer));
        }
        self.write_to_disk(n);
        self.apply(n);
    }

    pub fn look_after_consensus(&mut self, n: usize) {
        if self.nodes[n].log.leads() {
            if self.now >= self.nodes[n].beats_at {
                self.nodes[n].beats_at = self.now + BEATS_EVERY;
                self.broadcast(n);
            }
        } else if self.now - self.nodes[n].heard_leader_at > self.nodes[n].patience {
            self.elect(n, false);
        }
        self.watch(n);
        self.reconcile(n);
        self.tick(n);
        self.ask(n);
    }

    /// Time passes for the ledger while it has something to forget.
    fn tick(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if node.log.leads() && node.ledger.tracked() > 0 && self.now >= node.ticks_at {
            node.ticks_at = self.now + TICKS_EVERY;
            self.submitted(n, n, 0, Command::Tick);
        }
    }

    /// Submits what is to be answered, if nobody has answered it for long, or somebody else leads.
    pub fn ask(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let may_own = node.may_own();
        let is_gathered = !node.shards.is_empty() && node.proposer.gather();
        let Some(leader) = node.log.leader else { return node.give_up_if_out() };
        let waits = |&(_, whom, since): &(u64, usize, Moment)| whom == leader && self.now - since < ANSWERED_WITHIN;
        match &node.proposer.asked {
            Some(asked) if !is_gathered && waits(asked) => return,
            Some(_) => node.give_up_if_out(),
            None => {}
        }
        let Some(command) = node.proposer.command(may_own) else { return };
        self.last_request += 1;
        let request = self.last_request;
        self.nodes[n].proposer.asked = Some((request, leader, self.now));
        if leader == n {
            self.submitted(n, n, request, command);
        } else {
            self.send(n, leader, Datagram::Submit(request, command));
        }
    }

    pub fn submitted(&mut self, n: usize, from: usize, request: u64, command: Command) {
        if self.nodes[n].log.leads() && !self.nodes[n].hands_over() {
            self.nodes[n].inbox.push_back((from, request, command));
            self.stamp(n);
        } else if from != n {
            self.send(n, from, Datagram::Answer(request, None));
        }
    }

    /// Makes one entry of what has been submitted, if none is under way and ledger time is known.
    fn stamp(&mut self, n: usize) {
        let local = self.local(n);
        let node = &mut self.nodes[n];
        if node.writing.is_some() || node.inbox.is_empty() || !node.log.leads() || node.hands_over() {
            return;
        }
        let term = node.log.term;
        let applied = (node.applied_term == term).then(|| (node.ledger.now(), node.applied_at));
        let Some(stamp) = node.leader_clock.stamp(local, term, applied) else { return };
        let count = node.inbox.len().min(MAX_COMMANDS_PER_ENTRY);
        let (mut asked, mut commands) = (Vec::new(), Vec::new());
        for (from, request, command) in node.inbox.drain(..count) {
            asked.push((from, request));
            commands.push(command);
        }
        let index = node.log.append(Body::Commands(Rc::new(LedgerEntry { stamp, commands })));
        node.writing = Some(Writing { index, term, asked });
        self.broadcast(n);
        self.write_to_disk(n);
    }

    /// Applies what is committed, and answers whoever asked for it.
    pub fn apply(&mut self, n: usize) {
        let before = Arc::clone(&self.nodes[n].ring);
        let (_, policies_before) = self.nodes[n].ledger.policies();
        while self.nodes[n].applied < self.nodes[n].log.committed {
            let local = self.local(n);
            let node = &mut self.nodes[n];
            let index = node.applied + 1;
            let entry = node.log.entry(index).clone();
            (node.applied, node.applied_term) = (index, entry.term);
            let mut answers = Vec::new();
            if let Body::Commands(body) = &entry.body {
                answers = node.ledger.apply(LogIndex(u64::try_from(index).unwrap()), body);
                node.applied_at = local;
            }
            self.witness.applied(index, &entry, &answers, self.nodes[n].ledger.now());
            if self.nodes[n].writing.as_ref().is_some_and(|writing| writing.index == index) {
                let writing = self.nodes[n].writing.take().unwrap();
                if writing.term == entry.term {
                    self.tell(n, writing, answers);
                }
            }
        }
        if self.nodes[n].ledger.policies().1 != policies_before {
            self.policies_changed(n);
        }
        if self.nodes[n].ledger.ring().epoch() > self.epoch(n) {
            self.nodes[n].ring = Arc::new(self.nodes[n].ledger.ring().clone());
            self.ring_changed(n, &before);
        }
        self.leave_office_if_removed(n);
        self.stamp(n);
    }

    /// A leader that is no voter by what is committed leads no more, once the others know.
    fn leave_office_if_removed(&mut self, n: usize) {
        let log = &self.nodes[n].log;
        let is_removed = |(at, configuration): &(usize, Rc<Configuration>)| *at <= log.committed && !configuration.has_voter(n);
        if log.leads() && log.configuration().is_some_and(is_removed) {
            self.broadcast(n);
            self.nodes[n].log.resign();
            self.step_down(n);
        }
    }

    fn tell(&mut self, n: usize, writing: Writing, answers: Vec<Answer>) {
        for ((from, request), answer) in writing.asked.into_iter().zip(answers) {
            if from == n {
                self.answered(n, request, Some(answer));
            } else {
                self.send(n, from, Datagram::Answer(request, Some(answer)));
            }
        }
    }

    fn answered(&mut self, n: usize, request: u64, answer: Option<Answer>) {
        if self.nodes[n].proposer.asked.is_none_or(|(asked, ..)| asked != request) {
            return;
        }
        let Some(answer) = answer else {
            // Asked again in a while.
            let again = self.now.saturating_sub(ANSWERED_WITHIN - 20 * MILLISECOND);
            self.nodes[n].proposer.asked = Some((request, self.nodes[n].log.leader.unwrap_or(n), again));
            return self.nodes[n].give_up_if_out();
        };
        if matches!(answer, Answer::Joined { .. }) && self.witness.keepers.joined(n) && n >= self.scenario.founders {
            self.witness.seen.joined += 1;
        }
        self.witness.seen.joined_again += u64::from(answer == Answer::NotMember);
        match self.nodes[n].proposer.answered(answer) {
            Outcome::Nothing => {}
            Outcome::Settled(by_shard) => self.settle(n, by_shard),
            Outcome::Superseded => {
                self.witness.superseded();
                self.crash(n);
                self.schedule(1_000 * MILLISECOND, Event::Undo(Undo::Restart(n)));
                return;
            }
        }
        self.drain(n);
    }

    /// Tells shards what became of their proposals.
    pub fn settle(&mut self, n: usize, by_shard: Vec<((usize, u64), Vec<Settled>)>) {
        // One that has crashed since is not there to let anything go: its slots leave with their window.
        let is_there = |&((shard, crashes), _): &((usize, u64), _)| self.nodes[n].crashes[shard] == crashes;
        for ((shard, _), settled) in by_shard.into_iter().filter(is_there).collect::<Vec<_>>() {
            self.with_shard(n, shard, |shard, local, _| shard.settled(local, settled));
        }
    }
}
