//! A leader's clock of ledger time: what the next entry is stamped with.

use std::time::Duration;

use crate::engine::fault::Fault;
use crate::engine::time::{LedgerTime, Timestamp};

/// The stamp that was given last, and when, in which term.
#[derive(Debug, Clone, Copy)]
struct Stamped {
    term: u64,
    stamp: LedgerTime,
    at: Timestamp,
}

/// Stamps entries with ledger time: the stamp of the newest entry in log order, and what this node's own clock has counted since it stamped that entry
/// or, another leader's, applied it. Never the largest stamp it has seen, which may be that of an entry that was cut off.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeaderClock {
    stamped: Option<Stamped>,
}

impl LeaderClock {
    /// The stamp of the next entry of this term; each is later than the one before. `applied` is the newest applied stamp, and when it was applied
    /// here, once an entry of this term is among what is applied: before that nobody knows what the newest is, and there is no stamp.
    pub fn stamp(&mut self, now: Timestamp, term: u64, applied: Option<(LedgerTime, Timestamp)>) -> Option<LedgerTime> {
        let own = self
            .stamped
            .filter(|stamped| stamped.term == term || Fault::LargestStamp.is_planted())
            .map(|Stamped { stamp, at, .. }| (stamp, at));
        let (stamp, at) = own.or(applied)?;
        let stamp = stamp + now.saturating_since(at).max(Duration::from_nanos(1));
        self.stamped = Some(Stamped { term, stamp, at: now });
        Some(stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    fn ledger(millis: u64) -> LedgerTime {
        LedgerTime::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_leader_goes_on_from_the_newest_entry_of_the_log_and_by_its_own_clock() {
        let mut clock = LeaderClock::default();
        assert_eq!(clock.stamp(local(5), 1, None), None, "nothing of its term is applied");
        assert_eq!(clock.stamp(local(10), 1, Some((ledger(100), local(8)))), Some(ledger(102)));
        // Its own entries are not applied yet, and count all the same.
        assert_eq!(clock.stamp(local(15), 1, None), Some(ledger(107)));
        assert_eq!(clock.stamp(local(15), 1, None), Some(ledger(107) + Duration::from_nanos(1)), "each is later");
    }

    #[test]
    fn what_was_stamped_in_a_former_term_may_have_been_cut_off_and_counts_for_nothing() {
        let mut clock = LeaderClock::default();
        clock.stamp(local(10), 1, Some((ledger(100), local(0))));
        clock.stamp(local(500), 1, None);
        assert_eq!(clock.stamp(local(600), 3, None), None);
        assert_eq!(clock.stamp(local(610), 3, Some((ledger(120), local(605)))), Some(ledger(125)));
    }
}
