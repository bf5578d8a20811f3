//! Who asks: one attempt to have a founding chosen.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use super::{Acceptance, Ballot, Founding, Promise};
use crate::engine::grant::NodeId;

/// One attempt, under one ballot. It lives in memory: a node that starts again makes another attempt, under another ballot.
///
/// It is told the answers to what was asked under its own ballot, those of the node's own acceptor among them, in any order and any number of times.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proposer {
    ballot: Ballot,
    /// How many acceptors are a quorum.
    expect: NonZeroUsize,
    /// What it asks for when enough have promised: its own, until a promise tells of one that was accepted.
    founding: Founding,
    /// The ballot under which that was accepted; `None` while it is its own.
    inherited_from: Option<Ballot>,
    promised_by: BTreeSet<NodeId>,
    accepted_by: BTreeSet<NodeId>,
    /// The highest ballot that it has heard of.
    highest: Ballot,
}

impl Proposer {
    /// An attempt under `ballot` to have `own` chosen, unless something else may have been chosen before.
    ///
    /// `expect` is more than half of all nodes that may ever start together, and the same for all of them.
    #[must_use]
    pub const fn new(ballot: Ballot, expect: NonZeroUsize, own: Founding) -> Self {
        Self {
            ballot,
            expect,
            founding: own,
            inherited_from: None,
            promised_by: BTreeSet::new(),
            accepted_by: BTreeSet::new(),
            highest: ballot,
        }
    }

    /// Under which ballot it asks.
    #[must_use]
    pub const fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// The acceptor of node `by` has answered to the ballot.
    ///
    /// Of what was accepted, the founding of the highest ballot counts: if any was chosen, it is that one. What is told after a quorum has
    /// promised changes nothing, for a founding is asked for by then, and a ballot asks for one only.
    pub fn promised(&mut self, by: NodeId, answer: Promise) {
        match answer {
            Promise::Refused { promised } => self.outbid_by(promised),
            Promise::Granted { .. } if self.asks_for().is_some() => {}
            Promise::Granted { accepted } => {
                self.promised_by.insert(by);
                if let Some((ballot, founding)) = accepted
                    && self.inherited_from < Some(ballot)
                {
                    (self.inherited_from, self.founding) = (Some(ballot), founding);
                }
            }
        }
    }

    /// What all acceptors are to be asked to accept, as soon as a quorum has promised.
    #[must_use]
    pub fn asks_for(&self) -> Option<&Founding> {
        (self.promised_by.len() >= self.expect.get()).then_some(&self.founding)
    }

    /// The acceptor of node `by` has answered to the founding.
    pub fn accepted(&mut self, by: NodeId, answer: Acceptance) {
        match answer {
            Acceptance::Refused { promised } => self.outbid_by(promised),
            Acceptance::Granted => {
                self.accepted_by.insert(by);
            }
        }
    }

    /// The founding, as soon as a quorum has accepted it: it is chosen for good.
    #[must_use]
    pub fn chosen(&self) -> Option<&Founding> {
        self.asks_for().filter(|_| self.accepted_by.len() >= self.expect.get())
    }

    /// The highest ballot that it has heard of, its own among them: the next attempt comes after it.
    #[must_use]
    pub const fn highest(&self) -> Ballot {
        self.highest
    }

    fn outbid_by(&mut self, promised: Ballot) {
        self.highest = self.highest.max(promised);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::grant::ClusterId;

    const NOTHING: Promise = Promise::Granted { accepted: None };

    fn node(id: u64) -> NodeId {
        NodeId::new(id)
    }

    fn ballot(round: u64, id: u64) -> Ballot {
        Ballot { round, node: node(id) }
    }

    fn founding(cluster: u128) -> Founding {
        Founding::of(ClusterId(cluster), &BTreeSet::from([node(1)]))
    }

    fn accepted(under: Ballot, cluster: u128) -> Promise {
        Promise::Granted { accepted: Some((under, founding(cluster))) }
    }

    /// The first attempt of round 5: node 1 would found cluster 1.
    fn proposer(expect: usize) -> Proposer {
        Proposer::new(ballot(5, 1), NonZeroUsize::new(expect).unwrap(), founding(1))
    }

    #[test]
    fn a_founding_is_asked_for_when_as_many_as_expected_have_promised_and_chosen_when_as_many_have_accepted() {
        for expect in 1..=4 {
            let mut proposer = proposer(expect);
            for id in 1..=5 {
                proposer.promised(node(id), NOTHING);
                let is_quorum = usize::try_from(id).unwrap() >= expect;
                assert_eq!(proposer.asks_for(), is_quorum.then_some(&founding(1)), "{id} of {expect} have promised");
            }
            for id in 1..=5 {
                proposer.accepted(node(id), Acceptance::Granted);
                let is_quorum = usize::try_from(id).unwrap() >= expect;
                assert_eq!(proposer.chosen(), is_quorum.then_some(&founding(1)), "{id} of {expect} have accepted");
            }
        }
    }

    #[test]
    fn an_acceptor_counts_once_however_often_its_answer_comes() {
        let mut proposer = proposer(2);
        for _ in 0..2 {
            proposer.promised(node(2), NOTHING);
        }
        assert_eq!(proposer.asks_for(), None);
        proposer.promised(node(1), NOTHING);
        for _ in 0..2 {
            proposer.accepted(node(2), Acceptance::Granted);
        }
        assert_eq!(proposer.chosen(), None);
        proposer.accepted(node(3), Acceptance::Granted);
        assert_eq!(proposer.chosen(), Some(&founding(1)));
    }

    #[test]
    fn what_was_accepted_under_the_highest_ballot_is_asked_for_in_place_of_its_own() {
        let orders = [[(1, 2), (4, 3), (2, 4)], [(4, 3), (1, 2), (2, 4)], [(1, 2), (2, 4), (4, 3)]];
        for order in orders {
            let mut proposer = proposer(4);
            proposer.promised(node(1), NOTHING);
            for (round, id) in order {
                proposer.promised(node(id), accepted(ballot(round, id), u128::from(id)));
            }
            assert_eq!(proposer.asks_for(), Some(&founding(3)), "answers in the order {order:?}");
        }
    }

    #[test]
    fn a_promise_that_comes_after_the_quorum_does_not_change_what_is_asked_for() {
        let mut proposer = proposer(2);
        proposer.promised(node(1), NOTHING);
        proposer.promised(node(2), NOTHING);
        proposer.promised(node(3), accepted(ballot(4, 3), 3));
        assert_eq!(proposer.asks_for(), Some(&founding(1)));
    }

    #[test]
    fn who_refuses_counts_for_nothing_and_tells_what_is_to_be_outbid() {
        let mut proposer = proposer(2);
        assert_eq!(proposer.highest(), ballot(5, 1));
        proposer.promised(node(1), NOTHING);
        proposer.promised(node(2), Promise::Refused { promised: ballot(7, 2) });
        assert_eq!((proposer.asks_for(), proposer.highest()), (None, ballot(7, 2)));
        proposer.promised(node(3), NOTHING);
        proposer.accepted(node(1), Acceptance::Granted);
        proposer.accepted(node(2), Acceptance::Refused { promised: ballot(8, 3) });
        proposer.accepted(node(3), Acceptance::Refused { promised: ballot(6, 2) });
        assert_eq!((proposer.chosen(), proposer.highest()), (None, ballot(8, 3)));
        assert!(Ballot::after(Some(proposer.highest()), node(1)) > ballot(8, 3));
    }
}
