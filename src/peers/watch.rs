//! What the leader makes of silence: a member that is not heard of owns nothing any more, until it joins again.
//!
//! All nodes look, for each may lead at the next moment: who is elected knows already who has been silent, and that most often is who led before.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Peers;
use crate::clock;
use crate::consensus::Consensus;
use crate::consensus::state_machine::LedgerReader;
use crate::consensus::submitter::Submitter;
use crate::engine::grant::{Incarnation, NodeId};
use crate::engine::ledger::Command;
use crate::engine::time::Timestamp;

/// How often the leader looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a member may be silent.
const SILENT_FOR: Duration = Duration::from_millis(500);

/// How long a node may not have looked: longer, and it was stopped itself, or busy, and what it knows of others is as old.
const LOOKS_WITHIN: Duration = Duration::from_millis(200);

/// How long an entry may take: without a quorum it would wait for one, and be out of date then.
const MARKED_WITHIN: Duration = Duration::from_secs(2);

/// Marks members down that are silent, while this node leads. Runs until it is dropped.
pub(crate) async fn mark_silent_members_down(peers: &Peers, consensus: &Consensus, submitter: &Submitter) {
    let (ledger, clock): (&LedgerReader, _) = (consensus.ledger(), peers.shared.clock);
    let mut watch = Watch::default();
    loop {
        clock::sleep(LOOK_EVERY).await;
        let now = clock.now();
        // A leader whose own quorum is silent knows nothing of others.
        let leads = consensus.leads();
        let others = ledger.members().into_iter().filter(|member| member.node != peers.node()).collect();
        let silent = watch.look(now, others, |node| peers.silent_for(node));
        for (incarnation, silent) in silent.into_iter().filter(|_| leads) {
            tracing::warn!(node = %incarnation.node, ?silent, "a member is silent; it owns nothing any more");
            let marked = async {
                submitter.submit(&Command::MarkDown { incarnation }).await?;
                // An entry that follows tells the others at once that the one before it is committed.
                submitter.submit(&Command::Tick).await
            };
            match clock::timeout(MARKED_WITHIN, marked).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a silent member could not be marked down"),
                Err(error) => tracing::debug!(%error, "a silent member could not be marked down"),
            }
        }
    }
}

/// What a node has seen since it began to look.
#[derive(Debug, Default)]
struct Watch {
    looked_at: Option<Timestamp>,
    /// Since when each run is looked at: one that has just joined may not have been greeted yet.
    since: BTreeMap<Incarnation, Timestamp>,
}

impl Watch {
    /// The members that are silent for too long, and for how long; by whoever has looked all the time.
    fn look(
        &mut self,
        now: Timestamp,
        members: Vec<Incarnation>,
        silent_for: impl Fn(NodeId) -> Option<Duration>,
    ) -> Vec<(Incarnation, Duration)> {
        if self.looked_at.replace(now).is_none_or(|at| now.saturating_since(at) > LOOKS_WITHIN) {
            self.since.clear();
        }
        self.since.retain(|member, _| members.contains(member));
        let since = &mut self.since;
        let silent = members.into_iter().map(|member| {
            let looked_for = now.saturating_since(*since.entry(member).or_insert(now));
            (member, silent_for(member.node).unwrap_or(Duration::MAX).min(looked_for))
        });
        silent.filter(|(_, silent)| *silent >= SILENT_FOR).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    /// Looks every 50 ms from one moment to another; when it finds a member silent that was heard last at `heard_at`.
    fn look(watch: &mut Watch, from: u64, until: u64, heard_at: u64) -> Option<u64> {
        let member = Incarnation { node: NodeId::new(2), run: NonZeroU64::MIN };
        let at = |millis| Timestamp::ZERO + Duration::from_millis(millis);
        (from..=until).step_by(50).find(|&now| {
            let silent_for = |_| Some(at(now).saturating_since(at(heard_at)));
            !watch.look(at(now), vec![member], silent_for).is_empty()
        })
    }

    #[test]
    fn a_member_is_silent_when_it_was_not_heard_for_half_a_second() {
        let mut watch = Watch::default();
        assert_eq!(look(&mut watch, 0, 2_000, 1_200), Some(1_700));
    }

    #[test]
    fn a_leader_that_has_not_looked_itself_gives_everybody_their_time() {
        let mut watch = Watch::default();
        assert_eq!(look(&mut watch, 0, 1_000, 1_000), None);
        // It was stopped for 3 s: what it has heard of others is as old.
        assert_eq!(look(&mut watch, 4_000, 4_100, 990), None);
        assert_eq!(look(&mut watch, 4_150, 4_450, 4_110), None);
        // Who is gone indeed is silent from then on.
        let mut watch = Watch::default();
        assert_eq!(look(&mut watch, 0, 1_000, 1_000), None);
        assert_eq!(look(&mut watch, 4_000, 6_000, 990), Some(4_500));
    }
}
