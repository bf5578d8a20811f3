//! The ring, for a node that has no log: it follows a replica, and another one when that is gone or cut off.

use std::time::Duration;

use thiserror::Error;
use tonic::Status;

use super::Peers;
use crate::clock::{self, TimedOut};
use crate::consensus::state_machine::LedgerReader;
use crate::engine::grant::NodeId;
use crate::engine::membership::Role;
use crate::wire::fields::BadField;
use crate::wire::{standing, v1};

/// How often a replica says at least that its ring is still the newest.
pub(super) const SAY_EVERY: Duration = Duration::from_millis(500);

/// How long it may say nothing.
const SILENT_FOR: Duration = Duration::from_millis(1500);

/// How soon an observer looks again for somebody to follow.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Why a replica is not followed any more.
#[derive(Debug, Error)]
enum Lost {
    #[error("{}", .0.message())]
    Refused(#[from] Status),
    #[error("it is silent: {0}")]
    Silent(#[from] TimedOut),
    #[error(transparent)]
    Bad(#[from] BadField),
}

/// Follows replicas while this node is none. Runs until it is dropped.
pub(crate) async fn follow(peers: &Peers, ledger: &LedgerReader) {
    let mut turn = usize::try_from(peers.node().get() % 1024).unwrap_or_default();
    loop {
        let is_observer = peers.shared.belonging.is_bound() && peers.role_of(peers.node()) == Role::Observer;
        if let Some(replica) = is_observer.then(|| serving(peers, turn)).flatten() {
            let lost = follow_one(peers, ledger, replica).await;
            if let Err(lost) = lost {
                tracing::info!(%replica, %lost, "a replica is followed no more");
            }
            turn = turn.wrapping_add(1);
        }
        clock::sleep(LOOK_AGAIN_AFTER).await;
    }
}

/// One of the replicas that are in touch with a quorum: observers spread over them.
fn serving(peers: &Peers, turn: usize) -> Option<NodeId> {
    let serves = |node: &NodeId| peers.role_of(*node) != Role::Observer && !peers.is_refused(*node);
    let mut serving: Vec<NodeId> =
        peers.there().filter(|heard| heard.standing.serves).map(|heard| heard.by.node).filter(serves).collect();
    serving.sort_unstable();
    serving.dedup();
    turn.checked_rem(serving.len()).and_then(|place| serving.get(place).copied())
}

/// Follows a replica until it is lost, or this node is one itself.
async fn follow_one(peers: &Peers, ledger: &LedgerReader, replica: NodeId) -> Result<(), Lost> {
    let Some(link) = peers.link_to(replica) else { return Ok(()) };
    let request = v1::FollowRequest { sender: Some(peers.sender(replica)) };
    let mut frames = clock::timeout(SILENT_FOR, link.client().follow(request)).await??.into_inner();
    while let Some(frame) = clock::timeout(SILENT_FOR, frames.message()).await?? {
        peers.check_member(frame.sender.as_ref())?;
        if peers.role_of(peers.node()) != Role::Observer {
            break;
        }
        if let Some(ring) = frame.ring {
            ledger.follow(peers.node(), standing::ring(&ring)?);
        }
    }
    Ok(())
}
