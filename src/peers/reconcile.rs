//! The leader's part in who keeps the log: replicas that are missing, gone or leaving are made good, one change at a time.
//!
//! What is to be done is `engine::membership::plan`'s to say.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Peers;
use crate::clock;
use crate::consensus::Consensus;
use crate::consensus::submitter::Submitter;
use crate::engine::grant::NodeId;
use crate::engine::ledger::{Command, Level};
use crate::engine::membership::{KnownReplicas, Role, Seen, plan};

/// How often the leader looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// When all replicas have heard that an observer goes, and a change that was under way has ended: until then the leader may be making a replica of it.
const HEARD_WITHIN: Duration = Duration::from_millis(1500);

/// Makes good what is missing, while this node leads. Runs until it is dropped.
pub(crate) async fn reconcile(peers: &Peers, consensus: &Consensus, submitter: &Submitter) {
    loop {
        clock::sleep(LOOK_EVERY).await;
        let Some((known, _)) = consensus.known_replicas().filter(|_| consensus.leads() && !consensus.hands_over()) else {
            continue;
        };
        let change = consensus.unfinished_change().or_else(|| plan(peers.node(), &known.replicas, &seen(peers, consensus)));
        if let Some(change) = change {
            tracing::info!(?change, "changing who keeps the log");
            if let Err(error) = consensus.change(&change).await {
                tracing::warn!(?change, %error, "who keeps the log could not be changed; looking again");
            }
            continue;
        }
        mark_others_down(consensus, submitter, &known).await;
        raise_level(peers, consensus, submitter, &known).await;
    }
}

/// What this node knows of the nodes of its cluster.
fn seen(peers: &Peers, consensus: &Consensus) -> BTreeMap<NodeId, Seen> {
    let (cluster, now) = (peers.shared.belonging.cluster(), peers.shared.clock.now());
    let own = Seen { silent_for: Duration::ZERO, is_leaving: peers.standing().is_leaving, is_caught_up: true };
    let mut seen = BTreeMap::from([(peers.node(), own)]);
    // A node that has moved was heard at two addresses: the later one counts.
    let mut all: Vec<_> = peers.heard().filter(|heard| heard.cluster == Some(cluster)).collect();
    all.sort_by_key(|heard| heard.at);
    // Who does not know the ledger's rules can't have the log.
    let level = consensus.ledger().level();
    for heard in all.into_iter().filter(|heard| heard.standing.newest_level >= level) {
        let (node, silent_for) = (heard.by.node, now.saturating_since(heard.at));
        let is_caught_up = consensus.is_caught_up(node);
        seen.insert(node, Seen { silent_for, is_leaving: heard.standing.is_leaving, is_caught_up });
    }
    seen
}

/// A member that has no log any more owns nothing.
async fn mark_others_down(consensus: &Consensus, submitter: &Submitter, known: &KnownReplicas) {
    for incarnation in consensus.ledger().members() {
        if known.replicas.role(incarnation.node) == Role::Observer {
            tracing::info!(node = %incarnation.node, "a member has no log any more: it owns nothing");
            if let Err(error) = submitter.submit(&Command::MarkDown { incarnation }).await {
                tracing::debug!(%error, "a member without a log could not be marked down");
            }
        }
    }
}

/// The rules of a new level hold as soon as all replicas, and all others that are there and may become one, know it.
async fn raise_level(peers: &Peers, consensus: &Consensus, submitter: &Submitter, known: &KnownReplicas) {
    let (own, cluster) = (peers.node(), Some(peers.shared.belonging.cluster()));
    let there: BTreeMap<NodeId, Level> = peers
        .there()
        .filter(|heard| heard.cluster == cluster)
        .map(|heard| (heard.by.node, heard.standing.newest_level))
        .collect();
    let is_there = |node: &NodeId| *node == own || there.contains_key(node);
    let newest = there.values().copied().fold(Level::NEWEST, Level::min);
    let level = consensus.ledger().level();
    if newest > level && known.replicas.all().all(|node| is_there(&node)) {
        match submitter.submit(&Command::Raise { to: newest }).await {
            Ok(_) => {
                tracing::info!(ledger_level = %newest, "all nodes know this level of the ledger: its rules hold from now on")
            }
            Err(error) => tracing::debug!(%error, "the ledger's level could not be raised; looking again"),
        }
    }
}

/// Leaves the replicas, with another leader if this node leads; returns when that is done.
pub(crate) async fn leave_the_replicas(peers: &Peers, consensus: &Consensus) {
    let own = peers.node();
    while let Some(next) = next_leader(peers, consensus) {
        consensus.hand_leadership_to(next).await;
        clock::sleep(LOOK_EVERY).await;
    }
    let heard_after = if peers.role_of(own) == Role::Observer { HEARD_WITHIN } else { Duration::ZERO };
    peers.leave();
    let mut observes_since = peers.clock().now();
    loop {
        let now = peers.clock().now();
        if peers.role_of(own) != Role::Observer {
            observes_since = now;
        } else if now.saturating_since(observes_since) >= heard_after {
            return;
        }
        clock::sleep(LOOK_EVERY).await;
    }
}

/// Who is to lead when this leader leaves.
fn next_leader(peers: &Peers, consensus: &Consensus) -> Option<NodeId> {
    if !consensus.standing().is_leader {
        return None;
    }
    let mut fit = peers.there().filter(|heard| {
        let node = heard.by.node;
        !heard.standing.is_leaving && peers.role_of(node) == Role::Voter && consensus.is_caught_up(node)
    });
    fit.next().map(|heard| heard.by.node)
}
