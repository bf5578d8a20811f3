//! I1: never more than N units in any rolling window of W, by the starts of the calls.

use super::account::{Connection, Limit, Try};
use super::verdict::Finding;

/// Every grant that is one too many, under its own request's limits. A window is half open: a start one window ago has left it.
pub(super) fn over_the_limit(connection: &Connection) -> Vec<Finding> {
    let mut starts: Vec<_> = connection.tries.iter().filter_map(|one| Some((one.grant()?.at, one))).collect();
    starts.sort_by_key(|(at, _)| *at);
    let mut found = Vec::new();
    for (place, (at, one)) in starts.iter().enumerate() {
        let (until, _) = starts.split_at(place + 1);
        for Limit { count, window } in &one.limits {
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
    fn the_order_of_the_lines_does_not_matter() {
        assert_eq!(found(&[1400, 0, 1000, 400]), 0);
        assert_eq!(found(&[999, 400, 0]), 1);
    }
}
