//! Who keeps the log: what a leader changes when replicas are missing, gone or leaving.
//!
//! *Replicas* have the log and own connections: *voters*, whose disks make a quorum, and *spares*, which stand by (Raft calls them learners). All other nodes are
//! *observers*, which cost the log nothing.
//!
//! Promises: one change at a time, and none after which those who are there would be no majority; the same view gives the same change.
//! Must not: know how a change is made, or who is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::grant::NodeId;

/// How many voters there are to be: one may fail.
pub const VOTERS: usize = 3;

/// How many replicas there are to be, voters and spares together.
pub const REPLICAS: usize = 5;

/// How long ago a node may have been heard of that is there.
pub const THERE_WITHIN: Duration = Duration::from_secs(1);

/// How long a replica may be silent before another takes its part: it may only be restarting.
pub const REPLACED_AFTER: Duration = Duration::from_secs(5);

/// How long a spare may be silent before it is forgotten.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Who has the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replicas {
    /// Whose disks make a quorum.
    pub voters: BTreeSet<NodeId>,
    /// Who stands by.
    pub spares: BTreeSet<NodeId>,
}

/// The replicas by one entry of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownReplicas {
    /// That entry's term and index: the newest knows best.
    pub at: (u64, u64),
    /// Who they are; in the midst of a change also those who are about to go.
    pub replicas: Replicas,
}

/// What a node is to its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its disk counts for the quorum.
    Voter,
    /// It has the log, and stands by.
    Spare,
    /// It follows the ring, and has no log.
    Observer,
}

/// What the leader knows of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// How long it has not been heard of.
    pub silent_for: Duration,
    /// Whether it wants to go.
    pub is_leaving: bool,
    /// Of a replica: whether its log is as good as the leader's.
    pub is_caught_up: bool,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Gives an observer the log.
    AddSpare(NodeId),
    /// Takes the log from a spare.
    DropSpare(NodeId),
    /// Makes these the voters: spares among them until now, and no spare after it who was a voter.
    SetVoters(BTreeSet<NodeId>),
}

impl Replicas {
    /// What a node is.
    #[must_use]
    pub fn role(&self, node: NodeId) -> Role {
        if self.voters.contains(&node) {
            Role::Voter
        } else if self.spares.contains(&node) {
            Role::Spare
        } else {
            Role::Observer
        }
    }

    /// Voters and spares.
    pub fn all(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.voters.iter().chain(&self.spares).copied()
    }
}

/// The next change that the leader `own` makes, if any, by what it has `seen` of all nodes, observers among them, and of itself.
#[must_use]
pub fn plan(own: NodeId, replicas: &Replicas, seen: &BTreeMap<NodeId, Seen>) -> Option<Change> {
    let view = View { own, replicas, seen };
    view.replace_voter().or_else(|| view.more_voters()).or_else(|| view.drop_spare()).or_else(|| view.add_spare())
}

struct View<'a> {
    own: NodeId,
    replicas: &'a Replicas,
    seen: &'a BTreeMap<NodeId, Seen>,
}

