//! Consensus: the ledger's log on a majority of disks. openraft is named in this folder only.
//!
//! [`proposer`] gathers what this node's owners want, [`committer`] stamps and writes it where the leader is, [`state_machine`] applies
//! it, [`storage`] keeps it. [`Consensus`] joins them for one node.

pub(crate) mod committer;
mod network;
pub(crate) mod proposer;
pub(crate) mod state_machine;
pub(crate) mod storage;
#[cfg(test)]
mod tests;
mod types;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use thiserror::Error;
use tokio::sync::watch;

use self::committer::{CommitError, Committer};
use self::network::Network;
use self::state_machine::{LedgerReader, StateMachine};
use self::storage::{DataDir, LogStore, SnapshotStore, StorageError};
use self::types::Raft;
use crate::clock::{self, Clock};
use crate::config::Storage;
use crate::engine::grant::{Epoch, Incarnation, NodeId, ShardCount};
use crate::engine::ledger::{Answer, Command};

/// The shortest and the longest a follower waits for a leader before it stands for election.
const ELECTION_TIMEOUT_MILLIS: (u64, u64) = (200, 240);
/// How often a leader shows itself.
const HEARTBEAT_MILLIS: u64 = 50;
/// A snapshot is worth while when the log is larger than this, and larger than the snapshot would be: so what is written for
/// snapshots, and what is read at a restart, stays in proportion to what the log itself writes.
const MIN_LOG_BYTES: u64 = 1024 * 1024;
/// The same while nothing is tracked: then a snapshot is next to nothing, and all that the log holds in memory is past.
const MIN_IDLE_LOG_BYTES: u64 = 64 * 1024;
/// How often ledger time moves on by itself while anything is tracked.
const TICK_EVERY: Duration = Duration::from_secs(1);
/// How soon it moves on again when one entry could not forget all that had expired.
const TICK_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// How long a node that ends waits for its data directory: a snapshot may be on its way to a slow disk.
const RELEASED_WITHIN: Duration = Duration::from_secs(60);
/// How long a node waits before it tries again to join.
const JOIN_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Why consensus could not start.
#[derive(Debug, Error)]
pub enum ConsensusError {
    /// The data directory can't be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Raft refused to start or stopped at once.
    #[error("consensus did not start: {reason}")]
    Raft {
        /// What it said.
        reason: String,
    },
}

/// One node's part in the cluster's log.
pub(crate) struct Consensus {
    raft: Raft,
    node: NodeId,
    ledger: LedgerReader,
    log_bytes: Arc<AtomicU64>,
    failure: watch::Receiver<Option<Arc<StorageError>>>,
    /// Closed when nothing here uses the data directory any more.
    in_use: watch::Receiver<()>,
    clock: Clock,
}

