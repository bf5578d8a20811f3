//! I6: slots are not wasted. While somebody waits and the window has room, somebody is let go soon; a fault may cost a pause, and the slots of one window.

use std::time::Duration;

use super::account::{Account, Connection, Limit, Try};
use super::finding::Finding;

/// How long somebody may wait with room in the window while nothing is done to the cluster.
const AT_MOST: Duration = Duration::from_millis(1500);

/// How long after a fault, beside one window: as long as a cluster takes that was killed as a whole.
const AFTER_FAULT: Duration = Duration::from_secs(5);

/// A time in which nobody was let go although there was room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Gap {
    /// How long.
    pub(super) span: Duration,
    /// When it ended.
    pub(super) until: Duration,
}

/// The longest such time, and whether it is longer than what happened excuses.
pub(super) fn longest(account: &Account, connection: &Connection) -> (Option<Gap>, Option<Finding>) {
    let gaps = gaps(connection);
    let window = connection.tries.iter().flat_map(|one| &one.limits).map(|limit| limit.window).max().unwrap_or_default();
    let is_excused = |gap: &Gap| {
        let from = gap.until.saturating_sub(gap.span);
        account.faults.iter().filter(|fault| fault.struck).any(|fault| {
            let begins = Duration::from_nanos(fault.at_nanos);
            let over = Duration::from_nanos(fault.until_nanos.unwrap_or(fault.at_nanos)) + AFTER_FAULT + window;
            begins <= gap.until && from <= over && gap.until <= over
        })
    };
    let broken = gaps.iter().filter(|gap| gap.span > AT_MOST && !is_excused(gap)).max();
    let finding = broken.map(|gap| {
        let what =
            format!("{}: nobody was let go for {:?} although somebody waited and there was room", connection.name, gap.span);
        Finding { at: gap.until, what }
    });
    (gaps.iter().max().copied(), finding)
}

/// For each grant, how long before it there was room and somebody who waited.
fn gaps(connection: &Connection) -> Vec<Gap> {
    let mut grants: Vec<(Duration, &Try)> = connection.tries.iter().filter_map(|one| Some((one.grant()?.at, one))).collect();
    grants.sort_by_key(|(at, _)| *at);
    let mut gaps = Vec::new();
    for (place, (at, one)) in grants.iter().enumerate() {
        let (before, _) = grants.split_at(place);
        let room = one.limits.iter().map(|limit| room(before, *limit, one.cost)).max().unwrap_or_default();
        let former = before.last().map(|(at, _)| *at).unwrap_or_default();
        // Its own wait is certain; somebody else may have waited before it, who was let go then.
        let ready = room.max(former).max(one.enqueued);
        gaps.push(Gap { span: at.saturating_sub(ready), until: *at });
    }
    gaps
}

/// From when on `cost` more units fit, with what is kept for their ways.
fn room(before: &[(Duration, &Try)], limit: Limit, cost: u64) -> Duration {
    if limit.algorithm.is_bucket() {
        let from = |(at, one): &(Duration, &Try)| *at + one.grant().map(|grant| grant.margin).unwrap_or_default();
        let empty_at = before.iter().fold(Duration::ZERO, |empty_at, one| limit.empty_after(empty_at, from(one), one.1.cost));
        // Its period may be longer, for clocks that differ.
        let longer = (empty_at.saturating_sub(before.first().map_or(empty_at, |(at, _)| *at))) / 2000;
        return (empty_at + longer + limit.takes(cost)).saturating_sub(limit.window);
    }
    let mut units = cost;
    for (_, one) in before.iter().rev() {
        units += one.cost;
        if units > limit.count {
            let grant = one.grant();
            return grant.map(|grant| grant.at + limit.window + grant.margin).unwrap_or_default();
        }
    }
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::super::tests::{account, fault, grant};
    use super::*;

    fn judged(starts: &[(u64, u64)], faults: &[u64]) -> (Option<u128>, bool) {
        let mut lines: Vec<String> =
            (0..).zip(starts).flat_map(|(number, (from, at))| grant(number, 0, *from, *at, None)).collect();
        lines.extend(faults.iter().map(|at| fault(*at)));
        let account = account(&lines);
        let (gap, finding) = longest(&account, &account.connections[0]);
        (gap.map(|gap| gap.span.as_millis()), finding.is_some())
    }

    #[test]
    fn a_full_window_is_no_gap_and_room_is() {
        // Two a second, with 30 ms kept for the way: the third may come at 1030.
        assert_eq!(judged(&[(0, 0), (0, 0), (0, 1030)], &[]), (Some(0), false));
        assert_eq!(judged(&[(0, 0), (0, 0), (0, 2530)], &[]), (Some(1500), false));
        assert_eq!(judged(&[(0, 0), (0, 0), (0, 2531)], &[]), (Some(1501), true));
        // It came only then.
        assert_eq!(judged(&[(0, 0), (0, 0), (2500, 2531)], &[]), (Some(31), false));
    }

    #[test]
    fn a_fault_excuses_a_pause_and_one_window_and_no_more() {
        assert_eq!(judged(&[(0, 0), (0, 6900)], &[1000]), (Some(6900), false));
        assert_eq!(judged(&[(0, 0), (0, 7001)], &[1000]), (Some(7001), true));
        assert_eq!(judged(&[(0, 0), (0, 6900)], &[9000]), (Some(6900), true));
    }
}