impl View<'_> {
    fn is_silent(&self, node: NodeId, for_long: Duration) -> bool {
        node != self.own && self.seen.get(&node).is_none_or(|seen| seen.silent_for >= for_long)
    }

    fn is_there(&self, node: NodeId) -> bool {
        !self.is_silent(node, THERE_WITHIN)
    }

    fn is_leaving(&self, node: NodeId) -> bool {
        self.seen.get(&node).is_some_and(|seen| seen.is_leaving)
    }

    /// Whether a node is to have a part: neither gone nor leaving.
    fn stays(&self, node: NodeId) -> bool {
        !self.is_silent(node, REPLACED_AFTER) && !self.is_leaving(node)
    }

    /// Whether a node can take a part at this moment.
    fn is_fit(&self, node: NodeId) -> bool {
        self.is_there(node) && !self.is_leaving(node)
    }

    /// Whether anybody who is no voter could be one soon.
    fn somebody_comes(&self) -> bool {
        self.seen.keys().any(|node| self.replicas.role(*node) != Role::Voter && self.is_fit(*node))
    }

    /// The spares that could be voters at once.
    fn ready(&self) -> impl Iterator<Item = NodeId> + '_ {
        let is_caught_up = |node: &NodeId| self.seen.get(node).is_some_and(|seen| seen.is_caught_up);
        self.replicas.spares.iter().copied().filter(is_caught_up).filter(|node| self.is_fit(*node))
    }

    /// A voter that is gone or leaves gives its part to a spare. Without one, and if nobody else is there who could be one, who leaves makes the quorum smaller, for it would be
    /// missing; who is gone may come back. The leader itself hands its office over before it leaves, if there is anybody to take it.
    fn replace_voter(&self) -> Option<Change> {
        let is_alone = self.replicas.voters.len() == 1;
        let others = || self.replicas.voters.iter().copied().filter(move |voter| *voter != self.own || is_alone);
        let gone = others().find(|voter| self.is_silent(*voter, REPLACED_AFTER));
        let leaving = others().find(|voter| self.is_leaving(*voter));
        for voter in gone.into_iter().chain(leaving) {
            let mut rest = self.replicas.voters.clone();
            rest.remove(&voter);
            if let Some(spare) = self.ready().next() {
                rest.insert(spare);
            } else if !self.is_leaving(voter) || self.somebody_comes() || !rest.iter().all(|node| self.is_fit(*node)) {
                continue;
            }
            let there = rest.iter().filter(|node| self.is_there(**node)).count();
            if there > rest.len() / 2 {
                return Some(Change::SetVoters(rest));
            }
        }
        None
    }

    /// All that are missing, or none: of two voters, neither may fail.
    fn more_voters(&self) -> Option<Change> {
        let missing = VOTERS.checked_sub(self.replicas.voters.len()).filter(|missing| *missing > 0)?;
        let ready: BTreeSet<NodeId> = self.ready().take(missing).collect();
        (ready.len() == missing).then(|| Change::SetVoters(self.replicas.voters.union(&ready).copied().collect()))
    }

    /// A spare that leaves, is gone for good, or is one too many because another has come back.
    fn drop_spare(&self) -> Option<Change> {
        let spares = || self.replicas.spares.iter().copied();
        let staying = self.replicas.all().filter(|node| self.stays(*node)).count();
        let useless = spares().find(|spare| self.is_leaving(*spare) || self.is_silent(*spare, FORGOTTEN_AFTER));
        let too_many = || spares().rev().find(|spare| self.stays(*spare)).filter(|_| staying > REPLICAS);
        useless.or_else(too_many).map(Change::DropSpare)
    }

    fn add_spare(&self) -> Option<Change> {
        let staying = self.replicas.all().filter(|node| self.stays(*node)).count();
        let mut observers = self.seen.keys().copied().filter(|node| self.replicas.role(*node) == Role::Observer);
        let fit = observers.find(|node| *node != self.own && self.is_fit(*node));
        fit.filter(|_| staying < REPLICAS).map(Change::AddSpare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId::new).collect()
    }

    /// Node 1 leads. The silence of each is in seconds; those who leave are listed.
    fn planned(voters: &[u64], spares: &[u64], silent: &[(u64, u64)], leaving: &[u64]) -> Option<Change> {
        let seen = silent.iter().map(|&(node, seconds)| {
            let silent_for = Duration::from_secs(seconds);
            (NodeId::new(node), Seen { silent_for, is_leaving: leaving.contains(&node), is_caught_up: true })
        });
        plan(NodeId::new(1), &Replicas { voters: nodes(voters), spares: nodes(spares) }, &seen.collect())
    }

    fn set(ids: &[u64]) -> Option<Change> {
        Some(Change::SetVoters(nodes(ids)))
    }

    #[test]
    fn observers_become_spares_and_spares_voters_until_there_are_enough() {
        assert_eq!(planned(&[1], &[], &[(2, 0), (3, 0)], &[]), Some(Change::AddSpare(NodeId::new(2))));
        // Two voters would be worse than one.
        assert_eq!(planned(&[1], &[2], &[(2, 0), (3, 0)], &[]), Some(Change::AddSpare(NodeId::new(3))));
        assert_eq!(planned(&[1], &[2, 3], &[(2, 0), (3, 0)], &[]), set(&[1, 2, 3]));
        assert_eq!(planned(&[1, 2], &[3], &[(2, 0), (3, 0)], &[]), set(&[1, 2, 3]));
        let all = [(2, 0), (3, 0), (4, 0), (5, 0), (6, 0)];
        assert_eq!(planned(&[1, 2, 3], &[4], &all, &[]), Some(Change::AddSpare(NodeId::new(5))));
        assert_eq!(planned(&[1, 2, 3], &[4, 5], &all, &[]), None);
    }

    #[test]
    fn a_voter_that_is_gone_is_replaced_by_a_spare_and_stays_when_there_is_none() {
        assert_eq!(planned(&[1, 2, 3], &[4], &[(2, 4), (3, 0), (4, 0)], &[]), None);
        assert_eq!(planned(&[1, 2, 3], &[4], &[(2, 5), (3, 0), (4, 0)], &[]), set(&[1, 3, 4]));
        assert_eq!(planned(&[1, 2, 3], &[4], &[(2, 5), (3, 0), (4, 2)], &[]), None);
        assert_eq!(planned(&[1, 2, 3], &[], &[(2, 500), (3, 0)], &[]), None);
    }

    #[test]
    fn who_leaves_is_replaced_or_makes_the_quorum_smaller() {
        assert_eq!(planned(&[1, 2, 3], &[4], &[(2, 0), (3, 0), (4, 0)], &[2]), set(&[1, 3, 4]));
        assert_eq!(planned(&[1, 2, 3], &[], &[(2, 0), (3, 0)], &[2]), set(&[1, 3]));
        assert_eq!(planned(&[1, 2, 3], &[], &[(2, 0), (3, 0), (4, 0)], &[2]), Some(Change::AddSpare(NodeId::new(4))));
        assert_eq!(planned(&[1, 2], &[], &[(2, 0)], &[2]), set(&[1]));
        assert_eq!(planned(&[1, 2, 3], &[4], &[(1, 0), (2, 0), (3, 0), (4, 0)], &[1]), None, "it leads");
        assert_eq!(planned(&[1], &[4], &[(1, 0), (4, 0)], &[1]), set(&[4]));
        assert_eq!(planned(&[1], &[], &[(1, 0)], &[1]), None);
        assert_eq!(planned(&[1, 2, 3], &[4], &[(2, 0), (3, 0), (4, 0)], &[4]), Some(Change::DropSpare(NodeId::new(4))));
    }

    #[test]
    fn nobody_is_taken_away_whose_absence_would_leave_no_majority_or_when_all_leave() {
        assert_eq!(planned(&[1, 2, 3], &[], &[(2, 0), (3, 3)], &[2]), None);
        assert_eq!(planned(&[1, 2, 3], &[], &[(2, 0), (3, 0)], &[2, 3]), None);
        assert_eq!(planned(&[1, 2, 3, 4, 5], &[6], &[(2, 9), (3, 9), (4, 9), (5, 9), (6, 0)], &[]), None);
    }

    #[test]
    fn a_spare_that_is_gone_is_replaced_at_once_and_forgotten_later_and_who_comes_back_is_one_too_many() {
        let gone_for = |seconds| [(2, 0), (3, 0), (4, 0), (5, seconds), (6, 0)];
        assert_eq!(planned(&[1, 2, 3], &[4, 5], &gone_for(5), &[]), Some(Change::AddSpare(NodeId::new(6))));
        assert_eq!(planned(&[1, 2, 3], &[4, 5, 6], &gone_for(59), &[]), None);
        assert_eq!(planned(&[1, 2, 3], &[4, 5, 6], &gone_for(60), &[]), Some(Change::DropSpare(NodeId::new(5))));
        assert_eq!(planned(&[1, 2, 3], &[4, 5, 6], &gone_for(0), &[]), Some(Change::DropSpare(NodeId::new(6))));
    }

    #[test]
    fn a_spare_that_has_not_caught_up_is_no_voter() {
        let seen = |is_caught_up| Seen { silent_for: Duration::ZERO, is_leaving: false, is_caught_up };
        let replicas = Replicas { voters: nodes(&[1, 2]), spares: nodes(&[3]) };
        let planned = |caught_up| {
            let seen = BTreeMap::from([(NodeId::new(2), seen(true)), (NodeId::new(3), seen(caught_up))]);
            plan(NodeId::new(1), &replicas, &seen)
        };
        assert_eq!((planned(false), planned(true)), (None, set(&[1, 2, 3])));
    }
}
