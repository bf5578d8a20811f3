//! How this node stands in its cluster: what it says to others, and what it makes of what they say.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use super::{Peers, Speaker};
use crate::clock;
use crate::consensus::Consensus;
use crate::engine::grant::NodeId;
use crate::engine::ledger::UnknownLevel;
use crate::engine::membership::{KnownReplicas, Replicas, Role};
use crate::wire::standing::Standing;

/// How often a node looks how it stands.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Peers {
    /// What this node says of itself.
    pub(super) fn standing(&self) -> Standing {
        self.shared.standing.lock().clone()
    }

    /// Takes what another node says of the replicas, if it is of the same cluster.
    pub(super) fn learn_from(&self, speaker: &Speaker, standing: &Standing) {
        let belonging = &self.shared.belonging;
        if speaker.is_bound && belonging.is_bound() && speaker.cluster == belonging.cluster() {
            self.learn(standing.known.as_ref());
        }
    }

    /// Takes what is known of the replicas, if it is newer.
    fn learn(&self, known: Option<&KnownReplicas>) {
        let mut standing = self.shared.standing.lock();
        if known.map(|known| known.at) > standing.known.as_ref().map(|known| known.at) {
            standing.known = known.cloned();
        }
    }

    /// The newest replicas that are known here.
    pub(crate) fn replicas(&self) -> Replicas {
        self.shared.standing.lock().known.as_ref().map(|known| known.replicas.clone()).unwrap_or_default()
    }

    /// What a node is by the newest that is known here.
    pub(crate) fn role_of(&self, node: NodeId) -> Role {
        self.shared.standing.lock().known.as_ref().map_or(Role::Observer, |known| known.replicas.role(node))
    }

    /// Who leads, as far as this node, or a replica that it hears, knows.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let own = self.shared.standing.lock().leader;
        own.or_else(|| self.there().filter(|heard| heard.standing.serves).find_map(|heard| heard.standing.leader))
    }

    /// From now on this node does not become an owner again.
    pub(crate) fn hand_over(&self) {
        self.shared.hands_over.store(true, Ordering::Release);
    }

    /// Says to everybody that this node wants to go.
    pub(crate) fn leave(&self) {
        self.shared.standing.lock().is_leaving = true;
    }

    /// Takes both back.
    pub(crate) fn stay(&self) {
        self.shared.standing.lock().is_leaving = false;
        self.shared.hands_over.store(false, Ordering::Release);
    }

    /// Returns when the cluster has raised its ledger to a level that this release does not know. Cancel-safe.
    pub(crate) async fn outdated(&self) -> UnknownLevel {
        loop {
            let cluster = Some(self.shared.belonging.cluster());
            let mut serving = self.there().filter(|heard| heard.standing.serves && heard.cluster == cluster);
            if let Some(unknown) = serving.find_map(|heard| heard.standing.level.check().err()) {
                return unknown;
            }
            clock::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether any other node of this cluster is there and stays.
    pub(crate) fn others_stay(&self) -> bool {
        let cluster = Some(self.shared.belonging.cluster());
        self.there().any(|heard| heard.cluster == cluster && !heard.standing.is_leaving)
    }
}

/// Keeps what this node says of itself true, and tells whether it may own connections: as a replica that knows the log up to there. Runs until it is dropped.
pub(crate) async fn stand(peers: &Peers, consensus: &Consensus, may_own: &watch::Sender<bool>) {
    loop {
        let known = consensus.known_replicas();
        peers.learn(known.as_ref().map(|(known, _)| known));
        let own = consensus.standing();
        let leader_serves = |leader| peers.there().any(|heard| heard.by.node == leader && heard.standing.serves);
        let role = peers.role_of(peers.node());
        let serves =
            if own.is_leader { consensus.leads() } else { role != Role::Observer && own.leader.is_some_and(leader_serves) };
        {
            let mut standing = peers.shared.standing.lock();
            standing.leader = own.leader.filter(|_| role != Role::Observer);
            standing.serves = serves;
            standing.level = consensus.ledger().level();
        }
        // Its own log may be an old one, by which it is a voter still.
        consensus.allow_elections(role == Role::Voter);
        let has_log = known.is_some_and(|(known, is_applied)| is_applied && known.replicas.role(peers.node()) != Role::Observer);
        let may = has_log && role != Role::Observer && !peers.shared.hands_over.load(Ordering::Acquire);
        may_own.send_if_modified(|current| std::mem::replace(current, may) != may);
        clock::sleep(LOOK_EVERY).await;
    }
}
