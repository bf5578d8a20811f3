//! The judge: records of what happened in, a verdict out.
//!
//! Promises: order and priority are judged by the owner's numbers alone, never by clocks; requests are
//! compared only within one connection and one tenure of its owner.
//! Must not: read a clock, print, or know how the records came about.

mod failover;
#[cfg(test)]
mod tests;
mod utilisation;

use std::collections::BTreeMap;
use std::time::Duration;

use super::blow::Blow;
use super::journal::{Grant, Outcome, Record};
use super::traffic::{SATURATED_UP_TO, is_saturated};
use crate::cli::connections::{ConnectionSpec, Limit};
use crate::cli::order::{self, Stay, Tenure};
pub(crate) use failover::{Failover, OVER_WITHIN};
pub(crate) use utilisation::Utilisation;

/// How far a utilisation may be from the one its margins let expect.
pub(crate) const TOLERANCE: f64 = 0.01;

/// A waiter is forgotten when one that was issued this much later, and is no more urgent, was served
/// before it. Wide enough for two requests to swap on their way to the owner.
const OVERTAKEN_BY: Duration = Duration::from_secs(1);

/// What others than the workers say of one connection: the platform counted, the limiter declared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    /// Calls it answered with 429.
    pub(crate) refused: u64,
    /// Calls it accepted twice.
    pub(crate) duplicates: u64,
    /// The guard of each limit. A permit tells one guard for all its limits, the largest; where there
    /// are several, this tells which holds for which.
    pub(crate) guards: Vec<Duration>,
}

/// Waits from issue to grant: the median and the 99th percentile (nearest rank).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waits {
    /// The median.
    pub(crate) p50: Duration,
    /// The 99th percentile.
    pub(crate) p99: Duration,
}

/// The findings on one connection, or on all together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    /// Requests that were let go.
    pub(crate) granted: u64,
    /// Calls the platform refused, by its own count.
    pub(crate) refused: u64,
    /// Pairs in which a nicer request left before a more urgent one that waited.
    pub(crate) priority_inversions: u64,
    /// Pairs of equal niceness that left in the wrong order.
    pub(crate) fifo_inversions: u64,
    /// Issued, and never answered or forgotten while later ones were served.
    pub(crate) lost: u64,
    /// Ended with an error instead of a grant.
    pub(crate) failed: u64,
    /// Still waiting at the end of the run, and dropped.
    pub(crate) cancelled: u64,
    /// Answered or run twice.
    pub(crate) duplicates: u64,
    /// By niceness.
    pub(crate) waits: BTreeMap<u32, Waits>,
    /// Of a saturated connection, if the run was long enough.
    pub(crate) utilisation: Option<Utilisation>,
}

/// The findings on a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    /// In the order of the connections.
    pub(crate) connections: Vec<Findings>,
    /// Sums; the waits of the saturated connections whose windows are all short; the utilisation of the
    /// connection that is furthest from what was expected of it.
    pub(crate) total: Findings,
    /// The place of that connection.
    pub(crate) furthest: Option<usize>,
    /// What a kill has cost, if there was one.
    pub(crate) failover: Option<Failover>,
}

/// Judges a run whose load ended at `until` and in which this blow fell, if any did. `accounts` are in the order of the connections.
pub(crate) fn judge(
    specs: &[ConnectionSpec],
    records: &[Record],
    accounts: &[Account],
    blow: Option<&Blow>,
    until: Duration,
) -> Verdict {
    let mut by_connection: Vec<Vec<&Record>> = vec![Vec::new(); specs.len()];
    for record in records {
        if let Some(own) = by_connection.get_mut(record.connection) {
            own.push(record);
        }
    }
    let mut verdict = Verdict::default();
    let mut short = Vec::new();
    for (place, (spec, own)) in specs.iter().zip(&by_connection).enumerate() {
        let account = accounts.get(place).cloned().unwrap_or_default();
        let findings = examine(spec, own, &account, blow, until);
        // A long window beside a short one blocks urgent and nice alike: that says nothing of priority.
        if spec.limits.iter().all(|limit| limit.window <= SATURATED_UP_TO) {
            short.extend(own.iter().copied());
        }
        verdict.add(place, findings);
    }
    verdict.total.waits = waits(&short);
    verdict.failover = blow.map(|blow| failover::judge(specs, &by_connection, blow, until));
    verdict
}

