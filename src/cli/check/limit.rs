//! I1: never more than N units in any rolling window of W, nor more of a bucket than it has, by the starts of the calls.

use std::time::Duration;

use super::account::{Connection, Limit, Try};
use super::finding::Finding;

/// Every grant that is one too many, under its own request's limits. A window is half open: a start one window ago has left it.
pub(super) fn over_the_limit(connection: &Connection) -> Vec<Finding> {
    let mut starts: Vec<_> = connection.tries.iter().filter_map(|one| Some((one.grant()?.at, one))).collect();
    starts.sort_by_key(|(at, _)| *at);
    let mut found = Vec::new();
    for (place, (at, one)) in starts.iter().enumerate() {
        let (until, _) = starts.split_at(place + 1);
        for Limit { count, window, .. } in one.limits.iter().filter(|limit| !limit.algorithm.is_bucket()) {
            let within = until.partition_point(|(start, _)| *start + *window <= *at);
            let units: u64 = until.iter().skip(within).map(|(_, one): &(_, &Try)| one.cost).sum();
            if units > *count {
                let (request, name) = (one.name(), &connection.name);
                let what =
                    format!("{name}: {units} units started within {window:?}, {count} are allowed; the last was {request}");
                found.push(Finding { at: *at, what });
            }
        }
    }
    found.extend(over_a_bucket(&connection.name, &starts));
    found
}

/// Every start that finds more in a bucket than it holds, of all starts before it, whoever made them.
fn over_a_bucket(name: &str, starts: &[(Duration, &Try)]) -> Vec<Finding> {
    let mut buckets: Vec<(Limit, Duration)> = Vec::new();
    for limit in starts.iter().flat_map(|(_, one)| &one.limits).filter(|limit| limit.algorithm.is_bucket()) {
        if !buckets.iter().any(|(known, _)| known == limit) {
            buckets.push((*limit, Duration::ZERO));
        }
    }
    let mut found = Vec::new();
    for (at, one) in starts {
        for (limit, empty_at) in &mut buckets {
            *empty_at = limit.empty_after(*empty_at, *at, one.cost);
            // A nanosecond a start is lost in the division.
            let held = empty_at.saturating_sub(*at);
            if held > limit.window && one.limits.contains(limit) {
                let (Limit { count, window, algorithm }, request) = (limit, one.name());
                let over = held.saturating_sub(*window);
                let what = format!("{name}: a {algorithm} of {count} per {window:?} is over by {over:?}; the last was {request}");
                found.push(Finding { at: *at, what });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::{account, grant};
    use super::*;

    fn found(starts_millis: &[u64]) -> usize {
        let lines = (0..).zip(starts_millis).flat_map(|(number, at)| grant(number, 0, 0, *at, None)).collect::<Vec<_>>();
        account(&lines).connections.iter().map(|connection| over_the_limit(connection).len()).sum()
    }

    #[test]
    fn a_window_is_half_open_and_everything_within_it_counts() {
        assert_eq!(found(&[0, 400, 1000, 1400]), 0);
        assert_eq!(found(&[0, 400, 999]), 1);
        assert_eq!(found(&[0, 0, 0]), 1);
        assert_eq!(found(&[0, 0, 0, 0]), 2);
    }

    #[test]
    fn a_bucket_lets_its_burst_through_and_then_one_by_one() {
        let found = |starts_millis: &[u64]| {
            let lines = (0..).zip(starts_millis).flat_map(|(number, at)| grant(number, 0, 0, *at, None));
            let by_bucket = |line: String| line.replace("\"requests\":2", "\"algorithm\":\"token_bucket\",\"requests\":2");
            let account = account(&lines.map(by_bucket).collect::<Vec<_>>());
            account.connections.iter().map(|connection| over_the_limit(connection).len()).sum::<usize>()
        };
        assert_eq!(found(&[0, 0, 500, 1000, 1500, 3000, 3000]), 0);
        assert_eq!(found(&[0, 0, 499]), 1);
        assert_eq!(found(&[0, 0, 0, 0]), 2);
    }

    #[test]
    fn the_order_of_the_lines_does_not_matter() {
        assert_eq!(found(&[1400, 0, 1000, 400]), 0);
        assert_eq!(found(&[999, 400, 0]), 1);
    }
}
