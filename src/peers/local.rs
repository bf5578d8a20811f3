//! What sessions need of the node that serves them.

use std::sync::Arc;

use ractor::ActorRef;
use tokio::sync::watch;

use super::Peers;
use crate::clock::Clock;
use crate::consensus::proposer::Proposer;
use crate::engine::grant::Epoch;
use crate::engine::key::ConnectionKey;
use crate::engine::ring::Ring;
use crate::owner::{self, Informant, Message, Outcome, OwnersHandle, Ticket};
use crate::wire::adjustment::RoutedAdjustment;

/// What a session needs of its node.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    /// Who may speak.
    pub peers: Peers,
    /// The owners of this node.
    pub owners: OwnersHandle,
    /// Who answers operators' questions about it.
    pub informant: Informant,
    /// The ring, as far as this node has applied the log.
    pub rings: watch::Receiver<Arc<Ring>>,
    /// The way to the ledger.
    pub proposer: Proposer,
    /// The node's clock.
    pub clock: Clock,
    /// The most acquires that one session may have open.
    pub max_in_flight: usize,
}

impl Local {
    /// The actor here that owns this connection.
    pub(super) fn shard_of(&self, key: &ConnectionKey) -> Option<ActorRef<Message>> {
        let owner = self.rings.borrow().owner(key)?;
        self.owners.shard(owner)
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.rings.borrow().epoch()
    }

    /// Commits an adjustment of a connection of this node.
    pub(super) async fn adjust(&self, routed: &RoutedAdjustment, ticket: Arc<Ticket>) -> Outcome {
        let epoch = self.epoch();
        let Some(shard) = self.shard_of(&routed.key) else { return Outcome::MovedBy(epoch) };
        match owner::adjust(&self.proposer, self.clock, epoch, &routed.key, routed.adjustment, &shard, ticket).await {
            Some(Ok(adjusted)) => Outcome::Adjusted(adjusted),
            Some(Err(newer)) => Outcome::MovedBy(newer),
            None => Outcome::MovedBy(epoch),
        }
    }
}
