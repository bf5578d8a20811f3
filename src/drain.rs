//! How a node goes, so that nobody misses it: what it owns goes to other nodes, with whoever waits, in order; its office, if it leads, to another voter; its part in
//! keeping the log to another replica. Until its process ends it still routes.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;

use crate::clock;
use crate::consensus::Consensus;
use crate::consensus::committer::CommitError;
use crate::consensus::submitter::Submitter;
use crate::engine::grant::Incarnation;
use crate::engine::ledger::Command;
use crate::engine::membership::Role;
use crate::owner::OwnersHandle;
use crate::peers::{self, Peers};

/// How soon it looks again how far it is.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// How long nobody else may be there before it stops trying.
const NOBODY_FOR: Duration = Duration::from_millis(500);

/// Why a node has not gone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DrainError {
    /// Nobody is there to take what it owns.
    #[error("the node has no peers: it is no part of a cluster")]
    NoPeers,
    /// No other node of the cluster is there that stays: it goes on as before.
    #[error("no other node is there to take what this one owns, and its part in keeping the log")]
    NobodyElse,
    /// It goes on as before, too.
    #[error(
        "what the node owns, and its part in keeping the log, could not be handed over within {within:?}: is a majority there?"
    )]
    Late {
        /// How long it had.
        within: Duration,
    },
}

/// The way of a node out of its cluster.
#[derive(Debug, Clone)]
pub(crate) struct Drain {
    peers: Peers,
    consensus: Arc<Consensus>,
    submitter: Submitter,
    owners: OwnersHandle,
    is_drained: watch::Sender<bool>,
}

impl Drain {
    pub(crate) fn new(peers: Peers, consensus: Arc<Consensus>, submitter: Submitter, owners: OwnersHandle) -> Self {
        Self { peers, consensus, submitter, owners, is_drained: watch::Sender::new(false) }
    }

    /// Returns when the node has gone, at once if it had before.
    ///
    /// # Errors
    /// [`DrainError::Late`], [`DrainError::NobodyElse`]: then it is to stay.
    pub(crate) async fn run(&self, within: Duration) -> Result<(), DrainError> {
        let handed_over = async {
            tokio::select! {
                () = self.hand_over() => Ok(()),
                () = self.nobody_else() => Err(DrainError::NobodyElse),
            }
        };
        let node = self.peers.node();
        tracing::info!(%node, ?within, "draining: what the node owns and keeps goes to others");
        let ended = clock::timeout(within, handed_over).await.unwrap_or(Err(DrainError::Late { within }));
        match &ended {
            Ok(()) => {
                tracing::info!(%node, "drained");
                self.is_drained.send_replace(true);
            }
            Err(error) => {
                tracing::warn!(%node, %error, "not drained: should the node end now, the others go on when they have missed it");
                self.peers.stay();
            }
        }
        ended
    }

    /// Returns when there has been nobody for a while who could take anything.
    async fn nobody_else(&self) {
        let clock = self.peers.clock();
        let mut seen_at = clock.now();
        while clock.now().saturating_since(seen_at) < NOBODY_FOR {
            if self.peers.others_stay() {
                seen_at = clock.now();
            }
            clock::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    /// Returns when the node has gone. Cancel-safe.
    pub(crate) async fn drained(&self) {
        let mut is_drained = self.is_drained.subscribe();
        // The sender is held here.
        drop(is_drained.wait_for(|is_drained| *is_drained).await);
    }

    /// Leaves the ring and waits until everybody who waits here has been sent on; then leaves the replicas.
    async fn hand_over(&self) {
        self.peers.hand_over();
        let mut marked = None;
        // Read anew each time: it may have joined again, as another run, since it was asked to leave.
        while let Some(incarnation) = self.own_member() {
            if marked != Some(incarnation) {
                match self.submitter.submit(&Command::MarkDown { incarnation }).await {
                    Ok(_) => marked = Some(incarnation),
                    Err(CommitError::Stopped { .. }) => return,
                    Err(CommitError::NotLeader { .. }) => {}
                }
            }
            clock::sleep(LOOK_AGAIN_AFTER).await;
        }
        while self.consensus.ledger().ring().borrow().has(self.peers.node()) || self.owners.report().await.waiters > 0 {
            clock::sleep(LOOK_AGAIN_AFTER).await;
        }
        peers::leave_the_replicas(&self.peers, &self.consensus).await;
    }

    /// The run of this node that is a member, if it is a replica still: the ledger of one that is none may be an old one.
    fn own_member(&self) -> Option<Incarnation> {
        let own = self.peers.node();
        let is_replica = self.peers.role_of(own) != Role::Observer;
        self.consensus.ledger().members().into_iter().find(|member| member.node == own).filter(|_| is_replica)
    }
}
