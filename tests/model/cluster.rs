//! The cluster as a state machine: what may happen next, and what comes of it.

use std::collections::BTreeMap;

use stateright::{Model, Property};
use turnstile::engine::grant::{Incarnation, NodeId};

use super::audit::Audit;
use super::log::{Connection, Log, Message, Said, Tick};
use super::node::{Process, View, Wish};
use super::scene::SCENES;
use super::variant::{Promise, Variant, first_run};

/// How far the exploration goes. Within the bounds it leaves nothing out.
#[derive(Debug, Clone)]
pub struct Bounds {
    pub nodes: u64,
    pub connection: Connection,
    /// The last moment.
    pub ticks: Tick,
    /// The most entries of the log.
    pub entries: u64,
    /// The most batches of one run.
    pub batches: u64,
    /// The most crashes and cuts, together.
    pub faults: u8,
}

/// The model that the checker explores.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub bounds: Bounds,
    pub variant: Variant,
}

/// A node, dead or alive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Node {
    pub process: Option<Process>,
    /// The newest run, so that the next one is another. Runs are drawn at random, so that nothing needs to remember this.
    pub last: Option<Incarnation>,
    /// Whether it is in a partition of its own.
    pub is_cut: bool,
}

/// Everything there is at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub now: Tick,
    pub nodes: BTreeMap<NodeId, Node>,
    /// Messages that may be committed, each with the number of its copies.
    wire: BTreeMap<Message, u8>,
    pub log: Log,
    pub audit: Audit,
    faults: u8,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// A process of the node starts, and asks to join.
    Start(NodeId),
    /// A message on the wire becomes an entry, and its sender reads the answer, if it is still there.
    Commit(Message),
    /// No answer came in time: the same message again.
    Repeat(NodeId),
    /// An owner proposes, by the newest ring or by the one that it saw last. A slot that it holds goes back with it.
    Propose(NodeId, Wish, View),
    /// A worker starts what it was granted.
    Release(NodeId),
    /// The process dies.
    Crash(NodeId),
    /// Nothing reaches the node, nor comes from it.
    Cut(NodeId),
    /// The node is reached again.
    Heal(NodeId),
    /// The others mark a silent member down.
    MarkDown(NodeId),
    /// Time passes.
    Tick,
}

impl Cluster {
    fn node_acts(&self, state: &State, id: NodeId, node: &Node, acts: &mut Vec<Act>) {
        let (may_fail, may_commit) = (state.faults < self.bounds.faults, state.log.length < self.bounds.entries);
        let member = state.log.member(id);
        let runs = node.process.as_ref().map(|process| self.variant.named(process.run));
        if may_commit && member.is_some() && (node.is_cut || runs != member) {
            acts.push(Act::MarkDown(id));
        }
        let Some(process) = &node.process else {
            acts.push(Act::Start(id));
            return;
        };
        if may_fail {
            acts.push(Act::Crash(id));
        }
        if process.may_start(&self.bounds.connection, self.variant, state.now) {
            acts.push(Act::Release(id));
        }
        let newest = (!node.is_cut).then(|| View::newest(id, &state.log, &self.bounds.connection));
        let former = process.view.filter(|view| newest.is_none_or(|newest| view.epoch != newest.epoch));
        for view in former.into_iter().chain(newest.filter(|_| process.view.is_some())) {
            let wishes = [Wish::Slot, Wish::GiveBack].into_iter();
            let possible = wishes.filter(|&wish| process.may_propose(wish, view, self.bounds.batches));
            acts.extend(possible.map(|wish| Act::Propose(id, wish, view)));
        }
        if node.is_cut {
            acts.push(Act::Heal(id));
            return;
        }
        if may_fail && member.is_some() {
            acts.push(Act::Cut(id));
        }
        if !process.is_joining() && process.flight.is_some_and(|flight| !flight.is_repeated) {
            acts.push(Act::Repeat(id));
        }
    }

