//! What the death of a node has cost those who waited for its connections.

use std::time::Duration;

use super::{Record, number};
use crate::cli::connections::{ConnectionSpec, Limit};
use crate::cli::demo::blow::Blow;

/// How long the next grant may take, from the later of the kill and room in the window.
pub(crate) const OVER_WITHIN: Duration = Duration::from_millis(1500);

/// How much later somebody must have begun to wait to count as later at another node: ages come by the ways of two nodes.
const LATER_BY: Duration = Duration::from_millis(100);

/// What it came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Failover {
    /// How many waited at the killed node.
    pub(crate) requeued: u64,
    /// The longest time to the next grant of one of their connections, from the later of the kill and room in its window. `None` when nobody waited.
    pub(crate) gap: Option<Duration>,
    /// The place of that connection.
    pub(crate) longest: Option<usize>,
    /// Connections where somebody waited and nobody was served again.
    pub(crate) never_served: u64,
    /// Pairs of them of one connection and niceness of which the one that had begun to wait later left first.
    pub(crate) inversions: u64,
}

/// Judges a blow in a run whose load ended at `until`; `records` are those of each connection, by place.
pub(super) fn judge(specs: &[ConnectionSpec], records: &[Vec<&Record>], blow: &Blow, until: Duration) -> Failover {
    let mut failover = Failover::default();
    for (place, ((spec, records), owned)) in specs.iter().zip(records).zip(&blow.owned).enumerate() {
        let waited = |record: &&&Record| {
            let was_granted = record.grant.is_some_and(|grant| grant.granted <= blow.at);
            // What was given up has ended without a grant, at the end of the run.
            record.enqueued <= blow.at && !was_granted
        };
        let waiting: Vec<&Record> = records.iter().filter(waited).copied().collect();
        if !owned || waiting.is_empty() {
            continue;
        }
        failover.requeued += number(waiting.len());
        failover.inversions += inversions(&waiting);
        let Gap { ready_at, next } = gap(spec, records, blow);
        let gap = next.map(|next| next.saturating_sub(ready_at));
        if gap.is_some_and(|gap| failover.gap.is_none_or(|longest| gap > longest)) {
            (failover.gap, failover.longest) = (gap, Some(place));
        }
        // A run that ends before has not shown it.
        failover.never_served += u64::from(gap.is_none() && until >= ready_at + OVER_WITHIN);
    }
    failover
}

/// From when on another owner could grant, and when it did.
struct Gap {
    ready_at: Duration,
    next: Option<Duration>,
}

fn gap(spec: &ConnectionSpec, records: &[&Record], blow: &Blow) -> Gap {
    let mut grants: Vec<_> = records.iter().filter_map(|record| record.grant.as_ref()).collect();
    grants.sort_unstable_by_key(|grant| grant.granted);
    // Of the killed owner, some may have been on their way.
    let former = grants.iter().rfind(|grant| grant.granted <= blow.at).map(|grant| grant.told.tenure);
    let next = grants.iter().position(|grant| grant.granted > blow.at && Some(grant.told.tenure) != former);
    let (before, rest) = grants.split_at(next.unwrap_or(grants.len()));
    let room = |limit: &Limit| {
        let count = usize::try_from(limit.requests.get()).ok()?;
        let oldest = before.get(before.len().checked_sub(count)?)?;
        Some(oldest.granted + limit.window + oldest.told.delivery + oldest.told.guard)
    };
    let room = spec.limits.iter().filter_map(room).max().unwrap_or_default();
    Gap { ready_at: blow.at.max(room), next: rest.first().map(|grant| grant.granted) }
}

