//! How nodes without a cluster become one: they choose a single [`Founding`], by Paxos.
//!
//! ```text
//!   a node that proposes                                   every node without a cluster
//!   Ballot::after ── prepare(ballot) ────────────────────► Acceptor::prepare, and to the disk
//!   Proposer      ◄────────────────────────── Promise ────
//!     asks_for    ── accept(ballot, founding) ───────────► Acceptor::accept, and to the disk
//!     chosen      ◄───────────────────────── Acceptance ───
//! ```
//!
//! The algorithm is L. Lamport's ("Paxos Made Simple", 2001), for one decision. A quorum is `expect` acceptors, a configured number: more
//! than half of all nodes that may ever start together, so that any two quorums have an acceptor in common. An acceptor's word outlives its
//! process, and a node without its disk is another node.
//!
//! Promises: one founding at most is ever chosen, whoever proposes, whatever it sees, and whichever messages are lost, late or doubled. Once
//! one is chosen, every later ballot that gets as far as to ask asks for that one, so that a proposer's death leaves nothing undecided.
//! Must not: choose when to propose, or when to give up. Proposers may outbid each other for ever, so their callers let them differ in time.

mod acceptor;
mod proposer;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use self::acceptor::{Acceptance, Acceptor, Promise};
pub use self::proposer::Proposer;
use crate::engine::grant::{ClusterId, NodeId};
use crate::engine::membership::VOTERS;

/// What is chosen: which cluster it is, and who keeps its log. All that learn it start from the same configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Founding {
    /// The id that its founder has drawn.
    pub cluster: ClusterId,
    /// The first voters.
    pub voters: BTreeSet<NodeId>,
}

impl Founding {
    /// The founding of `cluster` by a node that sees these nodes without a cluster, itself among them: the lowest [`VOTERS`] of them vote, or
    /// all of them when they are fewer.
    #[must_use]
    pub fn of(cluster: ClusterId, seen: &BTreeSet<NodeId>) -> Self {
        Self { cluster, voters: seen.iter().copied().take(VOTERS).collect() }
    }
}

/// One attempt of one node to have a founding chosen. Ballots are ordered by round, then by node.
///
/// A node uses a ballot once, also after a restart: it begins with one [after](Self::after) all that its own acceptor has promised, and has
/// its own acceptor promise that before anybody hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// From 1.
    pub round: u64,
    /// Whose attempt.
    pub node: NodeId,
}

impl Ballot {
    /// The first ballot of `node`, or the next one that outbids `highest`. After the last round there is none: it comes again, and every
    /// acceptor refuses it.
    #[must_use]
    pub fn after(highest: Option<Self>, node: NodeId) -> Self {
        Self { round: highest.map_or(0, |highest| highest.round).saturating_add(1), node }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId::new).collect()
    }

    #[test]
    fn the_voters_are_the_lowest_three_of_those_seen_or_all_of_fewer() {
        for (seen, voters) in [
            (nodes(&[7]), nodes(&[7])),
            (nodes(&[7, 2]), nodes(&[2, 7])),
            (nodes(&[7, 2, 5]), nodes(&[2, 5, 7])),
            (nodes(&[7, 2, 9, 5, 3]), nodes(&[2, 3, 5])),
        ] {
            let cluster = ClusterId(1);
            assert_eq!(Founding::of(cluster, &seen), Founding { cluster, voters }, "of {seen:?}");
        }
    }

    #[test]
    fn a_ballot_comes_after_those_of_lower_rounds_and_those_of_lower_nodes_in_its_own() {
        let ballot = |round, node| Ballot { round, node: NodeId::new(node) };
        let rising = [ballot(1, 1), ballot(1, 2), ballot(2, 1), ballot(2, 2), ballot(3, 1)];
        assert!(rising.is_sorted());
        assert_eq!(Ballot::after(None, NodeId::new(2)), ballot(1, 2));
        for highest in rising {
            for node in [1, 2] {
                let next = Ballot::after(Some(highest), NodeId::new(node));
                assert!(next > highest && next.node == NodeId::new(node), "{next:?} after {highest:?}");
            }
        }
    }
}
