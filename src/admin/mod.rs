//! How a node and its cluster are, as an operator sees them, and what an operator may do to them.

mod connections;
mod limits;
mod measure;
mod readiness;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

pub use self::connections::Busiest;
use self::measure::Gauges;
pub use self::readiness::NotReady;
use crate::consensus::Consensus;
use crate::consensus::submitter::Submitter;
use crate::drain::{Drain, DrainError};
use crate::engine::grant::{NodeId, ShardId};
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::Level;
use crate::engine::membership::Role;
use crate::owner::{Informant, OwnersHandle};
use crate::peers::{PeerReport, Peers};
use crate::router::Stopped;

/// How things stand, seen from one node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The node that answers.
    pub node: NodeId,
    /// Its cluster: 32 hexadecimal digits.
    pub cluster: String,
    /// Raft's term.
    pub term: u64,
    /// The log index of the entry that made the ring.
    pub epoch: u64,
    /// Who leads, as far as this node knows.
    pub leader: Option<NodeId>,
    /// Whether this node takes itself for the leader.
    pub is_leader: bool,
    /// At a leader: how long ago a majority has answered. One that is cut off goes on taking itself for the leader, and this grows.
    pub since_quorum: Option<Duration>,
    /// What the node that answers is.
    pub role: Role,
    /// Whose disks make a majority, as far as this node knows.
    pub voters: BTreeSet<NodeId>,
    /// Who has the log, too, and stands by.
    pub spares: BTreeSet<NodeId>,
    /// Who owns connections by the ring.
    pub members: BTreeSet<NodeId>,
    /// By which rules its ledger applies entries: see [`Status::newest_level`].
    pub level: u32,
    /// The newest level that its release knows. The cluster's level is raised when all of its nodes know it.
    pub newest_level: u32,
    /// Its release.
    pub release: &'static str,
    /// The newest entry of its log.
    pub last_log_index: u64,
    /// The newest entry in its ledger.
    pub applied_index: u64,
    /// Connections whose windows aren't empty, in the whole cluster.
    pub tracked: usize,
    /// Connections that this node has in memory because it owns them.
    pub connections: usize,
    /// Who waits for them.
    pub waiters: usize,
    /// The other nodes, by the addresses where this one looks for them.
    pub peers: Vec<PeerReport>,
}

/// How long the cluster has to answer what an operator asks or wants.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// How soon the leader is asked again that was none, or did not answer.
const TRIES_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Why an operator's wish was not done. It may be done all the same after [`AdminError::NoQuorum`]; the same wish can be said again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AdminError {
    /// No quorum of the cluster, or no owner, has answered.
    #[error("the cluster has not answered within {waited:?}: is a majority there?")]
    NoQuorum {
        /// How long it had.
        waited: Duration,
    },
    /// Limits are set for too many patterns.
    #[error("limits are set for {max} patterns, which is the most: delete some")]
    TooManyPatterns {
        /// The bound.
        max: usize,
    },
    /// The node has stopped.
    #[error("the node has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

/// A node by itself has nobody to refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the node has no peers: it is no part of a cluster")]
pub struct NoPeers;

/// What an operator sees of a node, and may do to it. Clone it freely.
#[derive(Debug, Clone)]
pub struct Admin {
    consensus: Arc<Consensus>,
    peers: Option<Peers>,
    owners: OwnersHandle,
    informant: Informant,
    submitter: Submitter,
    /// `None` for a node by itself.
    drain: Option<Drain>,
    stopped: Stopped,
    gauges: Arc<Gauges>,
}

impl Admin {
    pub(crate) fn new(
        consensus: Arc<Consensus>,
        peers: Option<Peers>,
        owners: OwnersHandle,
        submitter: Submitter,
        drain: Option<Drain>,
        stopped: Stopped,
    ) -> Self {
        let informant = Informant::new(owners.clone(), consensus.ledger().clone());
        Self { consensus, peers, owners, informant, submitter, drain, stopped, gauges: Gauges::new() }
    }

    /// How things stand.
    pub async fn status(&self) -> Status {
        let (standing, ledger) = (self.consensus.standing(), self.consensus.ledger());
        let report = self.owners.report().await;
        let ring = Arc::clone(&ledger.ring().borrow());
        let by_log = || self.consensus.known_replicas().map(|(known, _)| known.replicas).unwrap_or_default();
        let replicas = self.peers.as_ref().and_then(Peers::replicas).unwrap_or_else(by_log);
        let role = replicas.role(self.consensus.node());
        Status {
            node: self.consensus.node(),
            cluster: self.consensus.belonging().cluster().to_string(),
            term: standing.term,
            epoch: ring.epoch().0.0,
            leader: standing.leader.filter(|_| role != Role::Observer).or_else(|| self.peers.as_ref()?.leader()),
            is_leader: standing.is_leader,
            since_quorum: standing.since_quorum_ack,
            role,
            voters: replicas.voters,
            spares: replicas.spares,
            members: ring.members().keys().copied().collect(),
            level: ledger.level().get(),
            newest_level: Level::NEWEST.get(),
            release: env!("CARGO_PKG_VERSION"),
            last_log_index: standing.last_log_index.unwrap_or_default(),
            applied_index: standing.applied_index.unwrap_or_default(),
            tracked: ledger.tracked(),
            connections: report.connections,
            waiters: report.waiters,
            peers: self.peers.as_ref().map(Peers::report).unwrap_or_default(),
        }
    }

    /// The owning actor of a connection by the ring that this node has applied: its node, and the number of the actor there. `None` while nobody
    /// owns anything.
    #[must_use]
    pub fn owner(&self, key: &ConnectionKey) -> Option<(NodeId, u16)> {
        let owner = self.consensus.ledger().ring().borrow().owner(key);
        owner.map(|ShardId { node, index }| (node, index))
    }

    /// Has the node hand over whatever it owns, with those who wait, its office if it leads, and its part in keeping the log; returns when that is done, at
    /// once if it was before. The node still routes then, until its process ends.
    ///
    /// # Errors
    /// [`DrainError`]: the node goes on as before.
    pub async fn drain(&self, within: Duration) -> Result<(), DrainError> {
        self.drain.as_ref().ok_or(DrainError::NoPeers)?.run(within).await
    }

    /// Returns when the node has been drained. Cancel-safe.
    pub(crate) async fn drained(&self) {
        match &self.drain {
            Some(drain) => drain.drained().await,
            None => std::future::pending().await,
        }
    }

    /// Cuts this node off from these others, and from no others: it neither speaks nor listens to them. For tests of what happens then.
    ///
    /// # Errors
    /// [`NoPeers`].
    pub fn refuse_peers(&self, nodes: impl IntoIterator<Item = NodeId>) -> Result<(), NoPeers> {
        self.peers.as_ref().ok_or(NoPeers)?.refuse(nodes);
        Ok(())
    }
}
