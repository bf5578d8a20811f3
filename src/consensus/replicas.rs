//! Who keeps the log: what Raft's membership says, and how it is changed.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::error::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, EmptyNode, StoredMembership};
use thiserror::Error;

use super::Consensus;
use super::transport::Call;
use crate::clock;
use crate::engine::grant::NodeId;
use crate::engine::membership::{Change, KnownReplicas, Replicas};

/// How long a change may take: without a quorum it would wait for one, and be out of date then.
const CHANGED_WITHIN: Duration = Duration::from_secs(5);

/// How many entries a log may be behind that is as good as the leader's: what comes in a moment under load.
const MAX_LAG: u64 = 256;

/// How long the next leader may take to have the whole log, and how often that is looked at.
const CATCHES_UP_WITHIN: Duration = Duration::from_millis(500);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// How long the next leader may take to be called, and to be elected.
const TAKES_OFFICE_WITHIN: Duration = Duration::from_secs(1);

/// Why the replicas are those that they were, as far as is known.
#[derive(Debug, Error)]
pub(crate) enum ChangeError {
    /// Raft refused, or this node leads no more.
    #[error("{0}")]
    Refused(String),
    /// There may be no quorum.
    #[error("the change was not committed within {CHANGED_WITHIN:?}")]
    Late,
}

/// What Raft's membership says.
fn known(stored: &StoredMembership<u64, EmptyNode>) -> Option<KnownReplicas> {
    let at = stored.log_id().map(|log_id| (log_id.leader_id.term, log_id.index))?;
    let voters = stored.membership().voter_ids().map(NodeId::new).collect();
    let spares = stored.membership().learner_ids().map(NodeId::new).collect();
    Some(KnownReplicas { at, replicas: Replicas { voters, spares } })
}

impl Consensus {
    /// The replicas by this node's own log, if it has one, and whether it has applied that entry.
    pub(crate) fn known_replicas(&self) -> Option<(KnownReplicas, bool)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let known = known(&metrics.membership_config)?;
        let is_applied = metrics.last_applied.is_some_and(|applied| applied.index >= known.at.1);
        Some((known, is_applied))
    }

    /// At the leader: whether a replica's log is as good as its own.
    pub(crate) fn is_caught_up(&self, node: NodeId) -> bool {
        self.lag_of(node).is_some_and(|lag| lag <= MAX_LAG)
    }

    /// At the leader: how many entries a replica is known to be behind.
    fn lag_of(&self, node: NodeId) -> Option<u64> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let matched = metrics.replication.as_ref().and_then(|replication| *replication.get(&node.get())?)?;
        Some(metrics.last_log_index.unwrap_or_default().saturating_sub(matched.index))
    }

    /// Whether this node is handing its office over: then nothing is to be changed.
    pub(crate) fn hands_over(&self) -> bool {
        self.check_quorum.hands_over()
    }

    /// The voters that a change which another leader began will leave, if it has not ended.
    pub(crate) fn unfinished_change(&self) -> Option<Change> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        match metrics.membership_config.membership().get_joint_config().as_slice() {
            [_, .., last] => Some(Change::SetVoters(last.iter().copied().map(NodeId::new).collect())),
            _ => None,
        }
    }

    /// Makes a change, while this node leads; returns when it is committed.
    ///
    /// # Errors
    /// [`ChangeError`]; it may have been made all the same.
    pub(crate) async fn change(&self, change: &Change) -> Result<(), ChangeError> {
        let ids = |nodes: &BTreeSet<NodeId>| nodes.iter().map(|node| node.get()).collect();
        let changed = async {
            match change {
                // Not waited for until it has the log: that takes what it takes.
                Change::AddSpare(node) => self.raft.add_learner(node.get(), EmptyNode {}, false).await,
                Change::DropSpare(node) => {
                    self.raft.change_membership(ChangeMembers::RemoveNodes(ids(&BTreeSet::from([*node]))), false).await
                }
                Change::SetVoters(voters) => {
                    self.raft.change_membership(ChangeMembers::ReplaceAllVoters(ids(voters)), false).await
                }
            }
        };
        let changed = clock::timeout(CHANGED_WITHIN, changed).await.map_err(|_| ChangeError::Late)?;
        changed
            .map(drop)
            .map_err(|error: RaftError<u64, ClientWriteError<u64, EmptyNode>>| ChangeError::Refused(error.to_string()))
    }

    /// Whether this node may stand for election. One that is no voter any more may not know it from its own log.
    pub(crate) fn allow_elections(&self, allowed: bool) {
        self.raft.runtime_config().elect(allowed);
    }

    /// Stands for election now, for the leader has asked it to.
    pub(crate) async fn stand(&self) {
        if let Err(error) = self.raft.trigger().elect().await {
            tracing::debug!(%error, "could not stand for election");
        }
    }

    /// Has another voter lead, while this node does: falls silent for as long as followers hold on to a leader, and has that one stand. Returns when
    /// this node leads no more, or nobody has taken its office in time. Cancel-safe: it goes on leading.
    pub(crate) async fn hand_leadership_to(&self, node: NodeId) {
        let hand_over = self.check_quorum.stop_writing();
        // Its vote may be needed, and it gives that to nobody whose log is shorter.
        let has_all = async {
            while self.lag_of(node) != Some(0) {
                clock::sleep(LOOK_AGAIN_AFTER).await;
            }
        };
        if clock::timeout(CATCHES_UP_WITHIN, has_all).await.is_err() {
            tracing::debug!(%node, "the next leader does not catch up");
            return;
        }
        hand_over.fall_silent();
        clock::sleep(self.pace.lease()).await;
        if let Err(error) = self.transport.call(node, Call::Stand, Vec::new(), TAKES_OFFICE_WITHIN).await {
            tracing::debug!(%error, "the next leader could not be called");
        }
        let mut metrics = self.raft.server_metrics();
        let own = self.node.get();
        let handed_over = metrics.wait_for(|server| server.current_leader != Some(own));
        if clock::timeout(TAKES_OFFICE_WITHIN, handed_over).await.is_err() {
            tracing::warn!(%node, "nobody has taken the leader's office over");
        }
        drop(hand_over);
    }
}
