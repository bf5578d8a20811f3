//! How full the windows were kept: of the slots that there were while somebody waited, the part that nobody had.

use std::time::Duration;

use super::account::{Connection, Limit};

/// The time in which somebody waited, and the part of it in which slots were free, each moment counted by the share of its slots that was.
///
/// A slot is taken from the start of its call until its window is over, with what is kept for its way, and free otherwise: so one that was charged
/// and never started counts as free. Of several limits the fullest counts, and nothing is free that is too little for everybody who waits. No client sees
/// the way of its grant: a slot is charged before its call starts, so a little less is free here than there was, never more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Waste {
    waited: Duration,
    free: Duration,
}

impl Waste {
    /// The same of several connections: each counts by the time in which somebody waited.
    pub(super) const fn and(self, other: Self) -> Self {
        Self { waited: self.waited.saturating_add(other.waited), free: self.free.saturating_add(other.free) }
    }

    /// In per cent of the slots, if anybody has waited.
    pub(super) fn percent(&self) -> Option<f64> {
        (!self.waited.is_zero()).then(|| 100.0 * self.free.as_secs_f64() / self.waited.as_secs_f64())
    }
}

/// What changes at a moment.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// One of this cost begins to wait, or no longer does.
    Waits(u64),
    Leaves(u64),
    /// So many units of the limit with this place are taken, or free again.
    Takes(usize, u64),
    Frees(usize, u64),
}

/// The waste of one connection. Who has no end counts only until the last that is known of the others.
pub(super) fn of(connection: &Connection) -> Waste {
    let limits = limits(connection);
    let mut taken = vec![0u64; limits.len()];
    let mut waiting = std::collections::BTreeMap::<u64, u64>::new();
    let mut waste = Waste::default();
    let mut former = Duration::ZERO;
    for (at, change) in changes(connection, &limits) {
        if let Some(least) = waiting.keys().next() {
            let span = at.saturating_sub(former);
            let shares = limits.iter().zip(&taken).map(|(limit, taken)| share(limit.count, *taken, *least));
            waste.waited += span;
            waste.free += span.mul_f64(shares.reduce(f64::min).unwrap_or_default());
        }
        former = at;
        match change {
            Change::Waits(cost) => *waiting.entry(cost).or_default() += 1,
            Change::Leaves(cost) => {
                if let Some(count) = waiting.get_mut(&cost) {
                    *count -= 1;
                }
                waiting.retain(|_, count| *count > 0);
            }
            Change::Takes(place, units) => taken.iter_mut().skip(place).take(1).for_each(|taken| *taken += units),
            Change::Frees(place, units) => taken.iter_mut().skip(place).take(1).for_each(|taken| *taken -= units),
        }
    }
    waste
}

/// The part of a limit's units that is free, from 0 to 1; none of it where it is too little for anybody.
fn share(count: u64, taken: u64, least: u64) -> f64 {
    let free = count.saturating_sub(taken);
    let float = |units: u64| f64::from(u32::try_from(units).unwrap_or(u32::MAX));
    if free < least { 0.0 } else { float(free) / float(count.max(1)) }
}

/// Every limit that any of its tries has named.
fn limits(connection: &Connection) -> Vec<Limit> {
    let mut limits: Vec<Limit> = Vec::new();
    for limit in connection.tries.iter().flat_map(|one| &one.limits) {
        if !limits.contains(limit) {
            limits.push(*limit);
        }
    }
    limits
}

/// In the order of their moments.
fn changes(connection: &Connection, limits: &[Limit]) -> Vec<(Duration, Change)> {
    let last = connection.tries.iter().filter_map(super::account::Try::ended_at).max().unwrap_or_default();
    let mut changes = Vec::new();
    let mut empty_at = vec![Duration::ZERO; limits.len()];
    let mut tries: Vec<_> = connection.tries.iter().collect();
    tries.sort_by_key(|one| one.grant().map(|grant| grant.at));
    for one in tries {
        let until = one.ended_at().unwrap_or(last).max(one.enqueued);
        changes.extend([(one.enqueued, Change::Waits(one.cost)), (until, Change::Leaves(one.cost))]);
        let Some(grant) = one.grant() else { continue };
        for (place, (limit, empty_at)) in limits.iter().zip(&mut empty_at).enumerate() {
            *empty_at = limit.empty_after(*empty_at, grant.at + grant.margin, one.cost);
            // What is in a bucket leaks in its order.
            let over = if limit.algorithm.is_bucket() { *empty_at } else { grant.at + limit.window + grant.margin };
            changes.extend([(grant.at, Change::Takes(place, one.cost)), (over, Change::Frees(place, one.cost))]);
        }
    }
    // Stable: who begins to wait does so before leaving, and what is taken is so before it is free.
    changes.sort_by_key(|(at, _)| *at);
    changes
}

#[cfg(test)]
mod tests {
    use super::super::tests::{account, enqueue, grant, left};
    use super::*;

    /// Of (enqueued, granted) at two a second, with 30 ms kept for the way, and (enqueued, given up): milliseconds waited, and free.
    fn judged(granted: &[(u64, u64)], gone: &[(u64, u64)]) -> (u128, u128) {
        let granted = (0..).zip(granted).flat_map(|(number, (from, at))| grant(number, 0, *from, *at, None));
        let gone = (100..).zip(gone).flat_map(|(number, (from, at))| [enqueue(number, 0, *from), left(number, *at)]);
        let account = account(&granted.chain(gone).collect::<Vec<_>>());
        let waste = of(&account.connections[0]);
        (waste.waited.as_millis(), waste.free.as_millis())
    }

    #[test]
    fn a_window_that_is_full_whenever_somebody_waits_wastes_nothing() {
        assert_eq!(judged(&[(0, 0), (0, 0), (0, 1030), (0, 1030)], &[]), (1030, 0));
        // Nobody waits from 1030 to 5000: nothing is wasted by it.
        assert_eq!(judged(&[(0, 0), (0, 0), (0, 1030), (5000, 5000)], &[]), (1030, 0));
    }

    #[test]
    fn a_slot_that_nobody_has_while_somebody_waits_is_wasted_for_as_long() {
        // One of two from 0 on, and the other one as well from 1030 on.
        assert_eq!(judged(&[(0, 0), (0, 2030)], &[]), (2030, 1515));
        // Who gives up in the end has waited, too.
        assert_eq!(judged(&[(0, 0), (0, 0)], &[(0, 2030)]), (2030, 1000));
    }

    #[test]
    fn connections_count_by_the_time_in_which_somebody_waited() {
        let waste = |waited, free| Waste { waited: Duration::from_secs(waited), free: Duration::from_secs(free) };
        assert_eq!(waste(3, 0).and(waste(1, 1)).percent(), Some(25.0));
        assert_eq!(Waste::default().percent(), None);
    }
}
