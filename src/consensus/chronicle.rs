//! What happens to a cluster, told once by each node that sees it: who leads, who keeps the log, who owns connections.

use std::collections::BTreeSet;

use super::Consensus;
use crate::engine::grant::NodeId;
use crate::engine::ring::Ring;
use crate::telemetry;

/// How things stood when they were told last.
#[derive(Debug, Default)]
struct Told {
    term: u64,
    leader: Option<NodeId>,
    voters: BTreeSet<NodeId>,
    spares: BTreeSet<NodeId>,
    members: BTreeSet<NodeId>,
}

impl Consensus {
    /// Logs elections, changes of those who keep the log, and rings, and counts elections; from now on, until it is dropped.
    pub(crate) fn chronicle(&self) -> impl Future<Output = ()> + Send + 'static {
        // It changes with elections and members only, not with every entry.
        let (mut raft, mut rings) = (self.raft.server_metrics(), self.ledger.ring());
        let elections = telemetry::ELECTIONS.counter();
        let first = raft.borrow().vote.leader_id().get_term();
        let mut told = Told { term: first, ..Told::default() };
        raft.mark_changed();
        rings.mark_changed();
        async move {
            loop {
                // Both are cancel-safe.
                let changed = tokio::select! {
                    changed = raft.changed() => changed,
                    changed = rings.changed() => changed,
                };
                if changed.is_err() {
                    return;
                }
                {
                    let server = raft.borrow_and_update();
                    let term = server.vote.leader_id().get_term();
                    elections.increment(term.saturating_sub(told.term));
                    told.lead(term, server.current_leader.map(NodeId::new));
                    let membership = server.membership_config.membership();
                    let voters = membership.voter_ids().map(NodeId::new).collect();
                    told.keep_the_log(voters, membership.learner_ids().map(NodeId::new).collect());
                }
                told.own(&rings.borrow_and_update());
            }
        }
    }
}

impl Told {
    fn lead(&mut self, term: u64, leader: Option<NodeId>) {
        if let Some(leader) = leader.filter(|_| (term, leader) != (self.term, self.leader)) {
            tracing::info!(term, %leader, "a leader is elected");
        }
        (self.term, self.leader) = (term, leader);
    }

    fn keep_the_log(&mut self, voters: BTreeSet<NodeId>, spares: BTreeSet<NodeId>) {
        if (&voters, &spares) != (&self.voters, &self.spares) {
            tracing::info!(voters = %list(&voters), spares = %list(&spares), "these nodes keep the log");
            (self.voters, self.spares) = (voters, spares);
        }
    }

    fn own(&mut self, ring: &Ring) {
        let members: BTreeSet<NodeId> = ring.members().keys().copied().collect();
        if members != self.members {
            let (came, went) = (list(members.difference(&self.members)), list(self.members.difference(&members)));
            tracing::info!(epoch = ring.epoch().0.0, members = %list(&members), %came, %went, "these nodes own connections");
            self.members = members;
        }
    }
}

fn list<'a>(nodes: impl IntoIterator<Item = &'a NodeId>) -> String {
    nodes.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
