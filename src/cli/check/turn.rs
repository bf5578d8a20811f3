//! I2 and I3: the most urgent first, and equals as they came.
//!
//! Where the owner's numbers are known they decide, within one tenure. Where they are not, and for those who left without a grant, moments do, with what
//! may have been on its way: somebody waited at a release if it was queued for certain before the grant can have been released, and left after its call began.

use std::collections::BTreeMap;
use std::time::Duration;

use super::account::{Account, Connection, Numbers, Try};
use super::finding::Finding;
use crate::cli::order::{self, Stay, Tenure};

/// Pairs in the wrong order by the owners' numbers: of niceness, and of arrival.
pub(super) fn inversions(connection: &Connection) -> (u64, u64) {
    let mut tenures: BTreeMap<Tenure, Vec<Stay>> = BTreeMap::new();
    for one in &connection.tries {
        if let Some(numbers) = one.grant().and_then(|grant| grant.numbers) {
            let Numbers { tenure, arrival, waits_since, release } = numbers;
            tenures.entry(tenure).or_default().push(Stay { niceness: one.niceness, arrival, waits_since, release });
        }
    }
    let sum = |count: fn(&[Stay]) -> u64| tenures.values().map(|stays| count(stays)).sum();
    (sum(order::priority_inversions), sum(order::fifo_inversions))
}

/// Those who certainly waited while somebody nicer was let go, by moments.
pub(super) fn passed_over(account: &Account, connection: &Connection) -> Vec<Finding> {
    let mut grants: Vec<&Try> = connection.tries.iter().filter(|one| one.grant().is_some()).collect();
    grants.sort_by_key(|one| one.ended_at());
    let mut found = Vec::new();
    for waiter in &connection.tries {
        let Some(queued) = waiter.queued else { continue };
        let is_numbered = |one: &Try| one.grant().is_some_and(|grant| grant.numbers.is_some());
        // Its own grant was released before it came: until then it waited for certain.
        let left = match waiter.grant() {
            Some(grant) => grant.at.saturating_sub(grant.delivery),
            None => waiter.ended_at().unwrap_or(Duration::MAX),
        };
        let passing = grants.iter().filter(|other| {
            let Some(grant) = other.grant() else { return false };
            let released_after = grant.at.saturating_sub(grant.delivery);
            // Both numbered: judged by their numbers.
            let judged = is_numbered(waiter) && is_numbered(other);
            !judged && other.niceness > waiter.niceness && released_after > queued && grant.at < left
        });
        // Who waits while owners change is at neither of them.
        let passing =
            passing.filter_map(|other| Some((other, other.grant()?.at))).find(|(_, at)| account.changes(queued, *at) == 0);
        if let Some((other, at)) = passing {
            let (name, passed, passes) = (&connection.name, waiter.name(), other.name());
            found.push(Finding { at, what: format!("{name}: {passes} was let go while the more urgent {passed} waited") });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::{account, enqueue, fault, grant, left, queued};
    use super::*;

    #[test]
    fn numbers_of_one_tenure_decide() {
        // The nicer one leaves at 3 while the urgent one has waited since 2.
        let lines = [grant(1, 20, 0, 10, Some((7, 1, 3))), grant(2, 0, 1, 20, Some((7, 2, 4)))].concat();
        assert_eq!(inversions(&account(&lines).connections[0]), (1, 0));
        let lines = [grant(1, 5, 0, 10, Some((7, 1, 4))), grant(2, 5, 1, 20, Some((7, 2, 3)))].concat();
        assert_eq!(inversions(&account(&lines).connections[0]), (0, 1));
        let lines = [grant(1, 20, 0, 10, Some((7, 1, 3))), grant(2, 0, 1, 20, Some((8, 2, 4)))].concat();
        assert_eq!(inversions(&account(&lines).connections[0]), (0, 0));
    }

    #[test]
    fn who_was_queued_for_certain_and_gives_up_later_was_passed_over() {
        let nicer = grant(1, 20, 0, 500, None);
        let passed = |queued_at: Option<u64>, left_at, fault_at: Option<u64>| {
            let mut lines = [nicer.clone(), vec![enqueue(2, 0, 100)]].concat();
            lines.extend(queued_at.map(|at| queued(2, at)));
            lines.push(left(2, left_at));
            lines.extend(fault_at.map(fault));
            let account = account(&lines);
            passed_over(&account, &account.connections[0]).len()
        };
        assert_eq!(passed(Some(200), 600, None), 1);
        // It may not have arrived, it may have left, or the owner may have died.
        assert_eq!(passed(None, 600, None), 0);
        assert_eq!(passed(Some(501), 600, None), 0);
        assert_eq!(passed(Some(200), 499, None), 0);
        assert_eq!(passed(Some(200), 600, Some(300)), 0);
        assert_eq!(passed(Some(200), 600, Some(900)), 1);
    }
}
