//! One run: what happens next, and to whom. One thread, one source of chance, no clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;

use rand::RngExt as _;
use rand::rngs::StdRng;
use turnstile::engine::grant::{Epoch, Incarnation, NodeId, ShardCount};
use turnstile::engine::ledger::{Answer, Command, LeaderClock, Ledger};
use turnstile::engine::ring::Ring;
use turnstile::engine::time::Timestamp;

use crate::call::Call;
use crate::clock::{Clock, MILLISECOND, Moment, SECOND};
use crate::configuration::Configuration;
use crate::faults::Undo;
use crate::growth::Turn;
use crate::log::{Append, Appended, Log};
use crate::network::Network;
use crate::node::Node;
use crate::proposer::Proposer;
use crate::scenario::Scenario;
use crate::session::{Frame, Session};
use crate::standing::Standing;
use crate::witness::Witness;

/// A message that may be lost.
#[derive(Debug, Clone)]
pub enum Datagram {
    Hello(Standing),
    Append(Append),
    Appended(Appended),
    /// From a leader that hands its office over.
    Stand,
    /// To an observer.
    Ring(Arc<Ring>),
    Submit(u64, Command),
    /// `None` from a node that does not lead.
    Answer(u64, Option<Answer>),
}

#[derive(Debug)]
pub enum Event {
    Datagram {
        from: usize,
        to: usize,
        body: Datagram,
    },
    Frame(u64, Frame),
    /// A node looks after everything that is done now and then.
    Pulse(usize, u64),
    /// A shard wants to be woken.
    Wake(usize, u64),
    /// A write to a disk is done.
    Synced(usize, u64),
    Call(usize),
    GiveUp(usize),
    Strike,
    Operate,
    Undo(Undo),
    Turn(Turn),
}

#[derive(Debug)]
pub struct World {
    pub now: Moment,
    sequence: u64,
    queue: BTreeMap<(Moment, u64), Event>,
    pub random: StdRng,
    pub scenario: Scenario,
    pub network: Network,
    pub nodes: Vec<Node>,
    pub sessions: BTreeMap<u64, Session>,
    pub last_session: u64,
    pub last_request: u64,
    pub calls: Vec<Call>,
    /// How many nodes are still to come or to go.
    pub turns: usize,
    pub witness: Witness,
    /// A digest of everything that has happened, for replays.
    pub digest: u64,
}

impl World {
    pub fn new(scenario: Scenario, random: StdRng) -> Self {
        let Scenario { founders, rule, way, lost, doubled, .. } = scenario;
        let mut world = Self {
            now: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            random,
            network: Network::new(way, lost, doubled),
            nodes: Vec::new(),
            sessions: BTreeMap::new(),
            last_session: 0,
            last_request: 0,
            calls: Vec::new(),
            turns: 0,
            witness: Witness::new(&scenario),
            digest: 0,
            scenario,
        };
        let founded = Rc::new(Configuration::of((0..founders).collect(), rule));
        (0..founders).for_each(|index| world.add(Log::founded(index, Rc::clone(&founded))));
        world
    }

    /// Another node, with this on its disk.
    pub fn add(&mut self, log: Log) {
        let (index, id) = (self.nodes.len(), NodeId::new(self.random.random()));
        let node = self.process(id, log, 0);
        self.nodes.push(node);
        self.schedule(0, Event::Pulse(index, 0));
    }

    /// A process that has just started, on this disk.
    fn process(&mut self, id: NodeId, log: Log, run: u64) -> Node {
        let drift = self.random.random_range(-self.scenario.drift..=self.scenario.drift);
        let clock = Clock::starting(self.now, self.random.random_range(SECOND..1_000_000 * SECOND), drift);
        let incarnation = Incarnation { node: id, run: NonZeroU64::new(self.random.random()).unwrap_or(NonZeroU64::MIN) };
        let shards = ShardCount::new(self.scenario.shards).unwrap();
        Node {
            id,
            clock,
            is_up: true,
            is_stopped: false,
            is_gone: false,
            deferred: Vec::new(),
            run,
            log,
            ledger: Ledger::new(),
            ring: Arc::default(),
            applied: 0,
            applied_term: 0,
            applied_at: clock.at(self.now),
            leader_clock: LeaderClock::default(),
            inbox: VecDeque::new(),
            writing: None,
            proposer: Proposer::new(incarnation, shards),
            shards: Vec::new(),
            crashes: vec![0; usize::from(self.scenario.shards)],
            tenures: self.random.random::<u64>() / 2,
            homeless: BTreeSet::new(),
            standing: Standing::default(),
            heard: BTreeMap::new(),
            watched: BTreeMap::new(),
            looked_at: self.now,
            heard_leader_at: self.now,
            patience: self.random.random_range(200..400) * MILLISECOND,
            beats_at: 0,
            greeted: BTreeMap::new(),
            ticks_at: 0,
            reconciles_at: 0,
            following: None,
            followed: None,
            turn: usize::try_from(id.get() % 1024).unwrap(),
            is_to_go: false,
            drain: None,
            drains_at: self.now,
            is_disk_slow: false,
            fails_disk: false,
            wakes_at: None,
        }
    }

