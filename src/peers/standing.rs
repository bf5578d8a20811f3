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

    /// By which entry of the log the newest replicas that are known here are those.
    fn known_at(&self) -> Option<(u64, u64)> {
        self.shared.standing.lock().known.as_ref().map(|known| known.at)
    }

    /// Whether this node is known to have no log.
    pub(crate) fn observes(&self) -> bool {
        let own = self.node();
        self.shared.standing.lock().known.as_ref().is_some_and(|known| known.replicas.role(own) == Role::Observer)
    }

    /// The newest replicas that are known here, if any are.
    pub(crate) fn replicas(&self) -> Option<Replicas> {
        self.shared.standing.lock().known.as_ref().map(|known| known.replicas.clone())
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

    /// Whether it goes, or hands over before it does.
    pub(crate) fn goes(&self) -> bool {
        self.shared.hands_over.load(Ordering::Acquire) || self.shared.standing.lock().is_leaving
    }

    /// How long ago a majority of the voters was there, as far as this node knows; `None` before the first time.
    pub(crate) fn since_in_touch(&self) -> Option<Duration> {
        let at = *self.shared.in_touch_at.lock();
        at.map(|at| self.shared.clock.now().saturating_since(at))
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
        // What is not committed may be cut off again, or depend on the disk of one who is told that it may go.
        peers.learn(known.as_ref().filter(|(_, is_applied)| *is_applied).map(|(known, _)| known));
        let own = consensus.standing();
        let leader_serves = |leader| peers.there().any(|heard| heard.by.node == leader && heard.standing.serves);
        let role = peers.role_of(peers.node());
        let serves =
            if own.is_leader { consensus.leads() } else { role != Role::Observer && own.leader.is_some_and(leader_serves) };
        // Who has no log hears from those who have whether they serve.
        if serves || (role == Role::Observer && peers.there().any(|heard| heard.standing.serves)) {
            peers.shared.in_touch_at.lock().replace(peers.shared.clock.now());
        }
        {
            let mut standing = peers.shared.standing.lock();
            standing.leader = own.leader.filter(|_| role != Role::Observer);
            standing.serves = serves;
            standing.level = consensus.ledger().level();
        }
        // Whoever votes may be needed to commit what makes it a voter; but its own log may be an old one, by which it is a voter still.
        let by_log = known.as_ref().map(|(known, _)| known).filter(|known| Some(known.at) > peers.known_at());
        consensus.allow_elections(by_log.map_or(role, |known| known.replicas.role(peers.node())) == Role::Voter);
        let has_log = known.is_some_and(|(known, is_applied)| is_applied && known.replicas.role(peers.node()) != Role::Observer);
        let may = has_log && role != Role::Observer && !peers.shared.hands_over.load(Ordering::Acquire);
        may_own.send_if_modified(|current| std::mem::replace(current, may) != may);
        clock::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::num::NonZeroU64;
    use std::sync::Arc;

    use super::super::reconcile::leave_the_replicas;
    use super::*;
    use crate::clock::Clock;
    use crate::config::Storage;
    use crate::consensus::{self, transport::Alone};
    use crate::engine::founding::Founding;
    use crate::engine::grant::{ClusterId, Incarnation};

    fn known(index: u64, spares: &[NodeId]) -> KnownReplicas {
        let voters = BTreeSet::from([NodeId::new(2)]);
        KnownReplicas { at: (1, index), replicas: Replicas { voters, spares: spares.iter().copied().collect() } }
    }

    #[tokio::test]
    async fn an_observer_that_goes_has_gone_when_no_leader_can_make_a_replica_of_it_that_has_not_heard_so() {
        let (own, clock) = (NodeId::new(1), Clock::start());
        let opened = consensus::open(&Storage::Memory, Some(own), clock).await.unwrap();
        let run = Incarnation { node: own, run: NonZeroU64::MIN };
        let peers = Peers::new(run, Arc::clone(opened.belonging()), clock, "127.0.0.1:1".to_owned());
        let consensus = Consensus::start(opened, Arc::new(Alone), clock).await.unwrap();
        peers.learn(Some(&known(1, &[])));
        let mut leaving = std::pin::pin!(leave_the_replicas(&peers, &consensus));
        assert!(clock::timeout(Duration::from_millis(200), &mut leaving).await.is_err(), "nobody has heard of it");
        assert!(peers.standing().is_leaving);
        // It was added at the same moment.
        peers.learn(Some(&known(2, &[own])));
        assert!(clock::timeout(Duration::from_secs(3), &mut leaving).await.is_err(), "it has the log");
        peers.learn(Some(&known(3, &[])));
        clock::timeout(Duration::from_secs(10), leaving).await.unwrap();
        consensus.shutdown().await;
    }

    #[tokio::test]
    async fn nobody_is_told_of_replicas_that_are_not_committed_and_may_be_cut_off_again_but_elections_are_held_by_them() {
        let (own, other, clock) = (NodeId::new(1), NodeId::new(2), Clock::start());
        let opened = consensus::open(&Storage::Memory, Some(own), clock).await.unwrap();
        let run = Incarnation { node: own, run: NonZeroU64::MIN };
        let peers = Peers::new(run, Arc::clone(opened.belonging()), clock, "127.0.0.1:1".to_owned());
        let consensus = Consensus::start(opened, Arc::new(Alone), clock).await.unwrap();
        // The other voter is not there: nothing is ever committed.
        consensus.found(&Founding { cluster: ClusterId(7), voters: BTreeSet::from([own, other]) }).await.unwrap();
        let (known, is_applied) = consensus.known_replicas().unwrap();
        assert_eq!((known.replicas.role(own), is_applied), (Role::Voter, false));
        consensus.allow_elections(false);
        let may_own = watch::Sender::new(false);
        let stands_for_election = async {
            while consensus.standing().term < 3 {
                clock::sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            () = stand(&peers, &consensus, &may_own) => {}
            stood = clock::timeout(Duration::from_secs(10), stands_for_election) => stood.unwrap(),
        }
        assert_eq!((peers.standing().known, *may_own.borrow()), (None, false));
        consensus.shutdown().await;
    }
}
