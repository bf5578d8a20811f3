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
use crate::engine::throttle::Refusal;
use crate::owner::{self, Message, Outcome, OwnersHandle, Ticket};
use crate::wire::{fields, v1};

/// What a session needs of its node.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    /// Who may speak.
    pub peers: Peers,
    /// The owners of this node.
    pub owners: OwnersHandle,
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

    /// Commits a pause of a connection of this node.
    pub(super) async fn pause(&self, pause: v1::RoutedPause, ticket: Arc<Ticket>) -> Outcome {
        let epoch = self.epoch();
        let moved = Outcome::MovedBy(epoch);
        let parsed = fields::key("key", pause.key).and_then(|key| {
            let span = pause.pause.ok_or_else(|| fields::BadField::new("pause", "is not set: it is required"))?;
            Ok((key, fields::span("pause", span)?))
        });
        let (key, span) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                tracing::error!(%error, "a pause does not parse");
                return Outcome::Refused(Refusal::RequestIdReused);
            }
        };
        let Some(shard) = self.shard_of(&key) else { return moved };
        match owner::pause(&self.proposer, self.clock, epoch, &key, span, &shard, ticket).await {
            Some(Ok(())) => Outcome::Paused,
            Some(Err(epoch)) => Outcome::MovedBy(epoch),
            None => moved,
        }
    }
}