impl Verdict {
    fn add(&mut self, place: usize, findings: Findings) {
        let total = &mut self.total;
        total.granted += findings.granted;
        total.refused += findings.refused;
        total.priority_inversions += findings.priority_inversions;
        total.fifo_inversions += findings.fifo_inversions;
        total.lost += findings.lost;
        total.failed += findings.failed;
        total.cancelled += findings.cancelled;
        total.duplicates += findings.duplicates;
        let further = |new: &Utilisation| {
            let old = total.utilisation.map_or(-1.0, |old| old.distance());
            new.distance() > old
        };
        if let Some(new) = findings.utilisation.filter(further) {
            total.utilisation = Some(new);
            self.furthest = Some(place);
        }
        self.connections.push(findings);
    }
}

fn examine(spec: &ConnectionSpec, records: &[&Record], account: &Account, blow: Option<&Blow>, until: Duration) -> Findings {
    let mut tenures: BTreeMap<Tenure, Vec<Stay>> = BTreeMap::new();
    for record in records {
        if let Some(grant) = &record.grant {
            tenures.entry(grant.told.tenure).or_default().push(Stay {
                niceness: record.niceness,
                arrival: grant.told.arrival,
                waits_since: grant.told.waits_since,
                release: grant.told.release,
            });
        }
    }
    let count = |wanted: fn(&Record) -> bool| number(records.iter().filter(|record| wanted(record)).count());
    let seen_refused = count(|record| record.ended == Some(Outcome::Refused));
    Findings {
        granted: count(|record| record.grant.is_some()),
        // Two accounts of the same thing: neither may hide what the other saw.
        refused: account.refused.max(seen_refused),
        priority_inversions: tenures.values().map(|stays| order::priority_inversions(stays)).sum(),
        fifo_inversions: tenures.values().map(|stays| order::fifo_inversions(stays)).sum(),
        lost: count(|record| record.ended.is_none()) + forgotten(records),
        failed: count(|record| record.ended == Some(Outcome::Failed)),
        cancelled: count(|record| record.ended == Some(Outcome::Cancelled)),
        duplicates: account.duplicates + tenures.values().map(|stays| repeated(stays)).sum::<u64>(),
        waits: waits(records),
        utilisation: is_saturated(spec).then(|| utilisation(spec, records, &account.guards, blow, until)).flatten(),
    }
}

/// Numbers drawn for more than one thing: one request was taken in or let go twice.
fn repeated(stays: &[Stay]) -> u64 {
    let mut numbers: Vec<_> = stays.iter().flat_map(|stay| [stay.arrival, stay.release]).collect();
    let drawn = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    number(drawn - numbers.len())
}

/// Waiters dropped at the end although much later ones that are no more urgent had been served.
fn forgotten(records: &[&Record]) -> u64 {
    // For each niceness, the latest issue that was served at it or above.
    let mut latest: BTreeMap<u32, Duration> = BTreeMap::new();
    for record in records.iter().filter(|record| record.grant.is_some()) {
        let issue = latest.entry(record.niceness).or_default();
        *issue = record.enqueued.max(*issue);
    }
    let mut so_far = Duration::ZERO;
    for issue in latest.values_mut().rev() {
        so_far = so_far.max(*issue);
        *issue = so_far;
    }
    let overtaken = |record: &&&Record| {
        let dropped = record.ended == Some(Outcome::Cancelled);
        let served = latest.range(record.niceness..).next().map(|(_, issue)| *issue);
        dropped && served.is_some_and(|issue| issue > record.enqueued + OVERTAKEN_BY)
    };
    number(records.iter().filter(overtaken).count())
}

