//! What the answers of several nodes come to.
//!
//! Promises: a node that only takes itself for the leader is not shown as one, nor is one shown as a voter that the leader has marked down.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::cli::ask::Answer;
use crate::wire::v1::GetStatusResponse;

/// How long ago a majority may have answered a leader that leads. Healthy ones are answered many times a second.
const LEADS_WITHIN: Duration = Duration::from_secs(1);

/// What a node is to its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It leads: a majority has answered it lately.
    Leader,
    /// It owns connections and votes.
    Voter,
    /// It owns connections, and stands by.
    Spare,
    /// It owns nothing, and follows those who do.
    Observer,
    /// It answers, has the log and owns nothing: the others have marked it down, or it is not in yet.
    Down,
    /// It does not answer.
    Unreachable,
}

impl Role {
    /// As it is printed.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Voter => "voter",
            Self::Spare => "spare",
            Self::Observer => "observer",
            Self::Down => "down",
            Self::Unreachable => "unreachable",
        }
    }
}

/// One cluster, seen from its leader; without one, from the node that has applied most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cluster {
    /// Its id.
    pub(super) id: String,
    /// Who leads: a node that says so and is believed, or one that wasn't asked.
    pub(super) leader: Option<String>,
    /// Who owns connections.
    pub(super) members: BTreeSet<String>,
    /// Whose disks make a majority.
    pub(super) voters: BTreeSet<String>,
    /// Who has the log: voters, and those who stand by.
    pub(super) replicas: BTreeSet<String>,
    /// Connections whose windows aren't empty.
    pub(super) tracked: u64,
    /// By which rules its ledger applies entries.
    pub(super) level: u32,
    /// The newest that any of its nodes knows.
    pub(super) newest_level: u32,
}

/// All that was asked.
#[derive(Debug)]
pub(super) struct Overview {
    /// By id: one, unless nodes of several clusters were asked.
    pub(super) clusters: BTreeMap<String, Cluster>,
}

impl Overview {
    /// What these answers come to.
    pub(super) fn of(answers: &[Answer<GetStatusResponse>]) -> Self {
        let answered: Vec<&GetStatusResponse> = answers.iter().flatten().collect();
        let asked: BTreeSet<&str> = answered.iter().map(|status| status.node.as_str()).collect();
        let mut views: BTreeMap<&str, &GetStatusResponse> = BTreeMap::new();
        for status in &answered {
            let view = views.entry(&status.cluster).or_insert(status);
            let rank = |status: &GetStatusResponse| (leads(status), status.term, status.applied_index);
            if rank(status) > rank(view) {
                *view = status;
            }
        }
        let cluster = |(id, view): (&str, &GetStatusResponse)| {
            // Who was not asked may lead; who was asked has said whether it does.
            let known = view.leader.clone().filter(|leader| !asked.contains(leader.as_str()));
            let leader = if leads(view) { Some(view.node.clone()) } else { known };
            let (members, voters) = (view.members.iter().cloned().collect(), view.voters.iter().cloned().collect());
            let replicas = view.voters.iter().chain(&view.spares).cloned().collect();
            let of_it = answered.iter().filter(|status| status.cluster == id);
            let newest_level = of_it.map(|status| status.newest_level).max().unwrap_or_default();
            let (id, tracked, level) = (id.to_owned(), view.tracked, view.level);
            (id.clone(), Cluster { id, leader, members, voters, replicas, tracked, level, newest_level })
        };
        Self { clusters: views.into_iter().map(cluster).collect() }
    }

    /// What the node with this answer is.
    pub(super) fn role(&self, answer: &Answer<GetStatusResponse>) -> Role {
        let Ok(status) = answer else { return Role::Unreachable };
        let Some(cluster) = self.clusters.get(&status.cluster) else { return Role::Down };
        if cluster.leader.as_ref() == Some(&status.node) {
            Role::Leader
        } else if !cluster.replicas.contains(&status.node) {
            Role::Observer
        } else if !cluster.members.contains(&status.node) {
            Role::Down
        } else if cluster.voters.contains(&status.node) {
            Role::Voter
        } else {
            Role::Spare
        }
    }

