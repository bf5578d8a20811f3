//! A node: consensus, owners and a router in one process.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::Admin;
use crate::client::Throttler;
use crate::clock::Clock;
use crate::config::{ClusterConfig, NodeConfig};
use crate::consensus::proposer::{Ownership, Proposer};
use crate::consensus::submitter::Submitter;
use crate::consensus::transport::{Alone, Transport};
use crate::consensus::{self, Consensus, ConsensusError};
use crate::drain::Drain;
use crate::engine::grant::{Epoch, Incarnation, NodeId};
use crate::engine::ledger::{Level, UnknownLevel};
use crate::engine::ring::Ring;
use crate::owner::{Informant, Owners, OwnersHandle};
use crate::peers::{self, BindError, Local, Peers, Server, Services, Sessions};
use crate::router::Router;
use crate::telemetry;

/// How long a node that ends has for its hand-over.
const HANDS_OVER_WITHIN: Duration = Duration::from_secs(10);

/// Why a node did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its log could not be opened, or Raft did not start.
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
    /// Its peers can't reach it.
    #[error(transparent)]
    Listen(#[from] BindError),
    /// It stopped before it served.
    #[error("the node stopped before it served: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// Its owners could not be spawned.
    #[error("the owners did not start: {reason}")]
    Owners {
        /// What the actor system said.
        reason: String,
    },
}

/// A running node. Dropping it stops serving; [`Node::shutdown`] also leaves the cluster in order, and waits until everything has ended.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    throttler: Throttler,
    admin: Admin,
    consensus: Arc<Consensus>,
    owners: Option<Owners>,
    stopped: watch::Sender<Option<Arc<str>>>,
    tasks: JoinSet<()>,
}

impl Node {
    /// Starts a node and returns when it serves: as an owner when it has joined the ring, for which a majority must be there; as an observer when it knows
    /// the ring.
    ///
    /// # Errors
    /// [`StartError`]: nothing runs then.
    pub async fn start(config: NodeConfig) -> Result<Self, StartError> {
        telemetry::register();
        let clock = Clock::start();
        let opened = consensus::open(&config.storage, config.expected_node, clock).await?;
        let member = Incarnation { node: opened.node(), run: random_run() };
        // Dropped, with all that runs in it, when the start is given up.
        let mut tasks = JoinSet::new();
        let services = watch::Sender::new(Services::default());
        let peers = match &config.cluster {
            Some(cluster) => {
                let peers = Peers::new(member, Arc::clone(opened.belonging()), clock, cluster.listens_at());
                let listener = peers::bind(cluster.listen).await?;
                tasks.spawn(peers::serve(Server::new(peers.clone(), services.subscribe()), listener));
                Some(peers)
            }
            None => None,
        };
        let transport: Arc<dyn Transport> = match &peers {
            Some(peers) => Arc::new(peers.clone()),
            None => Arc::new(Alone),
        };
        let consensus = Arc::new(Consensus::start(opened, transport, clock).await?);
        tasks.spawn(consensus.chronicle());
        match Self::join_and_serve(config, clock, member, peers, services, &consensus, tasks).await {
            Ok(node) => Ok(node),
            Err(error) => {
                consensus.shutdown().await;
                Err(error)
            }
        }
    }

