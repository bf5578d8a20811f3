//! The verdict as programs read it: one JSON object on one line.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Serialize;

use super::blow::Blow;
use super::judge::{Findings, Verdict, Waits};
use super::promises::{Held, Promise, all_hold};
use super::view::Heading;
use crate::cli::connections::ConnectionSpec;

/// A run in numbers. Waits are keyed by niceness; utilisation is null when it could not be judged.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    all_promises_hold: bool,
    #[serde(flatten)]
    total: Numbers,
    /// The connection whose utilisation is given above: the one furthest from what was expected.
    utilisation_of: Option<String>,
    promises: BTreeMap<&'static str, &'static str>,
    seconds: f64,
    nodes: u32,
    workers: NonZeroU32,
    seed: u64,
    /// The number of the node that was killed, from 1, and when; null when none was.
    killed_node: Option<usize>,
    killed_after_seconds: Option<f64>,
    /// The longest time to the next grant of a connection whose callers waited there; null when nobody did.
    failover_gap_seconds: Option<f64>,
    /// That connection.
    failover_gap_of: Option<String>,
    /// How many waited there and were queued again.
    requeued: u64,
    connections: Vec<OneConnection>,
}

#[derive(Debug, Serialize)]
struct OneConnection {
    platform: String,
    connection: String,
    #[serde(flatten)]
    numbers: Numbers,
}

#[derive(Debug, Serialize)]
struct Numbers {
    granted: u64,
    rejected_by_platform: u64,
    priority_inversions: u64,
    fifo_inversions: u64,
    lost: u64,
    failed: u64,
    cancelled: u64,
    duplicates: u64,
    utilisation: Option<f64>,
    utilisation_expected: Option<f64>,
    wait_p50_seconds: BTreeMap<u32, f64>,
    wait_p99_seconds: BTreeMap<u32, f64>,
}

impl Summary {
    /// Puts the numbers together.
    pub(crate) fn new(
        specs: &[ConnectionSpec],
        verdict: &Verdict,
        promises: &[Promise],
        blow: Option<&Blow>,
        lasted: Duration,
        Heading { nodes, workers, seed, .. }: Heading,
    ) -> Self {
        let named = |place: Option<usize>| place.and_then(|place| specs.get(place)).map(super::promises::name);
        let failover = verdict.failover.as_ref();
        let one = |(spec, found): (&ConnectionSpec, &Findings)| OneConnection {
            platform: spec.platform.clone(),
            connection: spec.connection.clone(),
            numbers: numbers(found),
        };
        let word = |promise: &Promise| match promise.held {
            Held::Pass => "pass",
            Held::Fail => "fail",
            Held::NotJudged => "not judged",
        };
        Self {
            all_promises_hold: all_hold(promises),
            total: numbers(&verdict.total),
            utilisation_of: named(verdict.furthest),
            promises: promises.iter().map(|promise| (promise.name, word(promise))).collect(),
            seconds: lasted.as_secs_f64(),
            nodes,
            workers,
            seed,
            killed_node: blow.map(|blow| blow.node),
            killed_after_seconds: blow.map(|blow| blow.at.as_secs_f64()),
            failover_gap_seconds: failover.and_then(|failover| failover.gap).map(|gap| gap.as_secs_f64()),
            failover_gap_of: named(failover.and_then(|failover| failover.longest)),
            requeued: failover.map_or(0, |failover| failover.requeued),
            connections: specs.iter().zip(&verdict.connections).map(one).collect(),
        }
    }
}

fn numbers(found: &Findings) -> Numbers {
    let waits = |which: fn(&Waits) -> Duration| {
        let one = |(niceness, waits): (&u32, &Waits)| (*niceness, which(waits).as_secs_f64());
        found.waits.iter().map(one).collect()
    };
    Numbers {
        granted: found.granted,
        rejected_by_platform: found.refused,
        priority_inversions: found.priority_inversions,
        fifo_inversions: found.fifo_inversions,
        lost: found.lost,
        failed: found.failed,
        cancelled: found.cancelled,
        duplicates: found.duplicates,
        utilisation: found.utilisation.map(|share| share.measured),
        utilisation_expected: found.utilisation.map(|share| share.expected),
        wait_p50_seconds: waits(|waits| waits.p50),
        wait_p99_seconds: waits(|waits| waits.p99),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_objects_keyed_by_niceness() {
        let mut total = Findings::default();
        let waits = Waits { p50: Duration::from_millis(250), p99: Duration::from_secs(2) };
        total.waits.insert(20, waits);
        let verdict = Verdict { total, ..Verdict::default() };
        let heading = Heading { duration: Duration::from_secs(10), nodes: 3, workers: NonZeroU32::MIN, seed: 7 };
        let summary = Summary::new(&[], &verdict, &[], None, Duration::from_secs(9), heading);
        let json = serde_json::to_value(&summary).expect("plain data");
        assert_eq!(json.pointer("/wait_p50_seconds/20"), Some(&serde_json::json!(0.25)));
        assert_eq!(json.pointer("/wait_p99_seconds/20"), Some(&serde_json::json!(2.0)));
        assert_eq!(json.pointer("/utilisation"), Some(&serde_json::Value::Null));
        assert_eq!(json.pointer("/rejected_by_platform"), Some(&serde_json::json!(0)));
        assert_eq!(json.pointer("/failover_gap_seconds"), Some(&serde_json::Value::Null));
    }
}
