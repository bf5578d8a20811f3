//! What the leader makes of silence: a member that is not heard of owns nothing any more, until it joins again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Peers;
use crate::clock;
use crate::consensus::Consensus;
use crate::consensus::state_machine::LedgerReader;
use crate::consensus::submitter::Submitter;
use crate::engine::grant::Incarnation;
use crate::engine::ledger::Command;
use crate::engine::time::Timestamp;

/// How often the leader looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a member may be silent.
const SILENT_FOR: Duration = Duration::from_millis(500);

/// How long an entry may take: without a quorum it would wait for one, and be out of date then.
const MARKED_WITHIN: Duration = Duration::from_secs(2);

/// A leader whose own quorum is silent knows nothing of others.
const QUORUM_WITHIN: Duration = Duration::from_millis(400);

/// Marks members down that are silent, while this node leads. Runs until it is dropped.
pub(crate) async fn mark_silent_members_down(peers: &Peers, consensus: &Consensus, submitter: &Submitter) {
    let (ledger, clock): (&LedgerReader, _) = (consensus.ledger(), peers.shared.clock);
    // Since when this leader knows of each run: a run that has just joined may not have been greeted yet.
    let mut known: BTreeMap<Incarnation, Timestamp> = BTreeMap::new();
    loop {
        clock::sleep(LOOK_EVERY).await;
        let now = clock.now();
        let standing = consensus.standing();
        let leads = standing.is_leader && standing.since_quorum_ack.is_some_and(|since| since < QUORUM_WITHIN);
        let members = if leads { ledger.members() } else { Vec::new() };
        known.retain(|member, _| members.contains(member));
        for incarnation in members {
            let since = *known.entry(incarnation).or_insert(now);
            let silent = peers.silent_for(incarnation.node).unwrap_or(Duration::MAX).min(now.saturating_since(since));
            if incarnation.node == peers.node() || silent < SILENT_FOR {
                continue;
            }
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
