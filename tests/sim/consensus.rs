//! The log in the world: messages, elections, the leader's stamps, and proposals on their way. By the same rules as the product's, but that one
//! election is one event.

use std::rc::Rc;
use std::sync::Arc;

use rand::RngExt as _;
use turnstile::engine::grant::LogIndex;
use turnstile::engine::ledger::{Answer, Command, LedgerEntry};

use crate::clock::{MILLISECOND, Moment};
use crate::faults::Undo;
use crate::proposer::Outcome;
use crate::world::{Datagram, Event, World, Writing};

const BEATS_EVERY: Moment = 50 * MILLISECOND;
const GREETS_EVERY: Moment = 100 * MILLISECOND;
const TICKS_EVERY: Moment = 1_000 * MILLISECOND;
const SILENT_FOR: Moment = 500 * MILLISECOND;
const LOOKS_WITHIN: Moment = 200 * MILLISECOND;
const ANSWERED_WITHIN: Moment = 400 * MILLISECOND;
const MAX_COMMANDS_PER_ENTRY: usize = 64;

impl World {
    pub fn receive(&mut self, from: usize, to: usize, body: Datagram) {
        match body {
            Datagram::Hello => self.nodes[to].heard[from] = self.now,
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
                self.nodes[to].log.appended(from, appended);
                self.step_down(to);
                self.apply(to);
            }
            Datagram::Submit(request, command) => self.submitted(to, from, request, command),
            Datagram::Answer(request, answer) => self.answered(to, request, answer),
        }
    }

    /// What a leader that is none any more forgets.
    fn step_down(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if !node.log.leads() {
            node.inbox.clear();
            node.writing = None;
        }
    }

    fn broadcast(&mut self, n: usize) {
        for to in (0..self.nodes.len()).filter(|&to| to != n) {
            if let Some(append) = self.nodes[n].log.to_send(to) {
                self.send(n, to, Datagram::Append(append));
            }
        }
    }

    fn write_to_disk(&mut self, n: usize) {
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
        if self.now >= self.nodes[n].greets_at {
            self.nodes[n].greets_at = self.now + GREETS_EVERY;
            (0..self.nodes.len()).filter(|&to| to != n).for_each(|to| self.send(n, to, Datagram::Hello));
        }
        if self.nodes[n].log.leads() {
            if self.now >= self.nodes[n].beats_at {
                self.nodes[n].beats_at = self.now + BEATS_EVERY;
                self.broadcast(n);
            }
        } else if self.now - self.nodes[n].heard_leader_at > self.nodes[n].patience {
            self.elect(n, false);
        }
        self.watch(n);
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

    /// Makes a node leader, if a majority that it reaches votes for it. The impatient don't care whether there is a leader.
    pub fn elect(&mut self, n: usize, is_impatient: bool) {
        let age = self.nodes[n].log.age();
        let votes = |v: &usize| {
            let voter = &self.nodes[*v];
            let is_free = is_impatient || self.now - voter.heard_leader_at > 150 * MILLISECOND;
            *v == n || voter.is_up && !voter.is_stopped && self.network.connects(n, *v) && voter.log.age() <= age && is_free
        };
        let voters: Vec<usize> = (0..self.nodes.len()).filter(votes).collect();
        if voters.len() * 2 <= self.nodes.len() || self.nodes[n].is_stopped || !self.nodes[n].is_up {
            return;
        }
        let term = voters.iter().map(|&v| self.nodes[v].log.term).max().unwrap() + 1;
        for v in voters {
            self.nodes[v].heard_leader_at = self.now;
            self.nodes[v].patience = self.random.random_range(200..400) * MILLISECOND;
            if v != n {
                self.nodes[v].log.vote(term);
                self.step_down(v);
            }
        }
        self.nodes[n].inbox.clear();
        self.nodes[n].writing = None;
        self.nodes[n].log.lead(term);
        self.broadcast(n);
        self.write_to_disk(n);
    }

    /// Marks members down that are silent, while this node leads.
    fn watch(&mut self, n: usize) {
        let (now, id) = (self.now, self.nodes[n].id);
        let node = &mut self.nodes[n];
        if now - std::mem::replace(&mut node.looked_at, now) > LOOKS_WITHIN {
            node.watched.clear();
        }
        let members: Vec<_> = node.ledger.members().filter(|member| member.node != id).collect();
        node.watched.retain(|member, _| members.contains(member));
        for member in members {
            let since = *self.nodes[n].watched.entry(member).or_insert(now);
            let other = self.nodes.iter().position(|node| node.id == member.node).unwrap();
            let silent_since = self.nodes[n].heard[other].max(since);
            if self.nodes[n].log.leads() && now - silent_since > SILENT_FOR {
                self.nodes[n].watched.insert(member, now);
                self.submitted(n, n, 0, Command::MarkDown { incarnation: member });
            }
        }
    }

    /// Submits what is to be answered, if nobody has answered it for long, or somebody else leads.
    pub fn ask(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let is_gathered = !node.shards.is_empty() && node.proposer.gather();
        let Some(leader) = node.log.leader else { return };
        let waits = |&(_, whom, since): &(u64, usize, Moment)| whom == leader && self.now - since < ANSWERED_WITHIN;
        if !is_gathered && node.proposer.asked.as_ref().is_some_and(waits) {
            return;
        }
        let Some(command) = node.proposer.command() else { return };
        self.last_request += 1;
        let request = self.last_request;
        self.nodes[n].proposer.asked = Some((request, leader, self.now));
        if leader == n {
            self.submitted(n, n, request, command);
        } else {
            self.send(n, leader, Datagram::Submit(request, command));
        }
    }

    fn submitted(&mut self, n: usize, from: usize, request: u64, command: Command) {
        if self.nodes[n].log.leads() {
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
        if node.writing.is_some() || node.inbox.is_empty() || !node.log.leads() {
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
        let index = node.log.append(Some(Rc::new(LedgerEntry { stamp, commands })));
        node.writing = Some(Writing { index, term, asked });
        self.broadcast(n);
        self.write_to_disk(n);
    }

    /// Applies what is committed, and answers whoever asked for it.
    pub fn apply(&mut self, n: usize) {
        let before = self.epoch(n);
        while self.nodes[n].applied < self.nodes[n].log.committed {
            let local = self.local(n);
            let node = &mut self.nodes[n];
            let index = node.applied + 1;
            let entry = node.log.entry(index).clone();
            (node.applied, node.applied_term) = (index, entry.term);
            let mut answers = Vec::new();
            if let Some(body) = &entry.body {
                answers = node.ledger.apply(LogIndex(u64::try_from(index).unwrap()), body);
                node.applied_at = local;
            }
            self.witness.applied(index, entry.body.as_deref(), &answers, self.nodes[n].ledger.now());
            if self.nodes[n].writing.as_ref().is_some_and(|writing| writing.index == index) {
                let writing = self.nodes[n].writing.take().unwrap();
                if writing.term == entry.term {
                    self.tell(n, writing, answers);
                }
            }
        }
        if self.nodes[n].ledger.ring().epoch() > before {
            self.nodes[n].ring = Arc::new(self.nodes[n].ledger.ring().clone());
            self.ring_changed(n);
        }
        self.stamp(n);
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
            return;
        };
        self.witness.seen.joined_again += u64::from(answer == Answer::NotMember);
        let ring = self.epoch(n);
        match self.nodes[n].proposer.answered(answer, ring) {
            Outcome::Nothing => {}
            Outcome::Settled(by_shard) => {
                // One that has crashed since is not there to let anything go: its slots leave with their window.
                let is_there = |&((shard, crashes), _): &((usize, u64), _)| self.nodes[n].crashes[shard] == crashes;
                for ((shard, _), settled) in by_shard.into_iter().filter(is_there).collect::<Vec<_>>() {
                    self.with_shard(n, shard, |shard, local, _| shard.settled(local, settled));
                }
            }
            Outcome::Superseded => {
                self.witness.superseded();
                self.crash(n);
                self.schedule(1_000 * MILLISECOND, Event::Undo(Undo::Restart(n)));
                return;
            }
        }
        self.drain(n);
    }
}
