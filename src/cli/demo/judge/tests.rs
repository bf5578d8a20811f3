//! Hand-made runs with known verdicts.

use super::super::journal::Grant;
use super::super::message::Told;
use super::*;
use crate::cli::connections;
use crate::cli::order::Sequence;

const CONNECTIONS: &str = r#"
    [[connection]]
    platform = "p"
    connection = "saturated"
    limits = [{ requests = 1, window_seconds = 1 }]
    [[connection]]
    platform = "p"
    connection = "idle"
    limits = [{ requests = 9, window_seconds = 60 }]
"#;

fn specs() -> Vec<ConnectionSpec> {
    connections::parse(CONNECTIONS).expect("the text is right")
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Served: arrival and release are its numbers, and it was issued and granted at these milliseconds.
fn served(niceness: u32, (arrival, release): (u64, u64), (issued, granted): (u64, u64)) -> Record {
    Record {
        worker: 0,
        connection: 0,
        niceness,
        enqueued: millis(issued),
        grant: Some(Grant {
            told: Told {
                tenure: Tenure(0),
                arrival: Sequence(arrival),
                waits_since: Sequence(arrival),
                release: Sequence(release),
                delivery: millis(20),
                guard: millis(10),
            },
            granted: millis(granted),
        }),
        ended: Some(Outcome::Accepted),
    }
}

fn dropped(niceness: u32, issued: u64) -> Record {
    Record { worker: 0, connection: 0, niceness, enqueued: millis(issued), grant: None, ended: Some(Outcome::Cancelled) }
}

/// The last grant.
fn until(records: &[Record]) -> Duration {
    let grants = records.iter().filter_map(|record| record.grant.as_ref());
    grants.map(|grant| grant.granted).max().unwrap_or_default()
}

fn total(records: &[Record]) -> Findings {
    judge(&specs(), records, &[], None, until(records)).total
}

fn in_tenure(mut record: Record, tenure: u64) -> Record {
    if let Some(grant) = &mut record.grant {
        grant.told.tenure = Tenure(tenure);
    }
    record
}

#[test]
fn a_clean_run_has_no_findings() {
    let records = [
        served(20, (1, 2), (0, 0)),
        served(0, (4, 5), (500, 1030)),
        served(20, (3, 6), (5, 2060)),
        served(20, (7, 8), (2061, 3090)),
        dropped(20, 3091),
    ];
    let found = total(&records);
    assert_eq!((found.granted, found.cancelled), (4, 1));
    let bad = [found.priority_inversions, found.fifo_inversions, found.lost, found.duplicates, found.failed];
    assert_eq!(bad, [0; 5]);
    let utilisation = found.utilisation.expect("three whole windows");
    assert!(utilisation.distance() < 1e-9, "{utilisation:?}");
}

#[test]
fn inversions_are_found() {
    let records =
        [served(20, (1, 4), (0, 10)), served(0, (2, 5), (1, 11)), served(20, (7, 8), (2, 12)), served(20, (6, 9), (3, 13))];
    let found = total(&records);
    assert_eq!((found.priority_inversions, found.fifo_inversions), (1, 1));
}

#[test]
fn numbers_of_two_tenures_or_connections_do_not_compare() {
    let late = served(0, (2, 5), (1, 11));
    let moved = [served(20, (1, 4), (0, 10)), in_tenure(late.clone(), 1)];
    assert_eq!(total(&moved).priority_inversions, 0);
    let elsewhere = Record { connection: 1, ..late };
    assert_eq!(total(&[served(20, (1, 4), (0, 10)), elsewhere]).priority_inversions, 0);
}

#[test]
fn a_request_without_an_end_is_lost() {
    let unanswered = Record { ended: None, ..dropped(0, 5) };
    let unfinished = Record { ended: None, ..served(0, (1, 2), (0, 1)) };
    assert_eq!(total(&[unanswered, unfinished]).lost, 2);
}

#[test]
fn a_waiter_that_later_ones_overtook_is_lost() {
    let served_late = served(5, (1, 2), (4_000, 4_500));
    assert_eq!(total(&[dropped(5, 2_000), served_late.clone()]).lost, 1);
    assert_eq!(total(&[dropped(0, 2_000), served_late.clone()]).lost, 1);
    // An equal was served early, but a nicer one late.
    let mixed = [dropped(5, 2_000), served(5, (1, 2), (0, 1)), served(20, (3, 4), (4_000, 4_500))];
    assert_eq!(total(&mixed).lost, 1);
    // A nicer one has to wait, and two of one second may have swapped on the way.
    assert_eq!(total(&[dropped(20, 2_000), served_late.clone()]).lost, 0);
    assert_eq!(total(&[dropped(5, 3_500), served_late]).lost, 0);
}

#[test]
fn what_was_answered_or_ran_twice_is_a_duplicate() {
    let twice = served(0, (1, 2), (0, 1));
    // Both numbers were drawn once and seen twice.
    assert_eq!(total(&[twice.clone(), twice.clone()]).duplicates, 2);
    let account = Account { refused: 0, duplicates: 3, guards: Vec::new() };
    assert_eq!(judge(&specs(), &[twice], &[account], None, Duration::ZERO).total.duplicates, 3);
}

#[test]
fn refusals_are_taken_from_whoever_saw_more() {
    let mut refused = served(0, (1, 2), (0, 1));
    refused.ended = Some(Outcome::Refused);
    assert_eq!(total(std::slice::from_ref(&refused)).refused, 1);
    let account = Account { refused: 4, duplicates: 0, guards: Vec::new() };
    assert_eq!(judge(&specs(), &[refused], &[account], None, Duration::ZERO).total.refused, 4);
}

#[test]
fn waits_are_ranked_by_niceness() {
    let mut records: Vec<_> = (0..100).map(|n| served(0, (2 * n, 2 * n + 1), (0, n + 1))).collect();
    records.push(served(20, (500, 501), (10, 70)));
    // A connection of long windows is left out of the total.
    records.push(Record { connection: 1, ..served(0, (1, 2), (0, 9_000)) });
    let waits = total(&records).waits;
    let wait = |p50, p99| Waits { p50: millis(p50), p99: millis(p99) };
    assert_eq!(waits.get(&0), Some(&wait(50, 99)));
    assert_eq!(waits.get(&20), Some(&wait(60, 60)));
}

#[test]
fn a_connection_that_wastes_slots_is_the_furthest() {
    let records: Vec<_> = (0..5).map(|n| served(0, (2 * n, 2 * n + 1), (0, n * 1_200))).collect();
    let verdict = judge(&specs(), &records, &[], None, until(&records));
    assert_eq!(verdict.furthest, Some(0));
    let found = verdict.total.utilisation.expect("four whole windows");
    assert!(found.distance() > TOLERANCE, "{found:?}");
}

#[test]
fn each_of_several_limits_has_its_own_guard() {
    let text = "[[connection]]\nplatform = \"p\"\nconnection = \"c\"\nlimits = [{ requests = 1, window_seconds = 1 }, { requests = 9, window_seconds = 60 }]";
    let specs = connections::parse(text).expect("the text is right");
    let records: Vec<_> = (0..5)
        .map(|n| {
            let mut record = served(0, (2 * n, 2 * n + 1), (0, n * 1_030));
            // The permit tells the guard of the long window.
            if let Some(grant) = &mut record.grant {
                grant.told.guard = millis(130);
            }
            record
        })
        .collect();
    let account = Account { guards: vec![millis(10), millis(130)], ..Account::default() };
    let found = judge(&specs, &records, &[account], None, until(&records)).total.utilisation.expect("four windows");
    assert!(found.distance() < 1e-9, "{found:?}");
}
