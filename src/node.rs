//! A node: consensus, owners and a router in one process.

use std::num::NonZeroU64;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::Throttler;
use crate::clock::Clock;
use crate::config::NodeConfig;
use crate::consensus::committer::CommitError;
use crate::consensus::proposer::Proposer;
use crate::consensus::{self, Consensus, ConsensusError};
use crate::engine::grant::{Incarnation, NodeId};
use crate::owner::{Owners, OwnersHandle};
use crate::router::Router;

/// Why a node did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its log could not be opened, or Raft did not start.
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
    /// It could not join the ring.
    #[error("the node could not join: {0}")]
    Join(#[from] CommitError),
    /// Its owners could not be spawned.
    #[error("the owners did not start: {reason}")]
    Owners {
        /// What the actor system said.
        reason: String,
    },
}

/// A running node. Dropping it stops serving; [`Node::shutdown`] also waits until everything has ended.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    throttler: Throttler,
    consensus: Arc<Consensus>,
    owners: Option<Owners>,
    stopped: watch::Sender<Option<Arc<str>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Node {
    /// Starts a node and returns when it serves.
    ///
    /// # Errors
    /// [`StartError`]: nothing runs then.
    pub async fn start(config: NodeConfig) -> Result<Self, StartError> {
        let clock = Clock::start();
        let consensus = Arc::new(Consensus::start(&config.storage, config.expected_node, clock).await?);
        let id = consensus.node();
        let incarnation = Incarnation { node: id, run: random_run() };
        let (committer, commits) = consensus.committer();
        let commits = tokio::spawn(commits);
        let joined = consensus::join(&committer, incarnation, config.shards).await;
        let epoch = match joined {
            Ok(epoch) => epoch,
            Err(error) => {
                consensus.shutdown().await;
                return Err(error.into());
            }
        };
        let (proposer, proposals) = Proposer::new(incarnation, committer.clone());
        let (stopped, stop) = (watch::Sender::new(None), watch::Sender::subscribe);
        let max_in_flight = config.max_in_flight;
        let ledger = consensus.ledger().clone();
        let ring = ledger.ring();
        let owners = match Owners::start(config, clock, proposer.clone(), ledger).await {
            Ok(owners) => owners,
            Err(error) => {
                consensus.shutdown().await;
                return Err(StartError::Owners { reason: error.to_string() });
            }
        };
        let router = Router::new(owners.handle(), ring, proposer, stop(&stopped), clock, max_in_flight);
        let upkeep = tokio::spawn(consensus.upkeep(committer));
        let proposals = tokio::spawn(end_with(proposals, Arc::clone(&consensus), owners.handle(), stopped.clone()));
        tracing::info!(node = %id, epoch = epoch.0.0, "serving");
        Ok(Self {
            id,
            throttler: Throttler::new(Arc::new(router)),
            consensus,
            owners: Some(owners),
            stopped,
            tasks: vec![proposals, upkeep, commits],
        })
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

    /// Waits until the node stops by itself, and says why: its disk failed, or consensus did. Cancel-safe.
    pub async fn stopped(&self) -> String {
        let mut stopped = self.stopped.subscribe();
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.as_deref().unwrap_or("it was shut down").to_owned(),
            Err(_) => "it was shut down".to_owned(),
        }
    }

    /// Ends everybody who waits, with an error that says so, closes the log, and returns when nothing runs any more.
    pub async fn shutdown(mut self) {
        announce(&self.stopped, "it was shut down");
        if let Some(owners) = self.owners.take() {
            owners.stop().await;
        }
        self.consensus.shutdown().await;
        for task in self.tasks.drain(..) {
            task.abort();
            // Aborted, or ended before: both are what is wanted.
            drop(task.await);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        announce(&self.stopped, "its node was dropped");
        // The owners stop with their handle; Raft ends, and frees the data directory, when these tasks have let go of it.
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Serves until the proposer, consensus or the owners end; then tells everybody why.
async fn end_with(
    proposals: impl Future<Output = consensus::proposer::ProposerEnd>,
    consensus: Arc<Consensus>,
    owners: OwnersHandle,
    stopped: watch::Sender<Option<Arc<str>>>,
) {
    let end = tokio::select! {
        end = proposals => end.to_string(),
        // A disk may fail while nobody asks for anything.
        end = consensus.ended() => end,
        () = owners.ended() => "its owners have ended".to_owned(),
    };
    let reason = consensus.failure().map_or(end, |failure| failure.to_string());
    if announce(&stopped, &reason) {
        tracing::error!(%reason, "the node stops: nothing is acknowledged any more");
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
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;
    use crate::{AcquireError, Connection, RateLimit};

    async fn soon<F: Future>(future: F) -> F::Output {
        clock::timeout(Duration::from_secs(20), future).await.unwrap()
    }

    /// A node, and a call that waits an hour there.
    async fn waiting_node() -> (Node, JoinHandle<Result<(), AcquireError>>) {
        let node = Node::start(NodeConfig::in_memory()).await.unwrap();
        let connection = Connection::new("test", "full", RateLimit::new(1, Duration::from_secs(3600)).unwrap()).unwrap();
        drop(node.throttler().acquire(&connection).await.unwrap());
        let throttler = node.throttler();
        let call = tokio::spawn(async move { throttler.acquire(&connection).await.map(drop) });
        while node.throttler().report().await.waiters == 0 {
            tokio::task::yield_now().await;
        }
        (node, call)
    }

    #[tokio::test]
    async fn consensus_that_ends_while_nobody_proposes_stops_the_node_and_tells_those_who_wait() {
        let (node, call) = waiting_node().await;
        node.consensus.shutdown().await;
        let reason = soon(node.stopped()).await;
        assert!(reason.contains("raft stopped"), "{reason}");
        assert_eq!(soon(call).await.unwrap(), Err(AcquireError::Stopped { reason: reason.clone() }));
        let connection = Connection::new("test", "other", RateLimit::new(1, Duration::from_secs(1)).unwrap()).unwrap();
        let paused = soon(node.throttler().penalize(&connection, Duration::from_secs(1))).await;
        assert_eq!(paused, Err(AcquireError::Stopped { reason }));
        node.shutdown().await;
    }

    #[tokio::test]
    async fn owners_that_end_stop_the_node_and_tell_those_who_wait() {
        let (node, call) = waiting_node().await;
        let shard = node.owners.as_ref().unwrap().handle().shard(crate::engine::grant::ShardId { node: node.id, index: 0 });
        shard.unwrap().try_get_supervisor().unwrap().kill();
        assert_eq!(soon(node.stopped()).await, "its owners have ended");
        assert_eq!(soon(call).await.unwrap(), Err(AcquireError::Stopped { reason: "its owners have ended".to_owned() }));
        node.shutdown().await;
    }
}