impl std::fmt::Debug for Consensus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consensus").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Consensus {
    /// Opens the log and starts Raft; forms a cluster of one voter if the log is new.
    ///
    /// # Errors
    /// [`ConsensusError`].
    pub(crate) async fn start(storage: &Storage, expected: Option<NodeId>, clock: Clock) -> Result<Self, ConsensusError> {
        let opened = open(storage.clone(), expected, clock);
        let opened = tokio::task::spawn_blocking(opened).await;
        let Opened { node, log, state_machine, in_use } = opened.map_err(|error| raft_error(&error))??;
        let (log_bytes, failure, ledger) = (log.log_bytes(), log.failure(), state_machine.reader());
        let raft =
            Raft::new(node.get(), raft_config()?, Network, log, state_machine).await.map_err(|error| raft_error(&error))?;
        // A node with a log has been initialised before.
        if !raft.is_initialized().await.map_err(|error| raft_error(&error))? {
            raft.initialize(BTreeSet::from([node.get()])).await.map_err(|error| raft_error(&error))?;
        }
        Ok(Self { raft, node, ledger, log_bytes, failure, in_use, clock })
    }

    /// Who this node is.
    pub(crate) const fn node(&self) -> NodeId {
        self.node
    }

    /// What this node has applied.
    pub(crate) const fn ledger(&self) -> &LedgerReader {
        &self.ledger
    }

    /// The way to commit commands, and the work behind it.
    pub(crate) fn committer(&self) -> (Committer, impl Future<Output = ()> + Send + 'static) {
        Committer::new(self.raft.clone(), self.ledger.clone(), self.clock)
    }

    /// Returns when Raft has ended, for whatever reason, and says which. Cancel-safe.
    pub(crate) async fn ended(&self) -> String {
        // These change seldom, and their sender is the core's: waiting costs nothing at each commit.
        let mut core = self.raft.server_metrics();
        while core.changed().await.is_ok() {}
        let end = self.raft.metrics().borrow().running_state.clone();
        end.err().map_or_else(|| "its Raft core has ended".to_owned(), |fatal| fatal.to_string())
    }

    /// Why the log could not be written, if it could not.
    pub(crate) fn failure(&self) -> Option<Arc<StorageError>> {
        self.failure.borrow().clone()
    }

    /// Moves ledger time on while anything is tracked, and makes a snapshot when the log has grown.
    pub(crate) fn upkeep(&self, committer: Committer) -> impl Future<Output = ()> + Send + 'static {
        let (raft, ledger, log_bytes) = (self.raft.clone(), self.ledger.clone(), Arc::clone(&self.log_bytes));
        async move {
            loop {
                clock::sleep(if ledger.has_expired() { TICK_AGAIN_AFTER } else { TICK_EVERY }).await;
                if ledger.tracked() > 0 && matches!(committer.submit(Command::Tick).await, Err(CommitError::Stopped { .. })) {
                    return;
                }
                let least = if ledger.tracked() > 0 { MIN_LOG_BYTES } else { MIN_IDLE_LOG_BYTES };
                let is_worth_it = log_bytes.load(Ordering::Relaxed) > ledger.next_snapshot_bytes().max(least);
                if is_worth_it && raft.trigger().snapshot().await.is_err() {
                    return;
                }
            }
        }
    }

    /// Stops Raft, closes the log, and returns when the data directory is free for another.
    pub(crate) async fn shutdown(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "the Raft core ended abnormally");
        }
        // Raft's other tasks end after its core: one applies entries, one may be writing a snapshot.
        let mut in_use = self.in_use.clone();
        let released = async { while in_use.changed().await.is_ok() {} };
        if let Err(error) = clock::timeout(RELEASED_WITHIN, released).await {
            tracing::warn!(%error, "the data directory is still in use");
        }
    }
}

/// Makes this run of the node a member that owns keys.
///
/// # Errors
/// [`CommitError::Stopped`] when consensus has stopped. Waits for a leader otherwise.
pub(crate) async fn join(committer: &Committer, incarnation: Incarnation, shards: ShardCount) -> Result<Epoch, CommitError> {
    loop {
        match committer.submit(Command::Join { incarnation, shards }).await {
            Ok(Answer::Joined { epoch }) => return Ok(epoch),
            Err(error @ CommitError::Stopped { .. }) => return Err(error),
            Ok(Answer::Verdicts(_) | Answer::Superseded | Answer::Ticked) | Err(CommitError::NotLeader { .. }) => {
                clock::sleep(JOIN_AGAIN_AFTER).await;
            }
        }
    }
}

struct Opened {
    node: NodeId,
    log: LogStore<types::TypeConfig>,
    state_machine: StateMachine,
    in_use: watch::Receiver<()>,
}

/// Opens what is on disk; blocks.
fn open(storage: Storage, expected: Option<NodeId>, clock: Clock) -> impl FnOnce() -> Result<Opened, StorageError> + Send {
    move || match storage {
        Storage::Memory => {
            let node = expected.unwrap_or_else(|| NodeId::new(rand::random()));
            let state_machine = StateMachine::load(SnapshotStore::in_memory(), clock)?;
            Ok(Opened { node, log: LogStore::in_memory(), state_machine, in_use: watch::channel(()).1 })
        }
        Storage::Disk(path) => {
            let directory = Arc::new(DataDir::open(path, expected.map(NodeId::get))?);
            let state_machine = StateMachine::load(SnapshotStore::on_disk(Arc::clone(&directory)), clock)?;
            let log = LogStore::open(&directory)?;
            log.require_snapshot(state_machine.snapshot_covers())?;
            Ok(Opened { node: NodeId::new(directory.identity().node), log, state_machine, in_use: directory.in_use() })
        }
    }
}

fn raft_config() -> Result<Arc<Config>, ConsensusError> {
    let (election_timeout_min, election_timeout_max) = ELECTION_TIMEOUT_MILLIS;
    let config = Config {
        cluster_name: "turnstile".to_owned(),
        election_timeout_min,
        election_timeout_max,
        heartbeat_interval: HEARTBEAT_MILLIS,
        // `upkeep` counts bytes, which bound memory; entries differ in size a thousandfold.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 0,
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| raft_error(&error))
}

fn raft_error(error: &dyn std::error::Error) -> ConsensusError {
    ConsensusError::Raft { reason: error.to_string() }
}
