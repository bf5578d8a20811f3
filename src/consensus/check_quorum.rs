//! A leader that hears from no quorum falls silent, so that its followers elect another.
//!
//! Raft's leader stays in office for as long as its followers hear it, also when it hears none of them: a cut in one direction would then stop the cluster
//! for as long as it lasts. Raft's author gives the remedy, to step down when an election timeout passes without a round of heartbeats to a quorum
//! (D. Ongaro, "Consensus: Bridging Theory and Practice", 2014, section 6.2). openraft has none, but a leader that says nothing is as good as none.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::types::{Metrics, Raft};

/// For how many election timeouts it may hear from no quorum before it falls silent: a cluster under load is late at times.
const SILENT_AFTER: u32 = 4;
/// For how many it is silent then: followers miss it after one, and may need to try more than once.
const SILENT_FOR: u32 = 5;
/// For how many it speaks after that. Its log may be the longest there is, and then those who have come back can only wait for it.
const SPEAKS_FOR: u32 = 2;

/// What one node's Raft knows of its quorum.
#[derive(Debug)]
pub(super) struct CheckQuorum {
    election_timeout: Duration,
    /// Raft is made after the network that asks here.
    metrics: OnceLock<watch::Receiver<Metrics>>,
    /// Whether this node hands its office over: then it writes nothing more, for its log must not become longer than that of the next leader.
    hands_over: AtomicBool,
    /// Whether it has come so far that it says nothing more.
    is_silent: AtomicBool,
}

impl CheckQuorum {
    pub(super) const fn new(election_timeout: Duration) -> Self {
        Self { election_timeout, metrics: OnceLock::new(), hands_over: AtomicBool::new(false), is_silent: AtomicBool::new(false) }
    }

    /// Watches this one.
    pub(super) fn watch(&self, raft: &Raft) {
        self.metrics.get_or_init(|| raft.metrics());
    }

    /// Writes nothing more because another is to lead, until the value is dropped: whoever gives the hand-over up midway goes on leading.
    pub(super) fn stop_writing(&self) -> HandOver<'_> {
        self.hands_over.store(true, Ordering::Release);
        HandOver { check_quorum: self }
    }

    /// Whether this node, which leads, is to write nothing more.
    pub(super) fn hands_over(&self) -> bool {
        self.hands_over.load(Ordering::Acquire)
    }

    /// Whether this node, which leads, is to say nothing to its followers now.
    pub(super) fn is_silent(&self) -> bool {
        if self.is_silent.load(Ordering::Acquire) {
            return true;
        }
        let since = self.metrics.get().and_then(|metrics| metrics.borrow().millis_since_quorum_ack);
        since.is_some_and(|since| falls_silent(Duration::from_millis(since), self.election_timeout))
    }
}

/// A leader that hands its office over.
#[derive(Debug)]
pub(super) struct HandOver<'a> {
    check_quorum: &'a CheckQuorum,
}

impl HandOver<'_> {
    /// Says nothing more either.
    pub(super) fn fall_silent(&self) {
        self.check_quorum.is_silent.store(true, Ordering::Release);
    }
}

impl Drop for HandOver<'_> {
    fn drop(&mut self) {
        self.check_quorum.is_silent.store(false, Ordering::Release);
        self.check_quorum.hands_over.store(false, Ordering::Release);
    }
}

/// The same, by when a quorum was heard from last.
fn falls_silent(since: Duration, election_timeout: Duration) -> bool {
    let Some(over) = since.checked_sub(election_timeout * SILENT_AFTER) else { return false };
    let turn = election_timeout * (SILENT_FOR + SPEAKS_FOR);
    over.as_nanos() % turn.as_nanos() < (election_timeout * SILENT_FOR).as_nanos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_over_that_is_given_up_midway_leaves_a_leader_that_writes_and_speaks() {
        let check_quorum = CheckQuorum::new(Duration::from_millis(200));
        let hand_over = check_quorum.stop_writing();
        hand_over.fall_silent();
        assert_eq!((check_quorum.hands_over(), check_quorum.is_silent()), (true, true));
        drop(hand_over);
        assert_eq!((check_quorum.hands_over(), check_quorum.is_silent()), (false, false));
    }

    #[test]
    fn who_hears_from_no_quorum_is_silent_for_a_while_and_speaks_for_a_while_in_turns() {
        // milliseconds, with elections after 200
        for (since, silent) in [(0, false), (799, false), (800, true), (1799, true), (1800, false), (2199, false), (2200, true)] {
            assert_eq!(falls_silent(Duration::from_millis(since), Duration::from_millis(200)), silent, "{since} ms");
        }
    }
}
