//! What is held back while nobody knows what was granted before.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const WEEK_MILLIS: u64 = 7 * 24 * 3_600_000;

/// A log in which everything is held back from this millisecond on.
fn held_since(millis: u64, at_most: Duration) -> Log {
    let mut log = Log::new();
    assert_eq!(log.entry(millis, Command::Hold { at_most }), Answer::Held);
    log
}

fn not_before(stamp: u64, millis: u64) -> Verdict {
    Verdict::NotBefore { stamp: at(stamp), at: at(millis) }
}

#[test]
fn each_connection_is_held_back_for_its_own_longest_window() {
    let mut log = held_since(100, MINUTE);
    let owner = run(NODE, 1);
    let two = per(1, 1000).union(&per(9, 3000)).unwrap();
    assert_eq!(log.propose(200, owner, "short", ask(1, &per(1, 1000))), not_before(200, 1100));
    assert_eq!(log.propose(300, owner, "two", ask(1, &two)), not_before(300, 3100));
    assert_eq!(log.propose(1099, owner, "short", ask(1, &per(1, 1000))), not_before(1099, 1100));
    assert_eq!(log.propose(1100, owner, "short", ask(1, &per(1, 1000))), charged(at(1100), 1));
    assert_eq!(log.propose(3099, owner, "two", ask(1, &two)), not_before(3099, 3100));
    assert_eq!(log.propose(3100, owner, "two", ask(1, &two)), charged(at(3100), 1));
}

#[test]
fn a_window_is_held_back_with_its_margins_as_a_charge_would_count() {
    let mut log = held_since(100, MINUTE);
    let limit = RateLimit::new(1, Duration::from_secs(1)).unwrap().with_guard(Duration::from_millis(30)).unwrap();
    let limits = Limits::new([limit.with_delivery_bound(Duration::from_millis(70)).unwrap()]).unwrap();
    assert_eq!(log.propose(200, run(NODE, 1), "a", ask(1, &limits)), not_before(200, 1200));
    assert_eq!(log.propose(1200, run(NODE, 1), "a", ask(1, &limits)), charged(at(1200), 1));
}

#[test]
fn nothing_is_held_back_for_longer_than_was_asked_for() {
    let mut log = held_since(100, MINUTE);
    let hourly = per(1, 3_600_000);
    assert_eq!(log.propose(200, run(NODE, 1), "a", ask(1, &hourly)), not_before(200, 60_100));
    assert_eq!(log.propose(60_100, run(NODE, 1), "a", ask(1, &hourly)), charged(at(60_100), 1));
}

#[test]
fn what_others_have_stated_of_a_connection_holds_it_back_too() {
    let mut log = held_since(100, MINUTE);
    let owner = run(NODE, 1);
    assert_eq!(log.propose(200, owner, "a", ask(1, &per(9, 5000))), not_before(200, 5100));
    assert_eq!(log.propose(1500, owner, "a", ask(1, &per(1, 1000))), not_before(1500, 5100));
}

#[test]
fn a_connection_that_comes_when_its_window_has_passed_is_not_held_back() {
    let mut log = held_since(100, MINUTE);
    assert_eq!(log.propose(1100, run(NODE, 1), "a", ask(1, &per(1, 1000))), charged(at(1100), 1));
    assert_eq!(log.propose(1200, run(NODE, 1), "b", ask(1, &per(1, 2000))), not_before(1200, 2100));
}

#[test]
fn a_hold_that_is_over_leaves_nothing_behind() {
    let mut log = held_since(100, MINUTE);
    log.tick(60_099);
    assert!(log.ledger.hold.is_some());
    log.tick(60_100);
    assert_eq!(log.ledger.hold, None);
}

#[test]
fn a_later_hold_takes_the_place_of_one_that_does_not_end_after_it() {
    let mut log = held_since(100, MINUTE);
    assert_eq!(log.entry(1100, Command::Hold { at_most: MINUTE }), Answer::Held);
    assert_eq!(log.propose(1200, run(NODE, 1), "a", ask(1, &per(1, 1000))), not_before(1200, 2100));
    assert_eq!(log.entry(2200, Command::Hold { at_most: Duration::from_secs(1) }), Answer::Held);
    assert_eq!(log.propose(2300, run(NODE, 1), "a", ask(1, &per(1, 1000))), charged(at(2300), 1));
}

#[test]
fn without_a_bound_the_longest_window_is_held_back_whole_and_the_hold_is_forgotten_all_the_same() {
    let mut log = held_since(100, Duration::MAX);
    let weekly = RateLimit::new(1, Duration::from_millis(WEEK_MILLIS)).unwrap().with_delivery_bound(MINUTE).unwrap();
    let counts = u64::try_from((weekly.span() + MINUTE).as_millis()).unwrap();
    let weekly = Limits::new([weekly]).unwrap();
    assert_eq!(log.propose(200, run(NODE, 1), "a", ask(1, &weekly)), not_before(200, 100 + counts));
    assert_eq!(log.propose(100 + counts, run(NODE, 1), "a", ask(1, &weekly)), charged(at(100 + counts), 1));
    log.tick(2 * WEEK_MILLIS);
    assert_eq!(log.ledger.hold, None);
}

#[test]
fn a_hold_outlives_a_snapshot() {
    let log = held_since(100, MINUTE);
    let mut bytes = Vec::new();
    ciborium::into_writer(&log.ledger, &mut bytes).unwrap();
    let ledger = ciborium::from_reader::<Ledger, _>(bytes.as_slice()).unwrap().restored();
    let mut log = Log { ledger, ..log };
    assert_eq!(log.propose(200, run(NODE, 1), "a", ask(1, &per(1, 1000))), not_before(200, 1100));
}