    async fn join_and_serve(
        config: NodeConfig,
        clock: Clock,
        member: Incarnation,
        peers: Option<Peers>,
        services: watch::Sender<Services>,
        consensus: &Arc<Consensus>,
        mut tasks: JoinSet<()>,
    ) -> Result<Self, StartError> {
        let id = member.node;
        let (submitter, commits) = consensus.submitter();
        tasks.spawn(commits);
        services.send_modify(|services| services.consensus = Some((Arc::clone(consensus), submitter.clone())));
        // A node by itself owns everything, at once.
        let may_own = watch::Sender::new(peers.is_none());
        let cold_start_hold = config.cluster.as_ref().map_or(Duration::ZERO, |cluster| cluster.cold_start_hold);
        let ownership = Ownership { may_own: may_own.subscribe(), cold_start_hold };
        match (&peers, &config.cluster) {
            (Some(peers), Some(cluster)) => {
                come_to_a_cluster(peers, cluster, consensus, &submitter, may_own, &mut tasks).await?;
            }
            _ => {
                consensus.found_alone().await?;
                let (way, level) = (submitter.clone(), consensus.ledger().level());
                // It has nobody to wait for. An end of consensus is told below.
                tasks.spawn(async move { drop(consensus::raise(&way, level, Level::NEWEST).await) });
            }
        }
        let (ledger, max_in_flight) = (consensus.ledger().clone(), config.max_in_flight);
        let (proposer, proposals) = Proposer::new(member, config.shards, submitter.clone(), ledger.clone(), ownership, clock);
        let (rings, mut proposals) = (ledger.ring(), Box::pin(proposals));
        // Owners that start on the ring that made this node one have nothing to take over.
        let epoch = tokio::select! {
            epoch = serves(id, peers.as_ref(), proposer.joined(), rings.clone()) => epoch?,
            reason = consensus.ended() => return Err(StartError::Stopped { reason }),
            end = &mut proposals => return Err(StartError::Stopped { reason: end.to_string() }),
            unknown = outdated(peers.as_ref()) => return Err(StartError::Consensus(unknown.into())),
        };
        let owners = Owners::start(id, config, clock, proposer.clone(), ledger).await;
        let owners = owners.map_err(|error| StartError::Owners { reason: error.to_string() })?;
        let sessions = peers.clone().map_or(Sessions::none(), Sessions::of);
        if let Some(peers) = &peers {
            let (owners, proposer) = (owners.handle(), proposer.clone());
            let informant = Informant::new(owners.clone(), consensus.ledger().clone());
            let (peers, its_rings) = (peers.clone(), rings.clone());
            let local = Local { peers, owners, informant, rings: its_rings, proposer, clock, max_in_flight };
            services.send_modify(|services| services.local = Some(local));
            tasks.spawn(sessions.clone().end_with_departures(rings.clone()));
        }
        let stopped = watch::Sender::new(None);
        let router = Router::new(owners.handle(), rings.clone(), sessions, proposer, stopped.subscribe(), clock, max_in_flight);
        tasks.spawn(consensus.upkeep(submitter.clone()));
        tasks.spawn(end_with(proposals, Arc::clone(consensus), owners.handle(), peers.clone(), services, stopped.clone()));
        tracing::info!(node = %id, epoch = epoch.0.0, "serving");
        let drain = peers.clone().map(|peers| Drain::new(peers, Arc::clone(consensus), submitter.clone(), owners.handle()));
        let admin = Admin::new(Arc::clone(consensus), peers, owners.handle(), submitter, drain, stopped.subscribe());
        let (throttler, consensus) = (Throttler::new(Arc::new(router)), Arc::clone(consensus));
        Ok(Self { id, throttler, admin, consensus, owners: Some(owners), stopped, tasks })
    }

    /// Who this node is.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// The way for this process's workers to call through the node.
    #[must_use]
    pub fn throttler(&self) -> Throttler {
        self.throttler.clone()
    }

    /// How the node and its cluster are, and what an operator may do to them.
    #[must_use]
    pub fn admin(&self) -> Admin {
        self.admin.clone()
    }

    /// Waits until the node stops by itself, and says why: its disk failed, or consensus did. Cancel-safe.
    pub async fn stopped(&self) -> String {
        let mut stopped = self.stopped.subscribe();
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.as_deref().unwrap_or("it was shut down").to_owned(),
            Err(_) => "it was shut down".to_owned(),
        }
    }

    /// Returns when the node has been drained: see [`Admin::drain`]. Its process may end then. Cancel-safe.
    pub async fn drained(&self) {
        self.admin.drained().await;
    }

    /// Ends everybody who waits, with an error that says so, hands what it owns to the other nodes and its part in keeping the log to another replica, closes
    /// the log, and returns when nothing runs any more. What can't be handed over within 10 s is left.
    pub async fn shutdown(mut self) {
        let serves = announce(&self.stopped, "it was shut down");
        if serves {
            // It ends in any case, and has logged why if that was not in order.
            drop(self.admin.drain(HANDS_OVER_WITHIN).await);
        }
        if let Some(owners) = self.owners.take() {
            owners.stop().await;
        }
        self.consensus.shutdown().await;
        self.tasks.shutdown().await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The owners stop with their handle; Raft ends, and frees the data directory, when the tasks, which end with their set, have let go of it.
        announce(&self.stopped, "its node was dropped");
    }
}