/// The utilisation of the whole run; or of its parts before a blow and after the failover, whichever is further from what was expected.
fn utilisation(
    spec: &ConnectionSpec,
    records: &[&Record],
    guards: &[Duration],
    blow: Option<&Blow>,
    until: Duration,
) -> Option<Utilisation> {
    let mut grants: Vec<_> = records.iter().filter_map(|record| record.grant.as_ref()).collect();
    grants.sort_unstable_by_key(|grant| grant.granted);
    let Some(blow) = blow else { return measure(spec, &grants, guards, until) };
    let split = grants.partition_point(|grant| grant.granted <= blow.at);
    let (before, after) = grants.split_at_checked(split)?;
    // A part that begins in the middle of a long window says nothing of what that window still allows.
    let is_single = spec.limits.len() == 1;
    let over = blow.at + OVER_WITHIN + spec.limits.iter().map(|limit| limit.window).max().unwrap_or_default();
    let after = after.get(after.partition_point(|grant| grant.granted <= over)..).filter(|_| is_single);
    let parts = [measure(spec, before, guards, blow.at), after.and_then(|after| measure(spec, after, guards, until))];
    parts.into_iter().flatten().max_by(|one, other| one.distance().total_cmp(&other.distance()))
}

/// `grants` must ascend.
fn measure(spec: &ConnectionSpec, grants: &[&Grant], guards: &[Duration], until: Duration) -> Option<Utilisation> {
    let starts: Vec<_> = grants.iter().map(|grant| grant.granted).collect();
    // A margin delays whoever takes the same slot next, so those of the last cycle have delayed nobody yet.
    let cycle = spec.limits.iter().map(|limit| limit.requests).min().and_then(|least| usize::try_from(least.get()).ok())?;
    let delaying = grants.len().saturating_sub(1) / cycle * cycle;
    let delaying = grants.get(..delaying).filter(|delaying| !delaying.is_empty()).unwrap_or(grants);
    let count = u32::try_from(delaying.len()).ok()?;
    let mean = |sum: Duration| sum.checked_div(count).unwrap_or_default();
    let delivery = mean(delaying.iter().map(|grant| grant.told.delivery).sum());
    let told = mean(delaying.iter().map(|grant| grant.told.guard).sum());
    let is_single = spec.limits.len() == 1;
    let widen = |(place, limit): (usize, &Limit)| {
        if limit.algorithm.is_bucket() {
            // Its margins delay it once, and not each window; what clocks may differ in lengthens its period.
            return Limit { window: limit.window + limit.window / 2000, ..*limit };
        }
        let own = guards.get(place).copied().filter(|_| !is_single);
        Limit { window: limit.window + delivery + own.unwrap_or(told), ..*limit }
    };
    let widened: Vec<_> = spec.limits.iter().enumerate().map(widen).collect();
    utilisation::measure(&spec.limits, &widened, &starts, until)
}

fn waits(records: &[&Record]) -> BTreeMap<u32, Waits> {
    let mut by_niceness: BTreeMap<u32, Vec<Duration>> = BTreeMap::new();
    for record in records {
        if let Some(grant) = &record.grant {
            let wait = grant.granted.saturating_sub(record.enqueued);
            by_niceness.entry(record.niceness).or_default().push(wait);
        }
    }
    let percentiles = |(niceness, mut waits): (u32, Vec<Duration>)| {
        waits.sort_unstable();
        let p50 = percentile(&waits, 50)?;
        let p99 = percentile(&waits, 99)?;
        Some((niceness, Waits { p50, p99 }))
    };
    by_niceness.into_iter().filter_map(percentiles).collect()
}

/// The smallest value that at least `percent` of all do not exceed. `ascending` must be sorted.
fn percentile(ascending: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (ascending.len() * percent).div_ceil(100);
    ascending.get(rank.saturating_sub(1)).copied()
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
