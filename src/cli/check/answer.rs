//! I4 and I5: everybody is answered, once, in time; and a retried request is charged once by one owner.

use std::collections::HashMap;
use std::time::Duration;

use super::account::{Account, Connection, Numbers, Try};
use super::finding::Finding;

/// How long after its deadline somebody may hear of it; counted from the end of a fault that began before that, for whoever was to answer, or to hear it, may
/// have been stopped.
const LATE_BY: Duration = Duration::from_secs(1);

/// Those who have no answer, though everybody was waited for, or none in time.
pub(super) fn unanswered(account: &Account, connection: &Connection) -> Vec<Finding> {
    let Some(ended_at) = account.ended_at else { return Vec::new() };
    let late = |one: &Try| {
        let by = heard_by(account, one.timeout.map(|timeout| one.enqueued + timeout)?);
        let (name, request) = (&connection.name, one.name());
        let what = match one.ended_at() {
            None => format!("{name}: {request} has no answer"),
            Some(at) if at > by => format!("{name}: {request} was answered {:?} after it had to know of its deadline", at - by),
            Some(_) => return None,
        };
        Some(Finding { at: by, what })
    };
    let lost = |one: &Try| {
        let (name, request) = (&connection.name, one.name());
        let is_lost = one.end.is_none() && one.timeout.is_none();
        is_lost.then(|| Finding { at: ended_at, what: format!("{name}: {request} has no answer") })
    };
    connection.tries.iter().filter_map(|one| late(one).or_else(|| lost(one))).collect()
}

/// Until when somebody must have heard whose deadline this is.
fn heard_by(account: &Account, deadline: Duration) -> Duration {
    let struck = account.faults.iter().filter(|fault| fault.struck);
    struck.fold(deadline + LATE_BY, |by, fault| match fault.until_nanos.map(Duration::from_nanos) {
        Some(until) if Duration::from_nanos(fault.at_nanos) <= by => by.max(until + LATE_BY),
        _ => by,
    })
}

/// Answers and charges beyond the first: of one try, and of one request at one owner. Each fault may cost a retried request one more.
pub(super) fn repeated(account: &Account, connection: &Connection) -> Vec<Finding> {
    let name = &connection.name;
    let mut found = Vec::new();
    let mut granted: HashMap<&str, Vec<&Try>> = HashMap::new();
    for one in &connection.tries {
        if one.more_ends > 0 {
            let what = format!("{name}: {} was answered {} times", one.name(), one.more_ends + 1);
            found.push(Finding { at: one.ended_at().unwrap_or_default(), what });
        }
        if one.grant().is_some() {
            granted.entry(&one.request).or_default().push(one);
        }
    }
    let mut several: Vec<_> = granted.into_iter().filter(|(_, tries)| tries.len() > 1).collect();
    several.sort_by_key(|(request, _)| *request);
    for (request, tries) in several {
        let (first, last) = (tries.iter().map(|one| one.enqueued).min(), tries.iter().filter_map(|one| one.ended_at()).max());
        let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
        let faults = account.changes(first, last);
        if tries.len() > 1 + faults {
            let what = format!("{name}: {request:?} was granted {} times, with {faults} faults meanwhile", tries.len());
            found.push(Finding { at: last, what });
        }
    }
    found.extend(drawn_twice(connection));
    found
}

/// Numbers that an owner drew for more than one thing.
fn drawn_twice(connection: &Connection) -> Option<Finding> {
    let numbers = connection.tries.iter().filter_map(|one| one.grant()?.numbers);
    let mut drawn: Vec<_> =
        numbers.flat_map(|Numbers { tenure, arrival, release, .. }| [(tenure, arrival), (tenure, release)]).collect();
    let all = drawn.len();
    drawn.sort_unstable();
    drawn.dedup();
    let twice = all - drawn.len();
    let what = format!("{}: {twice} of the owners' numbers were drawn twice", connection.name);
    (twice > 0).then_some(Finding { at: Duration::ZERO, what })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{account, again, end, enqueue, fault, grant, left, within};
    use super::*;

    #[test]
    fn who_has_no_answer_when_everybody_was_waited_for_is_lost() {
        let lost = |lines: &[String]| {
            let account = account(lines);
            unanswered(&account, &account.connections[0]).len()
        };
        assert_eq!(lost(&[enqueue(1, 0, 0)]), 0);
        assert_eq!(lost(&[enqueue(1, 0, 0), end(9000)]), 1);
        assert_eq!(lost(&[enqueue(1, 0, 0), left(1, 8000), end(9000)]), 0);
        assert_eq!(lost(&[within(1, 0, 1.0), left(1, 2000), end(9000)]), 0);
        assert_eq!(lost(&[within(1, 0, 1.0), left(1, 2001), end(9000)]), 1);
        assert_eq!(lost(&[within(1, 0, 1.0), end(9000)]), 1);
    }

    #[test]
    fn who_was_stopped_before_it_could_hear_of_its_deadline_hears_of_it_later() {
        let stopped = |from: u64, until: u64| {
            let nanos = |millis: u64| millis * 1_000_000;
            format!(r#"{{"event":"fault","at_nanos":{},"until_nanos":{},"what":"stop"}}"#, nanos(from), nanos(until))
        };
        let lost = |fault: String, ends_at: u64| {
            let account = account(&[within(1, 0, 1.0), fault, left(1, ends_at), end(30_000)]);
            unanswered(&account, &account.connections[0]).len()
        };
        assert_eq!((lost(stopped(500, 5_500), 6_500), lost(stopped(500, 5_500), 6_501)), (0, 1));
        assert_eq!((lost(stopped(2_000, 6_000), 7_000), lost(stopped(2_000, 6_000), 7_001)), (0, 1), "word was on its way");
        assert_eq!(lost(stopped(2_001, 6_000), 6_001), 1, "it had to know by then");
    }

    #[test]
    fn a_second_answer_and_a_second_charge_are_found_and_a_fault_excuses_one_charge() {
        let found = |lines: &[String]| {
            let account = account(lines);
            repeated(&account, &account.connections[0]).len()
        };
        let once = grant(1, 0, 0, 10, None);
        assert_eq!(found(&once), 0);
        assert_eq!(found(&[once.clone(), vec![left(1, 20)]].concat()), 1);
        let twice = [once, again(1, 1, 5, 20)].concat();
        assert_eq!(found(&twice), 1);
        assert_eq!(found(&[twice.clone(), vec![fault(7)]].concat()), 0);
        assert_eq!(found(&[twice.clone(), vec![fault(7)], again(1, 2, 6, 21)].concat()), 1);
        let twice_at = |at: u64| [grant(1, 0, at, at + 10, None), again(1, 1, at + 5, at + 20)].concat();
        let (before, changing, later) = (twice_at(970), twice_at(3_900), twice_at(4_001));
        assert_eq!([before, changing, later].map(|lines| found(&[lines, vec![fault(1_000)]].concat())), [1, 0, 1]);
        let same = [grant(1, 0, 0, 10, Some((7, 1, 2))), grant(2, 0, 0, 11, Some((7, 2, 3)))].concat();
        assert_eq!(found(&same), 1);
    }
}