    fn perform(&self, state: &mut State, act: Act) {
        let Bounds { connection, .. } = &self.bounds;
        let State { now, nodes, wire, log, audit, faults } = state;
        let now = *now;
        let mut sends = None;
        match act {
            Act::Commit(message) => {
                take_one(wire, message);
                let applied = log.commit(connection, self.variant, now, message);
                audit.committed(message, applied);
                // An answer to a node that is cut off is lost.
                let Some(node) = nodes.get_mut(&message.sender()).filter(|node| !node.is_cut) else { return };
                let Some(process) = node.process.as_mut().filter(|process| process.awaits(message)) else { return };
                if process.settle(applied.said, log, connection, self.variant) {
                    node.last = Some(process.run);
                    sends = process.flight.map(|_| message.sender());
                } else {
                    node.process = None;
                }
            }
            Act::MarkDown(id) => {
                let Some(member) = log.member(id) else { return };
                let gives_back = self.variant == Variant::HeirGivesBack;
                let newest = audit.charges.iter().rev().find(|charged| gives_back && charged.by == member);
                let applied = log.mark_down(connection, now, member, newest.map(|charged| charged.stamp));
                audit.taken_back(applied);
            }
            Act::Tick => {
                state.now += 1;
                audit.passed(connection, state.now);
            }
            Act::Start(id) => {
                let Some(node) = nodes.get_mut(&id) else { return };
                let run = node.last.map_or(first_run(id), Incarnation::next);
                (node.process, node.last) = (Some(Process::started(run, log)), Some(run));
                sends = Some(id);
            }
            Act::Crash(id) => {
                let Some(node) = nodes.get_mut(&id) else { return };
                node.process = None;
                *faults += 1;
            }
            Act::Cut(id) => {
                let Some(node) = nodes.get_mut(&id) else { return };
                node.is_cut = true;
                *faults += 1;
            }
            Act::Heal(id) => {
                let Some(node) = nodes.get_mut(&id) else { return };
                node.is_cut = false;
                // A join is tried until it is answered; a proposal may be repeated at any time.
                sends = node.process.as_ref().is_some_and(Process::is_joining).then_some(id);
            }
            Act::Repeat(id) | Act::Propose(id, ..) | Act::Release(id) => {
                let Some(process) = nodes.get_mut(&id).and_then(|node| node.process.as_mut()) else { return };
                match (act, process.flight.as_mut()) {
                    (Act::Repeat(_), Some(flight)) => {
                        flight.is_repeated = true;
                        sends = Some(id);
                    }
                    (Act::Propose(_, wish, view), _) => {
                        process.propose(wish, view, self.variant, now);
                        sends = Some(id);
                    }
                    _ => {
                        if let Some(slot) = process.slot.take() {
                            audit.started(connection, now, slot);
                        }
                    }
                }
            }
        }
        let sender = sends.and_then(|id| nodes.get(&id)).filter(|node| !node.is_cut);
        if let Some(flight) = sender.and_then(|node| node.process.as_ref()).and_then(|process| process.flight) {
            *wire.entry(flight.message).or_default() += 1;
        }
    }

    /// What the ledger answers to this message now.
    pub fn answer_to(&self, state: &State, message: Message) -> Said {
        state.log.clone().commit(&self.bounds.connection, self.variant, state.now, message).said
    }
}

impl Message {
    fn sender(self) -> NodeId {
        match self {
            Self::Join { run, .. } | Self::Propose { run, .. } => run.node,
        }
    }
}

fn take_one(wire: &mut BTreeMap<Message, u8>, message: Message) {
    match wire.get_mut(&message) {
        Some(copies) if *copies > 1 => *copies -= 1,
        _ => drop(wire.remove(&message)),
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        let (log, nodes) = (Log::new(), BTreeMap::new());
        let mut state = State { now: 0, nodes, wire: BTreeMap::new(), log, audit: Audit::default(), faults: 0 };
        for id in (1..=self.bounds.nodes).map(NodeId::new) {
            state.nodes.insert(id, Node::default());
            self.perform(&mut state, Act::Start(id));
        }
        vec![state]
    }

    fn actions(&self, state: &State, acts: &mut Vec<Act>) {
        if state.log.length < self.bounds.entries {
            acts.extend(state.wire.keys().map(|&message| Act::Commit(message)));
        }
        for (&id, node) in &state.nodes {
            self.node_acts(state, id, node, acts);
        }
        if state.now < self.bounds.ticks {
            acts.push(Act::Tick);
        }
    }

    fn next_state(&self, state: &State, act: Act) -> Option<State> {
        let mut next = state.clone();
        self.perform(&mut next, act);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let promises = [
            Property::<Self>::always(Promise::Limit.name(), |_, state| state.audit.holds(Promise::Limit)),
            Property::<Self>::always(Promise::Charged.name(), |_, state| state.audit.holds(Promise::Charged)),
            Property::<Self>::always(Promise::Own.name(), |_, state| state.audit.holds(Promise::Own)),
            Property::<Self>::always(Promise::GivenBack.name(), |_, state| state.audit.holds(Promise::GivenBack)),
            Property::<Self>::always(Promise::Succession.name(), |_, state| state.audit.holds(Promise::Succession)),
            Property::<Self>::always(Promise::Once.name(), |_, state| state.audit.holds(Promise::Once)),
        ];
        let scenes = SCENES.iter().map(|&(name, happens)| Property::sometimes(name, happens));
        promises.into_iter().chain(scenes).collect()
    }
}
