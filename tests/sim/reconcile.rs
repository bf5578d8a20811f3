//! The leader's part in who keeps the log, by the same rules as the product's: one change at a time, which the product's own `plan` decides.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use turnstile::engine::grant::NodeId;
use turnstile::engine::ledger::Command;
use turnstile::engine::membership::{Change, Role, Seen, plan};

use crate::clock::{MILLISECOND, Moment};
use crate::configuration::Configuration;
use crate::log::Body;
use crate::world::World;

const LOOKS_EVERY: Moment = 100 * MILLISECOND;
/// How many entries a log may be behind that is as good as the leader's.
const MAX_LAG: usize = 256;

impl World {
    /// Makes good what is missing, while this node leads.
    pub fn reconcile(&mut self, n: usize) {
        if self.now < self.nodes[n].reconciles_at {
            return;
        }
        self.nodes[n].reconciles_at = self.now + LOOKS_EVERY;
        if !self.leads(n) || self.nodes[n].hands_over() {
            return;
        }
        let log = &self.nodes[n].log;
        let Some((_, configuration)) = log.configuration().filter(|(at, _)| *at <= log.committed).cloned() else { return };
        match configuration.settled().or_else(|| self.planned(n, &configuration)) {
            Some(next) => {
                let is_of_voters = next.voters != configuration.voters || next.next.is_some();
                self.nodes[n].log.append(Body::Configuration(Rc::new(next)));
                if is_of_voters {
                    self.strike_in_the_midst();
                }
                self.broadcast(n);
                self.write_to_disk(n);
            }
            None => self.mark_others_down(n, &configuration),
        }
    }

    /// What the leader would change now.
    pub fn planned(&self, n: usize, configuration: &Configuration) -> Option<Configuration> {
        let change = plan(self.nodes[n].id, &self.replicas(configuration), &self.seen_by(n))?;
        Some(match change {
            Change::AddSpare(node) => configuration.with_learner(self.index_of(node)),
            Change::DropSpare(node) => configuration.without_learner(self.index_of(node)),
            Change::SetVoters(voters) => {
                let voters: BTreeSet<usize> = voters.into_iter().map(|voter| self.index_of(voter)).collect();
                configuration.towards(voters)
            }
        })
    }

    /// What a node knows of all nodes.
    fn seen_by(&self, n: usize) -> BTreeMap<NodeId, Seen> {
        let node = &self.nodes[n];
        let own = Seen { silent_for: Duration::ZERO, is_leaving: node.standing.is_leaving, is_caught_up: true };
        let others = node.heard.iter().map(|(&other, heard)| {
            let silent_for = Duration::from_nanos(self.now - heard.at);
            let is_caught_up = self.is_caught_up(n, other);
            (self.nodes[other].id, Seen { silent_for, is_leaving: heard.standing.is_leaving, is_caught_up })
        });
        std::iter::once((node.id, own)).chain(others).collect()
    }

    /// At the leader: whether a replica's log is as good as its own.
    pub fn is_caught_up(&self, n: usize, other: usize) -> bool {
        self.nodes[n].log.lag_of(other).is_some_and(|lag| lag <= MAX_LAG)
    }

    /// A member that has no log any more owns nothing.
    fn mark_others_down(&mut self, n: usize, configuration: &Configuration) {
        let known = self.replicas(configuration);
        let members: Vec<_> = self.nodes[n].ledger.members().collect();
        for incarnation in members.into_iter().filter(|member| known.role(member.node) == Role::Observer) {
            self.submitted(n, n, 0, Command::MarkDown { incarnation });
        }
    }

    /// The node of this id.
    pub fn index_of(&self, id: NodeId) -> usize {
        self.nodes.iter().position(|node| node.id == id).expect("ids are those of nodes")
    }
}
