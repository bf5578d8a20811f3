//! A new cluster of one node, from what it has left, when a majority of its voters is gone for good.
//!
//! ```text
//! snapshot, log ──► ledger ──► all members down, everything held back, this node the only voter
//!                                 │
//!                                 └──► identity ──► vote ──► snapshot ──► log        in this order on the disk
//! ```
//!
//! All of the log is applied, also what may never have been committed: a charge too many is the safe side. What the others have granted and this node has
//! not heard of is in nobody's windows any more, so each connection is held back until whatever was granted before has left its longest one.
//!
//! Promises: a recovery that is interrupted has changed nothing, or has left a node that grants nothing until it is recovered once more, or is done: the cluster's
//! new id goes first, and under it the voters of before are no quorum, for they are of another cluster; the snapshot, which alone holds all the rest, ends it.
//! Must not: judge whether the others are gone. Nobody can, from here.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openraft::storage::{RaftLogStorage, RaftStateMachine};
use openraft::{CommittedLeaderId, Entry, EntryPayload, LogId, Membership, RaftLogReader, RaftSnapshotBuilder, Vote};
use thiserror::Error;

use super::state_machine::{LedgerReader, StateMachine};
use super::storage::{DataDir, Identity, LogStore, SnapshotStore, StorageError};
use super::types::TypeConfig;
use crate::clock::Clock;
use crate::engine::grant::{ClusterId, NodeId};
use crate::engine::ledger::{Command, LedgerEntry};

/// Why nothing was recovered.
#[derive(Debug, Error)]
pub(crate) enum RecoveryError {
    /// No node has ever used the directory.
    #[error("{} is not the data directory of a node", path.display())]
    NoNode {
        /// The directory.
        path: PathBuf,
    },
    /// The node has not taken part in anything.
    #[error("node {node} has no log, so there is nothing to recover: without its directory it joins a cluster as a new node")]
    NoLog {
        /// The node.
        node: NodeId,
    },
    /// The node needs nobody else.
    #[error("node {node} stands alone and has lost nobody: it only has to be started")]
    Alone {
        /// The node.
        node: NodeId,
    },
    /// The directory can't be used: another process has it, it is another node's, or it is damaged.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What is in the directory can't be read, applied or replaced.
    #[error("the node was not recovered: {reason}")]
    Failed {
        /// Why.
        reason: String,
    },
}

/// What a node has left, in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Which node.
    pub node: NodeId,
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Whose disks made its quorum.
    pub voters: BTreeSet<NodeId>,
    /// The index of its last entry.
    pub last_index: u64,
    /// The term of that.
    pub last_term: u64,
    /// How many connections its ledger tracks.
    pub tracked: usize,
}

/// What a node has left of its cluster. The directory is locked as long as this lives.
pub(crate) struct Remains {
    directory: Arc<DataDir>,
    log: LogStore<TypeConfig>,
    state_machine: StateMachine,
    ledger: LedgerReader,
    summary: Summary,
}

impl Remains {
    /// Reads a node's directory and applies all of its log. Nothing is changed there that a start would not change.
    ///
    /// # Errors
    /// [`RecoveryError`].
    pub(crate) async fn open(path: PathBuf, expected: Option<NodeId>, clock: Clock) -> Result<Self, RecoveryError> {
        let opened = tokio::task::spawn_blocking(move || open_blocking(path, expected, clock)).await;
        let (directory, mut log, mut state_machine) = opened.map_err(failed)??;
        let next = state_machine.snapshot_covers().map_or(0, |last| last.index.saturating_add(1));
        let entries = log.try_get_log_entries(next..).await.map_err(failed)?;
        state_machine.apply(entries).await.map_err(failed)?;
        let (last, membership) = state_machine.applied_state().await.map_err(failed)?;
        let (ledger, Identity { node, cluster, .. }) = (state_machine.reader(), directory.identity());
        let (node, tracked) = (NodeId::new(node), ledger.tracked());
        let last = last.ok_or(RecoveryError::NoLog { node })?;
        let voters: BTreeSet<NodeId> = membership.voter_ids().map(NodeId::new).collect();
        // One that was recovered and not started since has no members: whoever is not sure may do it again.
        if voters.iter().eq([&node]) && !ledger.members().is_empty() {
            return Err(RecoveryError::Alone { node });
        }
        let summary = Summary { node, cluster, voters, last_index: last.index, last_term: last.leader_id.term, tracked };
        Ok(Self { directory, log, state_machine, ledger, summary })
    }

    /// What is left.
    pub(crate) const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Makes a new cluster of this node alone, and says its id. The directory is free when this returns.
    ///
    /// # Errors
    /// [`RecoveryError::Storage`] and [`RecoveryError::Failed`]; whoever tries again goes on where this has ended.
    pub(crate) async fn recover(mut self) -> Result<ClusterId, RecoveryError> {
        let cluster = ClusterId(rand::random());
        let identity = Identity { cluster, is_bound: true, ..self.directory.identity() };
        let directory = Arc::clone(&self.directory);
        tokio::task::spawn_blocking(move || directory.write_identity(identity)).await.map_err(failed)??;
        // In a term of its own, which no entry of the others is of, and without its leader: the node elects itself when it starts.
        let term = self.log.read_vote().await.map_err(failed)?.map_or(0, |vote| vote.leader_id().term).saturating_add(1);
        self.log.save_vote(&Vote::new(term, identity.node)).await.map_err(failed)?;
        let last_entries = self.last_entries(term);
        self.state_machine.apply(last_entries).await.map_err(failed)?;
        let snapshot = self.state_machine.get_snapshot_builder().await.build_snapshot().await.map_err(failed)?;
        if let Some(last) = snapshot.meta.last_log_id {
            self.log.purge(last).await.map_err(failed)?;
        }
        Ok(cluster)
    }

    /// What ends the history of the former cluster, of which only the snapshot tells.
    fn last_entries(&self, term: u64) -> [Entry<TypeConfig>; 2] {
        let Summary { node, last_index, .. } = self.summary;
        let leader = CommittedLeaderId::new(term, node.get());
        let entry = |after, payload| Entry { log_id: LogId::new(leader, last_index.saturating_add(after)), payload };
        let (stamp, _) = self.ledger.newest_stamp();
        let all_down = self.ledger.members().into_iter().map(|incarnation| Command::MarkDown { incarnation });
        let commands = all_down.chain([Command::Hold { at_most: Duration::MAX }]).collect();
        let alone = Membership::new(vec![BTreeSet::from([node.get()])], ());
        [entry(1, EntryPayload::Normal(LedgerEntry { stamp, commands })), entry(2, EntryPayload::Membership(alone))]
    }
}

type Parts = (Arc<DataDir>, LogStore<TypeConfig>, StateMachine);

fn open_blocking(path: PathBuf, expected: Option<NodeId>, clock: Clock) -> Result<Parts, RecoveryError> {
    // Opened, it would become one.
    if !DataDir::is_a_nodes(&path) {
        return Err(RecoveryError::NoNode { path });
    }
    let directory = Arc::new(DataDir::open(path, expected.map(NodeId::get))?);
    let state_machine = StateMachine::load(SnapshotStore::on_disk(Arc::clone(&directory)), clock)?;
    let log = LogStore::open(&directory)?;
    log.require_snapshot(state_machine.snapshot_covers())?;
    Ok((directory, log, state_machine))
}

fn failed(error: impl Error) -> RecoveryError {
    RecoveryError::Failed { reason: error.to_string() }
}

#[cfg(test)]
mod tests;