/// The pairs that left in the wrong order: of one worker by its own order, of two by what their ways may blur. Whose slot came too late did not wait while it was on its way.
fn inversions(waiting: &[&Record]) -> u64 {
    let mut left: Vec<_> = waiting.iter().filter_map(|record| record.grant.map(|grant| (*record, grant.told))).collect();
    left.sort_unstable_by_key(|(record, told)| (record.niceness, told.tenure, told.release));
    let mut pairs = 0;
    for (place, (first, told)) in left.iter().enumerate() {
        let after = left.iter().skip(place + 1);
        let peers = after.take_while(|(record, other)| record.niceness == first.niceness && other.tenure == told.tenure);
        pairs += number(
            peers
                .filter(|(second, other)| {
                    let blur = if second.worker == first.worker { Duration::ZERO } else { LATER_BY };
                    other.waits_since < told.release && first.enqueued > second.enqueued + blur
                })
                .count(),
        );
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::super::super::journal::{Grant, Outcome};
    use super::super::super::message::Told;
    use super::*;
    use crate::cli::connections;
    use crate::cli::order::{Sequence, Tenure};

    const CONNECTIONS: &str = r#"
        [[connection]]
        platform = "p"
        connection = "c"
        limits = [{ requests = 2, window_seconds = 1 }]
    "#;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn waiting(worker: u32, enqueued: u64) -> Record {
        let ended = Some(Outcome::Cancelled);
        Record { worker, connection: 0, niceness: 5, enqueued: millis(enqueued), grant: None, ended }
    }

    fn served(worker: u32, enqueued: u64, granted: u64, (tenure, release): (u64, u64)) -> Record {
        let (tenure, arrival, release) = (Tenure(tenure), Sequence(0), Sequence(release));
        let waits_since = arrival;
        let told = Told { tenure, arrival, waits_since, release, delivery: millis(20), guard: millis(10) };
        Record { grant: Some(Grant { told, granted: millis(granted) }), ..waiting(worker, enqueued) }
    }

    fn judged(records: &[Record], owned: bool) -> Failover {
        let specs = connections::parse(CONNECTIONS).expect("the text is right");
        judge(&specs, &[records.iter().collect()], &Blow { at: millis(5000), node: 1, owned: vec![owned] }, millis(7000))
    }

    #[test]
    fn the_gap_counts_from_the_kill_when_there_is_room_and_from_room_when_there_is_none() {
        let next = served(0, 4000, 5700, (2, 1));
        assert_eq!(judged(std::slice::from_ref(&next), true).gap, Some(millis(700)));
        // Two of two were let go at 4.9 s: there is room from 5.93 s on.
        let full = [served(0, 0, 4900, (1, 1)), served(0, 0, 4950, (1, 2)), served(0, 4000, 6130, (2, 1))];
        let found = judged(&full, true);
        assert_eq!((found.gap, found.requeued, found.longest), (Some(millis(200)), 1, Some(0)));
        // One of the killed owner's was on its way.
        let late = [served(0, 0, 4900, (1, 1)), served(0, 0, 5001, (1, 2)), next];
        assert_eq!(judged(&late, true).gap, Some(Duration::ZERO));
    }

    #[test]
    fn a_connection_of_another_node_or_without_waiters_is_not_affected() {
        let next = served(0, 4000, 5700, (2, 1));
        assert_eq!(judged(std::slice::from_ref(&next), false), Failover::default());
        assert_eq!(judged(&[served(0, 5100, 5700, (2, 1))], true), Failover::default());
    }

    #[test]
    fn who_is_never_served_again_is_noticed() {
        let found = judged(&[served(0, 0, 4900, (1, 1)), waiting(0, 4000)], true);
        assert_eq!((found.gap, found.never_served, found.requeued), (None, 1, 1));
        // Both slots were used shortly before the kill, and the run ended before a second and a half had passed since there was room.
        let full = [served(0, 0, 4900, (1, 1)), served(0, 0, 4950, (1, 2)), waiting(0, 4000)];
        assert_eq!(judged(&full, true).never_served, 0);
    }

    #[test]
    fn order_is_strict_within_a_worker_and_blurred_between_two() {
        let pair = |worker, first, second| [served(0, first, 6000, (2, 1)), served(worker, second, 6001, (2, 2))];
        assert_eq!(judged(&pair(0, 4001, 4000), true).inversions, 1);
        assert_eq!(judged(&pair(0, 4000, 4001), true).inversions, 0);
        assert_eq!(judged(&pair(1, 4099, 4000), true).inversions, 0);
        assert_eq!(judged(&pair(1, 4101, 4000), true).inversions, 1);
        // The earlier one's first slot was late: it waits again since a moment after the later one's release.
        let mut late = pair(0, 4001, 4000);
        if let Some(grant) = &mut late[1].grant {
            (grant.told.waits_since, grant.told.release) = (Sequence(2), Sequence(3));
        }
        assert_eq!(judged(&late, true).inversions, 0);
    }
}
