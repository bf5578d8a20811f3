//! Nodes that have no cluster yet as a state machine: what may happen next, and what comes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use stateright::{Model, Property};
use turnstile::engine::founding::{Acceptance, Acceptor, Ballot, Founding, Promise, Proposer};
use turnstile::engine::grant::{ClusterId, NodeId};

use super::variant::{CHOSEN_IS_CHOSEN, ONE_FOUNDING, SCENES, Variant};

/// How far the exploration goes. Within the bounds it leaves nothing out.
#[derive(Debug, Clone)]
pub struct Bounds {
    pub nodes: u64,
    /// How many acceptors are a quorum.
    pub expect: usize,
    /// Which nodes may see each other at some moment: the lowest of each view may found by it.
    pub views: Vec<BTreeSet<NodeId>>,
    /// The most ballots, of all nodes together.
    pub attempts: usize,
}

/// The model that the checker explores.
#[derive(Debug, Clone)]
pub struct Assembly {
    pub bounds: Bounds,
    pub variant: Variant,
}

/// One node without a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Node {
    /// On its disk.
    pub acceptor: Acceptor,
    /// In its memory: the attempt that it makes.
    pub proposer: Option<Proposer>,
}

/// What was said. Who asks speaks to all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    Prepare {
        ballot: Ballot,
    },
    Promised {
        ballot: Ballot,
        by: NodeId,
        accepted: Option<(Ballot, Founding)>,
    },
    Accept {
        ballot: Ballot,
        founding: Founding,
    },
    /// The founding is named for those who watch: the proposer knows what it asked for.
    Accepted {
        ballot: Ballot,
        by: NodeId,
        founding: Founding,
    },
}

/// Everything there is at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub nodes: BTreeMap<NodeId, Node>,
    /// All that was ever said.
    pub said: BTreeSet<Message>,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// The lowest node of a view begins to found a cluster by it.
    Propose(BTreeSet<NodeId>),
    /// A message arrives.
    Hear(NodeId, Message),
    /// The process of a node dies, and starts again.
    Crash(NodeId),
}

impl Assembly {
    /// What has been chosen so far, for those who see all that was ever said.
    pub fn chosen(&self, state: &State) -> BTreeSet<(Ballot, Founding)> {
        let mut accepted: BTreeMap<_, usize> = BTreeMap::new();
        for message in &state.said {
            if let Message::Accepted { ballot, founding, .. } = message {
                *accepted.entry((*ballot, founding)).or_default() += 1;
            }
        }
        let chosen = accepted.into_iter().filter(|&(_, by)| by >= self.bounds.expect);
        chosen.map(|((ballot, founding), _)| (ballot, founding.clone())).collect()
    }

    /// What becomes of whom, and what it says.
    fn outcome(&self, state: &State, act: Act) -> Option<(NodeId, Node, Option<Message>)> {
        match act {
            Act::Propose(view) => {
                let id = *view.first()?;
                let mut acceptor = state.nodes.get(&id)?.acceptor.clone();
                let ballot = Ballot::after(self.variant.remembered(&acceptor), id);
                // A node draws the id of the cluster that it would found once, however often it tries.
                let own = Founding::of(ClusterId(u128::from(id.get())), &view);
                let mut proposer = Proposer::new(ballot, NonZeroUsize::new(self.bounds.expect)?, own);
                proposer.promised(id, acceptor.prepare(ballot));
                Some((id, Node { acceptor, proposer: Some(proposer) }, Some(Message::Prepare { ballot })))
            }
            Act::Hear(id, message) => {
                let mut node = state.nodes.get(&id)?.clone();
                let says = self.hear(&mut node, id, message);
                Some((id, node, says))
            }
            Act::Crash(id) => {
                let acceptor = self.variant.restarted(&state.nodes.get(&id)?.acceptor);
                Some((id, Node { acceptor, proposer: None }, None))
            }
        }
    }

    /// What a node says when it hears this. Refusals change nothing, and nobody needs to hear them.
    fn hear(&self, node: &mut Node, id: NodeId, message: Message) -> Option<Message> {
        let Node { acceptor, proposer } = node;
        match message {
            Message::Prepare { ballot } => match acceptor.prepare(ballot) {
                Promise::Granted { accepted } => Some(Message::Promised { ballot, by: id, accepted }),
                Promise::Refused { .. } => None,
            },
            Message::Accept { ballot, founding } => match acceptor.accept(ballot, founding.clone()) {
                Acceptance::Granted => Some(Message::Accepted { ballot, by: id, founding }),
                Acceptance::Refused { .. } => None,
            },
            Message::Promised { ballot, by, accepted } => {
                let proposer = proposer.as_mut().filter(|proposer| proposer.ballot() == ballot)?;
                proposer.promised(by, Promise::Granted { accepted: self.variant.regarded(accepted) });
                Some(Message::Accept { ballot, founding: proposer.asks_for()?.clone() })
            }
            Message::Accepted { ballot, by, .. } => {
                proposer.as_mut().filter(|proposer| proposer.ballot() == ballot)?.accepted(by, Acceptance::Granted);
                None
            }
        }
    }
}

impl Model for Assembly {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        let nodes = (1..=self.bounds.nodes).map(|id| (NodeId::new(id), Node::default())).collect();
        vec![State { nodes, said: BTreeSet::new() }]
    }

    fn actions(&self, state: &State, acts: &mut Vec<Act>) {
        let attempts = state.said.iter().filter(|message| matches!(message, Message::Prepare { .. })).count();
        if attempts < self.bounds.attempts {
            acts.extend(self.bounds.views.iter().cloned().map(Act::Propose));
        }
        for message in &state.said {
            let hears = |&id: &NodeId| match message {
                Message::Prepare { .. } | Message::Accept { .. } => true,
                Message::Promised { ballot, .. } | Message::Accepted { ballot, .. } => ballot.node == id,
            };
            acts.extend(state.nodes.keys().copied().filter(hears).map(|id| Act::Hear(id, message.clone())));
        }
        acts.extend(state.nodes.keys().map(|&id| Act::Crash(id)));
    }

    fn next_state(&self, state: &State, act: Act) -> Option<State> {
        let (id, node, says) = self.outcome(state, act)?;
        let changes = state.nodes.get(&id) != Some(&node) || says.iter().any(|message| !state.said.contains(message));
        changes.then(|| {
            let mut next = state.clone();
            next.nodes.insert(id, node);
            next.said.extend(says);
            next
        })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let promises = [
            Property::<Self>::always(ONE_FOUNDING, |assembly, state| {
                let foundings: BTreeSet<_> = assembly.chosen(state).into_iter().map(|(_, founding)| founding).collect();
                foundings.len() <= 1
            }),
            Property::<Self>::always(CHOSEN_IS_CHOSEN, |assembly, state| {
                let mut proposers = state.nodes.values().filter_map(|node| node.proposer.as_ref());
                proposers.all(|proposer| {
                    proposer.chosen().is_none_or(|chosen| assembly.chosen(state).contains(&(proposer.ballot(), chosen.clone())))
                })
            }),
        ];
        let scenes = SCENES.iter().map(|&(name, happens)| Property::sometimes(name, happens));
        promises.into_iter().chain(scenes).collect()
    }
}