/// Looks for others, comes to a cluster with them, and keeps its part in it from then on.
async fn come_to_a_cluster(
    peers: &Peers,
    cluster: &ClusterConfig,
    consensus: &Arc<Consensus>,
    submitter: &Submitter,
    may_own: watch::Sender<bool>,
    tasks: &mut JoinSet<()>,
) -> Result<(), StartError> {
    let (own, discovery) = (peers.clone(), cluster.discovery());
    tasks.spawn(async move { peers::look_for_others(&own, &discovery).await });
    let (own, its) = (peers.clone(), Arc::clone(consensus));
    tasks.spawn(async move { peers::stand(&own, &its, &may_own).await });
    peers::form(peers, consensus, cluster.expect).await?;
    let (own, its, way) = (peers.clone(), Arc::clone(consensus), submitter.clone());
    tasks.spawn(async move { peers::mark_silent_members_down(&own, &its, &way).await });
    let (own, its, way) = (peers.clone(), Arc::clone(consensus), submitter.clone());
    tasks.spawn(async move { peers::reconcile(&own, &its, &way).await });
    let (own, ledger) = (peers.clone(), consensus.ledger().clone());
    tasks.spawn(async move { peers::follow(&own, &ledger).await });
    Ok(())
}

/// Returns when this run of the node is an owner and has applied the ring by which it is, or when it follows those who are; and by which ring.
async fn serves(
    id: NodeId,
    peers: Option<&Peers>,
    mut joined: watch::Receiver<Option<Epoch>>,
    mut rings: watch::Receiver<Arc<Ring>>,
) -> Result<Epoch, StartError> {
    let is_observer = || peers.is_some_and(Peers::observes);
    loop {
        {
            let (joined, ring) = (*joined.borrow_and_update(), rings.borrow_and_update());
            // A ring from before may have a former run of this node.
            let owns = joined.is_some_and(|joined| ring.epoch() >= joined && ring.has(id));
            if owns || (is_observer() && !ring.has(id) && !ring.members().is_empty()) {
                return Ok(ring.epoch());
            }
        }
        let changed = tokio::select! {
            changed = joined.changed() => changed,
            changed = rings.changed() => changed,
        };
        changed.map_err(|_| StartError::Stopped { reason: "its consensus has ended".to_owned() })?;
    }
}

/// Serves until the proposer, consensus or the owners end; then tells everybody why, and answers no peer any more: to them the node is gone.
async fn end_with(
    proposals: impl Future<Output = consensus::proposer::ProposerEnd>,
    consensus: Arc<Consensus>,
    owners: OwnersHandle,
    peers: Option<Peers>,
    services: watch::Sender<Services>,
    stopped: watch::Sender<Option<Arc<str>>>,
) {
    let end = tokio::select! {
        end = proposals => end.to_string(),
        // A disk may fail while nobody asks for anything.
        end = consensus.ended() => end,
        () = owners.ended() => "its owners have ended".to_owned(),
        unknown = outdated(peers.as_ref()) => unknown.to_string(),
    };
    let reason = consensus.failure().map_or(end, |failure| failure.to_string());
    if announce(&stopped, &reason) {
        tracing::error!(%reason, "the node stops: nothing is acknowledged any more");
    }
    drop(services);
}

/// Returns when this release is too old for its cluster, which a node by itself never is. Cancel-safe.
async fn outdated(peers: Option<&Peers>) -> UnknownLevel {
    match peers {
        Some(peers) => peers.outdated().await,
        None => std::future::pending().await,
    }
}

/// Says why the node has stopped, if this is the first reason: that one stands.
fn announce(stopped: &watch::Sender<Option<Arc<str>>>, reason: &str) -> bool {
    stopped.send_if_modified(|current| {
        let is_first = current.is_none();
        if is_first {
            *current = Some(reason.into());
        }
        is_first
    })
}

fn random_run() -> NonZeroU64 {
    NonZeroU64::new(rand::random()).unwrap_or(NonZeroU64::MIN)
}

#[cfg(test)]
mod tests;
