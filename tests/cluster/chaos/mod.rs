//! Faults under load, judged by `turnstile check`: a row for each.
//!
//! ```text
//! row ──► run: three workers under load (callers, orders) ──► strike (nemesis, ways, client, retries) ──► history ──► turnstile check
//! ```

mod callers;
mod client;
mod nemesis;
pub(crate) mod orders;
#[cfg(feature = "planted-faults")]
pub(crate) mod planted;
mod retries;
mod row;
mod run;
mod strike;
mod ways;

use std::time::Duration;

use nemesis::{ALL, Nemesis};
use row::{Outcome, head, row};

/// How long callers begin to wait; for longer where what is done takes long.
const LASTS: Duration = Duration::from_secs(12);
const FLOOD_LASTS: Duration = Duration::from_secs(24);
const SEVERAL_LAST: Duration = Duration::from_secs(32);

#[test]
fn an_owner_that_is_killed_under_load_breaks_no_promise() {
    head();
    assert_eq!(row(Nemesis::KillOwner, Duration::from_secs(6), 1), Outcome::Held);
}

#[test]
#[ignore = "some minutes: `make chaos`"]
fn no_fault_breaks_a_promise() {
    let seed = std::env::var("TURNSTILE_TEST_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let only = std::env::var("TURNSTILE_TEST_NEMESIS").unwrap_or_default();
    let chosen: Vec<Nemesis> = ALL.into_iter().filter(|nemesis| format!("{nemesis:?}").contains(&only)).collect();
    assert!(!chosen.is_empty(), "{only:?} is in no name of {ALL:?}");
    head();
    let lasts = |nemesis| match nemesis {
        Nemesis::Flood => FLOOD_LASTS,
        Nemesis::Mixed => SEVERAL_LAST,
        _ => LASTS,
    };
    let outcomes: Vec<_> = chosen.into_iter().map(|nemesis| (nemesis, row(nemesis, lasts(nemesis), seed))).collect();
    let of = |outcome: Outcome| outcomes.iter().filter(move |(_, found)| *found == outcome).map(|(nemesis, _)| *nemesis);
    let (skipped, failed): (Vec<_>, Vec<_>) = (of(Outcome::Skipped).collect(), of(Outcome::Failed).collect());
    if !skipped.is_empty() {
        println!("SKIPPED, nothing is known of {skipped:?}");
    }
    assert!(failed.is_empty(), "failed: {failed:?}, seed {seed}");
}
