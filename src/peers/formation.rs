//! How nodes without a cluster become one.
//!
//! A node that has a log goes on with its cluster. One that has none waits until it is called into a cluster, or until enough nodes without one
//! see each other, and all see the same: then the lowest of them founds a cluster of all of them, in one configuration, and calls the others in.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::Peers;
use crate::clock;
use crate::consensus::{Consensus, ConsensusError};
use crate::engine::grant::NodeId;

/// How often a node looks who is there.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long they must have seen each other.
const STABLE_FOR: Duration = Duration::from_millis(300);

/// How often a node that waits says for whom.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Returns when this node has a cluster.
///
/// # Errors
/// [`ConsensusError`] when consensus has stopped.
pub(crate) async fn form(peers: &Peers, consensus: &Consensus, expect: NonZeroUsize) -> Result<(), ConsensusError> {
    let clock = peers.shared.clock;
    let mut stable: Option<(BTreeSet<NodeId>, crate::engine::time::Timestamp)> = None;
    let mut say_at = clock.now() + Duration::from_secs(2);
    loop {
        if consensus.has_log().await? {
            return Ok(());
        }
        let now = clock.now();
        let unbound = peers.unbound();
        let is_agreed = is_agreed(peers, &unbound, expect);
        let since = match stable.take() {
            Some((former, since)) if is_agreed && former == unbound => Some(since),
            _ => is_agreed.then_some(now),
        };
        if since.is_some_and(|since| now.saturating_since(since) >= STABLE_FOR) && unbound.first() == Some(&peers.node()) {
            tracing::info!(cluster = %peers.shared.belonging.cluster(), voters = ?unbound, "founding a cluster");
            return consensus.found(unbound).await;
        }
        if now >= say_at {
            let others = peers.there().filter(|heard| heard.is_bound).count();
            let (seen, trouble) = (unbound.len(), peers.report());
            tracing::warn!(seen, %expect, bound = others, peers = ?trouble, "waiting for a cluster: enough nodes without one, or one that calls this node in");
            say_at = now + SAY_EVERY;
        }
        stable = since.map(|since| (unbound, since));
        clock::sleep(LOOK_EVERY).await;
    }
}

/// Whether enough nodes without a cluster are there, none that has one, and all of them see the same.
fn is_agreed(peers: &Peers, unbound: &BTreeSet<NodeId>, expect: NonZeroUsize) -> bool {
    let sees_the_same = |heard: &super::Heard| !heard.is_bound && heard.unbound.iter().eq(unbound);
    unbound.contains(&peers.node()) && unbound.len() >= expect.get() && peers.there().all(|heard| sees_the_same(&heard))
}