    /// Whether there is a cluster, and each has a leader.
    pub(super) fn is_led(&self) -> bool {
        !self.clusters.is_empty() && self.clusters.values().all(|cluster| cluster.leader.is_some())
    }
}

/// Whether a node leads, and doesn't only think so.
fn leads(status: &GetStatusResponse) -> bool {
    status.is_leader && since_quorum(status).is_some_and(|since| since <= LEADS_WITHIN)
}

/// How long ago a majority has answered a node that takes itself for the leader.
pub(super) fn since_quorum(status: &GetStatusResponse) -> Option<Duration> {
    status.since_quorum.and_then(|since| since.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Node `node` of three, which takes `leader` for the leader and these for members, after so many entries.
    fn status(node: &str, leader: &str, members: &[&str], applied_index: u64) -> Answer<GetStatusResponse> {
        let is_leader = node == leader;
        Ok(GetStatusResponse {
            node: node.to_owned(),
            cluster: "c".to_owned(),
            leader: Some(leader.to_owned()),
            is_leader,
            since_quorum: is_leader.then_some(prost_types::Duration { seconds: 0, nanos: 50_000_000 }),
            members: members.iter().map(|&member| member.to_owned()).collect(),
            applied_index,
            voters: ["1", "2", "3", "9"].map(str::to_owned).into(),
            ..GetStatusResponse::default()
        })
    }

    fn roles(answers: &[Answer<GetStatusResponse>]) -> (Vec<&'static str>, bool) {
        let overview = Overview::of(answers);
        (answers.iter().map(|answer| overview.role(answer).name()).collect(), overview.is_led())
    }

    #[test]
    fn one_leads_and_who_does_not_answer_is_unreachable() {
        let gone = Err("connection refused".to_owned());
        let all = [status("1", "2", &["1", "2", "3"], 5), status("2", "2", &["1", "2", "3"], 6), gone.clone()];
        assert_eq!(roles(&all), (vec!["voter", "leader", "unreachable"], true));
        assert_eq!(roles(&[gone]), (vec!["unreachable"], false));
    }

    #[test]
    fn a_leader_that_was_cut_off_is_down_by_the_word_of_the_one_that_leads() {
        let mut former = status("1", "1", &["1", "2", "3"], 9);
        if let Ok(former) = &mut former {
            former.since_quorum = Some(prost_types::Duration { seconds: 7, nanos: 0 });
        }
        let all = [former.clone(), status("2", "3", &["2", "3"], 5), status("3", "3", &["2", "3"], 6)];
        assert_eq!(roles(&all), (vec!["down", "voter", "leader"], true));
        assert_eq!(roles(&[former]), (vec!["voter"], false), "nobody leads");
    }

    #[test]
    fn a_leader_that_was_not_asked_is_believed_and_one_that_denies_it_is_not() {
        let follower = status("1", "2", &["1", "2"], 5);
        assert_eq!(roles(std::slice::from_ref(&follower)), (vec!["voter"], true));
        let mut denies = status("2", "2", &["1", "2"], 5);
        if let Ok(denies) = &mut denies {
            (denies.is_leader, denies.leader) = (false, None);
        }
        assert_eq!(roles(&[follower, denies]), (vec!["voter", "voter"], false));
    }

    #[test]
    fn nodes_of_two_clusters_are_told_apart() {
        let mut other = status("9", "9", &["9"], 1);
        if let Ok(other) = &mut other {
            other.cluster = "d".to_owned();
        }
        let all = [status("1", "1", &["1"], 5), other];
        assert_eq!(Overview::of(&all).clusters.len(), 2);
        assert_eq!(roles(&all), (vec!["leader", "leader"], true));
    }
}