    /// Kills a node. What its disk holds stays, and whoever called there is gone.
    pub fn crash(&mut self, n: usize) {
        self.witness.disrupted();
        let node = &mut self.nodes[n];
        node.log.crash();
        (node.is_up, node.is_stopped, node.run) = (false, false, node.run + 1);
        node.deferred.clear();
        node.shards.clear();
        self.break_sessions(n);
        for call in &mut self.calls {
            call.is_orphaned |= call.node == n && call.is_open();
        }
    }

    /// Starts a node again.
    pub fn restart(&mut self, n: usize) {
        let Node { id, run, is_to_go, ref log, .. } = self.nodes[n];
        let log = log.clone();
        self.nodes[n] = Node { is_to_go, ..self.process(id, log, run) };
        self.schedule(0, Event::Pulse(n, run));
    }

    /// What a node's clock shows.
    pub fn local(&self, n: usize) -> Timestamp {
        self.nodes[n].clock.at(self.now)
    }

    pub fn epoch(&self, n: usize) -> Epoch {
        self.nodes[n].ring.epoch()
    }

    pub fn schedule(&mut self, after: Moment, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + after, self.sequence), event);
    }

    pub fn send(&mut self, from: usize, to: usize, body: Datagram) {
        for delay in self.network.copies(&mut self.random, from, to) {
            self.schedule(delay, Event::Datagram { from, to, body: body.clone() });
        }
    }

    /// Does what comes next. Nothing is left to do when it says so.
    pub fn step(&mut self) -> bool {
        let Some(((at, _), event)) = self.queue.pop_first() else { return false };
        self.now = at;
        self.digest = self.digest.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at;
        if let Some(n) = self.addressee(&event).filter(|&n| self.nodes[n].is_stopped) {
            self.nodes[n].deferred.push(event);
            return true;
        }
        match event {
            Event::Datagram { from, to, body } if self.nodes[to].is_up => self.receive(from, to, body),
            Event::Frame(session, frame) => self.hear(session, frame),
            Event::Pulse(n, run) if self.is_running(n, run) => self.pulse(n),
            Event::Wake(n, run) if self.is_running(n, run) => self.wake(n),
            Event::Synced(n, run) if self.is_running(n, run) => self.synced(n),
            Event::Call(call) => self.begin(call),
            Event::GiveUp(call) => self.give_up(call),
            Event::Strike => self.strike(),
            Event::Operate => self.operate(),
            Event::Undo(undo) => self.undo(undo),
            Event::Turn(turn) => self.take_turn(turn),
            Event::Datagram { .. } | Event::Pulse(..) | Event::Wake(..) | Event::Synced(..) => {}
        }
        true
    }

    /// Whether all calls have begun that ever will.
    pub fn no_call_comes(&self) -> bool {
        !self.queue.values().any(|event| matches!(event, Event::Call(_)))
    }

    pub fn is_running(&self, n: usize, run: u64) -> bool {
        self.nodes[n].is_up && self.nodes[n].run == run
    }

    fn addressee(&self, event: &Event) -> Option<usize> {
        match event {
            Event::Datagram { to, .. } => Some(*to),
            Event::Frame(session, frame) => self.sessions.get(session).map(|session| match frame {
                Frame::Down(..) => session.owner,
                Frame::Up(_) => session.router,
            }),
            Event::Pulse(n, _) | Event::Wake(n, _) | Event::Synced(n, _) => Some(*n),
            Event::Call(call) | Event::GiveUp(call) => Some(self.calls[*call].node),
            Event::Strike | Event::Operate | Event::Undo(_) | Event::Turn(_) => None,
        }
    }

    /// Lets a node go on that was stopped: all that came meanwhile is there.
    pub fn resume(&mut self, n: usize) {
        self.nodes[n].is_stopped = false;
        for event in std::mem::take(&mut self.nodes[n].deferred) {
            self.schedule(0, event);
        }
    }

    fn pulse(&mut self, n: usize) {
        self.stand(n);
        self.greet(n);
        self.follow(n);
        self.look_after_consensus(n);
        self.tell_followers(n);
        self.look_after_ownership(n);
        self.look_after_drain(n);
        self.look_after_sessions(n);
        self.look_after_calls(n);
        let is_busy = self.sessions.values().any(|session| session.router == n && !session.at_router.open.is_empty());
        let after = if is_busy { 5 } else { 20 };
        self.schedule(after * MILLISECOND, Event::Pulse(n, self.nodes[n].run));
    }
}
