//! Consensus: the ledger's log on a majority of disks. openraft is named in this folder only.
//!
//! [`proposer`] gathers what this node's owners want, [`committer`] stamps and writes it where the leader is, [`state_machine`] applies
//! it, [`storage`] keeps it. [`Consensus`] joins them for one node.

mod belonging;
mod check_quorum;
mod chronicle;
pub(crate) mod committer;
mod image;
mod joining;
mod network;
mod pace;
pub(crate) mod proposer;
#[cfg(feature = "cli")]
pub(crate) mod recovery;
mod replicas;
pub(crate) mod state_machine;
pub(crate) mod storage;
pub(crate) mod submitter;
#[cfg(test)]
mod tests;
pub(crate) mod transport;
mod types;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::error::{InitializeError, RaftError};
use thiserror::Error;
use tokio::sync::watch;

pub(crate) use self::belonging::{Belonging, BelongingError, FoundingAnswer};
use self::check_quorum::CheckQuorum;
use self::committer::{CommitError, Committer};
pub(crate) use self::joining::{hold, join, raise};
use self::network::Network;
use self::pace::Pace;
use self::state_machine::{LedgerReader, StateMachine};
use self::storage::{DataDir, LogStore, SnapshotStore, StorageError};
use self::submitter::Submitter;
use self::transport::Transport;
use self::types::Raft;
use crate::clock::{self, Clock};
use crate::config::Storage;
use crate::engine::founding::Founding;
use crate::engine::grant::{ClusterId, NodeId};
use crate::engine::ledger::{Command, UnknownLevel};
use crate::wire::codec::CodecError;

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

/// Why consensus could not start.
#[derive(Debug, Error)]
pub enum ConsensusError {
    /// The data directory can't be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The cluster is of a later release.
    #[error(transparent)]
    UnknownLevel(#[from] UnknownLevel),
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
    belonging: Arc<Belonging>,
    transport: Arc<dyn Transport>,
    ledger: LedgerReader,
    log_bytes: Arc<AtomicU64>,
    pace: Pace,
    check_quorum: Arc<CheckQuorum>,
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
    /// Opens the log and starts Raft, which goes on with its cluster if the log is of one.
    ///
    /// # Errors
    /// [`ConsensusError`].
    pub(crate) async fn start(opened: Opened, transport: Arc<dyn Transport>, clock: Clock) -> Result<Self, ConsensusError> {
        let Opened { node, belonging, log, state_machine, pace, in_use } = opened;
        let (log_bytes, failure, ledger) = (log.log_bytes(), log.failure(), state_machine.reader());
        let check_quorum = Arc::new(CheckQuorum::new(pace.election_timeout()));
        let network = Network { transport: Arc::clone(&transport), check_quorum: Arc::clone(&check_quorum) };
        let config = pace.config().map_err(|error| raft_error(&error))?;
        let raft = Raft::new(node.get(), config, network, log, state_machine).await.map_err(|error| raft_error(&error))?;
        check_quorum.watch(&raft);
        let consensus = Self { raft, node, belonging, transport, ledger, log_bytes, pace, check_quorum, failure, in_use, clock };
        if consensus.has_log().await? {
            consensus.bind(consensus.belonging.cluster()).await?;
        }
        Ok(consensus)
    }

    /// Is of this cluster for good.
    ///
    /// # Errors
    /// [`ConsensusError`]: another may have called it in.
    pub(crate) async fn bind(&self, cluster: ClusterId) -> Result<(), ConsensusError> {
        let belonging = Arc::clone(&self.belonging);
        let bound = tokio::task::spawn_blocking(move || belonging.bind(cluster)).await;
        bound.map_err(|error| raft_error(&error))?.map_err(|error| raft_error(&error))
    }

    /// Founds a cluster of this node alone, unless it has a log.
    ///
    /// # Errors
    /// [`ConsensusError`].
    pub(crate) async fn found_alone(&self) -> Result<(), ConsensusError> {
        let (cluster, voters) = (self.belonging.cluster(), BTreeSet::from([self.node]));
        self.bind(cluster).await?;
        self.begin_log(&voters).await
    }

    /// Takes the founding that was chosen for good, and begins the log if this node is one of its voters. All of them do, with the same voters.
    ///
    /// # Errors
    /// [`ConsensusError`].
    pub(crate) async fn found(&self, founding: &Founding) -> Result<(), ConsensusError> {
        let (belonging, chosen) = (Arc::clone(&self.belonging), founding.clone());
        let taken = tokio::task::spawn_blocking(move || belonging.choose(&chosen)).await;
        taken.map_err(|error| raft_error(&error))?.map_err(|error| raft_error(&error))?;
        self.begin_log(&founding.voters).await
    }

    async fn begin_log(&self, voters: &BTreeSet<NodeId>) -> Result<(), ConsensusError> {
        if !voters.contains(&self.node) || self.has_log().await? {
            return Ok(());
        }
        let ids: BTreeSet<u64> = voters.iter().map(|node| node.get()).collect();
        match self.raft.initialize(ids).await {
            // Another voter may have begun it meanwhile, and called this one.
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) | Ok(()) => Ok(()),
            Err(error) => Err(raft_error(&error)),
        }
    }

    /// Whether the log is of a cluster.
    ///
    /// # Errors
    /// [`ConsensusError`] when Raft has stopped.
    pub(crate) async fn has_log(&self) -> Result<bool, ConsensusError> {
        self.raft.is_initialized().await.map_err(|error| raft_error(&error))
    }

    /// Which cluster this node is of.
    pub(crate) const fn belonging(&self) -> &Arc<Belonging> {
        &self.belonging
    }

