//! How each node stands: what it says of itself in its greetings, and what it makes of those of others. By the same rules as the product's.

use std::rc::Rc;

use turnstile::engine::membership::{KnownReplicas, Replicas, Role};

use crate::clock::{MILLISECOND, Moment};
use crate::configuration::Configuration;
use crate::world::{Datagram, World};

const GREETS_EVERY: Moment = 100 * MILLISECOND;
const GREETS_SELDOM: Moment = 500 * MILLISECOND;
const GREETS_OBSERVERS_EVERY: Moment = 5_000 * MILLISECOND;
pub const THERE_WITHIN: Moment = 1_000 * MILLISECOND;
const QUORUM_WITHIN: Moment = 400 * MILLISECOND;

/// What a node says of itself.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    pub known: Option<Rc<KnownReplicas>>,
    /// Whether it is in touch with a quorum.
    pub serves: bool,
    pub is_leaving: bool,
}

/// What a node has heard of another, and when.
#[derive(Debug)]
pub struct Heard {
    pub at: Moment,
    pub standing: Standing,
}

impl World {
    /// A greeting.
    pub fn greeted_by(&mut self, n: usize, from: usize, standing: Standing) {
        self.nodes[n].learn(standing.known.as_ref());
        self.nodes[n].heard.insert(from, Heard { at: self.now, standing });
    }

    /// Greets whom it is time to greet.
    pub fn greet(&mut self, n: usize) {
        for to in (0..self.nodes.len()).filter(|&to| to != n) {
            let every = self.greets_every(n, to);
            let is_due = self.nodes[n].greeted.get(&to).is_none_or(|at| self.now >= at + every);
            if is_due && !self.nodes[to].is_gone {
                self.nodes[n].greeted.insert(to, self.now);
                let standing = self.nodes[n].standing.clone();
                self.send(n, to, Datagram::Hello(standing));
            }
        }
    }

    fn greets_every(&self, n: usize, to: usize) -> Moment {
        let node = &self.nodes[n];
        if node.standing.known.is_none() || !node.heard.contains_key(&to) {
            return GREETS_EVERY;
        }
        match (node.role() == Role::Observer, node.role_of(self.nodes[to].id) == Role::Observer) {
            (false, false) => GREETS_EVERY,
            (true, true) => GREETS_OBSERVERS_EVERY,
            _ => GREETS_SELDOM,
        }
    }

    /// Keeps what a node says of itself true.
    pub fn stand(&mut self, n: usize) {
        let by_log = self.known_by_log(n);
        self.nodes[n].learn(by_log.as_ref());
        let node = &self.nodes[n];
        let is_observer = node.role() == Role::Observer;
        let leader_serves = |leader: usize| self.is_there(n, leader) && node.heard[&leader].standing.serves;
        let serves = if node.log.leads() { self.leads(n) } else { !is_observer && node.log.leader.is_some_and(leader_serves) };
        let is_leaving = node.drain.as_ref().is_some_and(|drain| drain.is_leaving);
        let standing = &mut self.nodes[n].standing;
        (standing.serves, standing.is_leaving) = (serves, is_leaving);
    }

    /// The replicas by a node's own log, if that is news, and committed: what is not may be cut off again.
    fn known_by_log(&self, n: usize) -> Option<Rc<KnownReplicas>> {
        let node = &self.nodes[n];
        let (index, configuration) = node.log.configuration().filter(|(index, _)| *index <= node.applied)?;
        let at = (node.log.entry(*index).term, u64::try_from(*index).unwrap());
        let is_news = node.standing.known.as_ref().is_none_or(|known| known.at < at);
        is_news.then(|| Rc::new(KnownReplicas { at, replicas: self.replicas(configuration) }))
    }

    /// What a configuration says, as nodes tell each other.
    pub fn replicas(&self, configuration: &Configuration) -> Replicas {
        let ids = |nodes: &std::collections::BTreeSet<usize>| nodes.iter().map(|&node| self.nodes[node].id).collect();
        Replicas { voters: ids(&configuration.all_voters()), spares: ids(&configuration.learners) }
    }

    /// Whether a node has heard of another lately.
    pub fn is_there(&self, n: usize, other: usize) -> bool {
        self.nodes[n].heard.get(&other).is_some_and(|heard| self.now - heard.at < THERE_WITHIN)
    }

    /// Whether a node leads, as far as it can know: a quorum has answered it lately.
    pub fn leads(&self, n: usize) -> bool {
        self.nodes[n].log.leads_since(self.now.saturating_sub(QUORUM_WITHIN))
    }
}