    /// Has Raft answer a peer's message.
    ///
    /// # Errors
    /// [`CodecError`] when the bytes are none.
    pub(crate) async fn answer(&self, body: &[u8]) -> Result<Vec<u8>, CodecError> {
        network::answer(&self.raft, body).await
    }

    /// How things stand.
    pub(crate) fn standing(&self) -> Standing {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        Standing {
            term: metrics.current_term,
            leader: metrics.current_leader.map(NodeId::new),
            is_leader: metrics.state.is_leader(),
            voters: metrics.membership_config.membership().voter_ids().map(NodeId::new).collect(),
            last_log_index: metrics.last_log_index,
            applied_index: metrics.last_applied.map(|last| last.index),
            since_quorum_ack: metrics.millis_since_quorum_ack.map(Duration::from_millis),
        }
    }

    /// Whether this node leads, as far as it can know: a quorum has answered it lately.
    pub(crate) fn leads(&self) -> bool {
        let Standing { is_leader, since_quorum_ack, .. } = self.standing();
        is_leader && since_quorum_ack.is_some_and(|since| since < self.pace.quorum_within())
    }

    /// Who this node is.
    pub(crate) const fn node(&self) -> NodeId {
        self.node
    }

    /// What this node has applied.
    pub(crate) const fn ledger(&self) -> &LedgerReader {
        &self.ledger
    }

    /// The way to have commands committed, and the work behind it.
    pub(crate) fn submitter(&self) -> (Submitter, impl Future<Output = ()> + Send + 'static) {
        let (committer, commits) =
            Committer::new(self.raft.clone(), self.ledger.clone(), Arc::clone(&self.check_quorum), self.clock);
        (Submitter::new(self.node, self.raft.clone(), committer, Arc::clone(&self.transport)), commits)
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

    /// Where this node leads, moves ledger time on while anything is tracked; everywhere, makes a snapshot when the log has grown.
    pub(crate) fn upkeep(&self, submitter: Submitter) -> impl Future<Output = ()> + Send + 'static {
        let (raft, ledger, log_bytes) = (self.raft.clone(), self.ledger.clone(), Arc::clone(&self.log_bytes));
        async move {
            loop {
                clock::sleep(if ledger.has_expired() { TICK_AGAIN_AFTER } else { TICK_EVERY }).await;
                let leads = raft.metrics().borrow().state.is_leader();
                let has_work = leads && ledger.tracked() > 0;
                if has_work && matches!(submitter.submit(&Command::Tick).await, Err(CommitError::Stopped { .. })) {
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

/// How things stand with consensus, seen from one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Raft's term.
    pub term: u64,
    /// Who leads, as far as this node knows.
    pub leader: Option<NodeId>,
    /// Whether it takes itself for the leader. One that is cut off goes on doing so: see `since_quorum_ack`.
    pub is_leader: bool,
    /// Whose disks make a quorum.
    pub voters: BTreeSet<NodeId>,
    /// The newest entry in its log.
    pub last_log_index: Option<u64>,
    /// The newest entry in its ledger.
    pub applied_index: Option<u64>,
    /// At a leader: how long ago a quorum has answered.
    pub since_quorum_ack: Option<Duration>,
}

/// What a node starts from.
#[derive(Debug)]
pub(crate) struct Opened {
    node: NodeId,
    belonging: Arc<Belonging>,
    log: LogStore<types::TypeConfig>,
    state_machine: StateMachine,
    pace: Pace,
    in_use: watch::Receiver<()>,
}

impl Opened {
    /// Who the node is.
    pub(crate) const fn node(&self) -> NodeId {
        self.node
    }

    /// Which cluster it is of.
    pub(crate) const fn belonging(&self) -> &Arc<Belonging> {
        &self.belonging
    }
}

/// Opens a node's log, or begins one.
///
/// # Errors
/// [`ConsensusError`].
pub(crate) async fn open(storage: &Storage, expected: Option<NodeId>, clock: Clock) -> Result<Opened, ConsensusError> {
    let storage = storage.clone();
    let opened = tokio::task::spawn_blocking(move || open_blocking(storage, expected, clock)).await;
    Ok(opened.map_err(|error| raft_error(&error))??)
}

fn open_blocking(storage: Storage, expected: Option<NodeId>, clock: Clock) -> Result<Opened, StorageError> {
    match storage {
        Storage::Memory => {
            let node = expected.unwrap_or_else(|| NodeId::new(rand::random()));
            let state_machine = StateMachine::load(SnapshotStore::in_memory(), clock)?;
            let belonging = Arc::new(Belonging::in_memory(node));
            let (log, pace) = (LogStore::in_memory(), Pace::of(Duration::ZERO));
            Ok(Opened { node, belonging, log, state_machine, pace, in_use: watch::channel(()).1 })
        }
        Storage::Disk(path) => {
            let directory = Arc::new(DataDir::open(path, expected.map(NodeId::get))?);
            let state_machine = StateMachine::load(SnapshotStore::on_disk(Arc::clone(&directory)), clock)?;
            let log = LogStore::open(&directory)?;
            log.require_snapshot(state_machine.snapshot_covers())?;
            let (node, belonging) = (NodeId::new(directory.identity().node), Arc::new(Belonging::on_disk(&directory)?));
            let pace = Pace::of(directory.replaces_within(clock)?);
            Ok(Opened { node, belonging, log, state_machine, pace, in_use: directory.in_use() })
        }
    }
}

fn raft_error(error: &dyn std::error::Error) -> ConsensusError {
    ConsensusError::Raft { reason: error.to_string() }
}
