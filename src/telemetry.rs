//! What a node counts and measures, and by which names: all of it is in [`METRICS`], and in the table of the README.
//!
//! Every part takes its handles when it is made, from the `metrics` facade's recorder: that of the program which embeds the node, if it has one, or that of
//! `turnstile node`. Without a recorder nothing is kept.
//!
//! Promises: whatever is counted is in the table; no label is a connection, a platform, a caller or a node, so a node has a few dozen series at most.
//! Must not: install a recorder. A library owns no registry.

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Unit};

use crate::engine::rate::Niceness;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum MetricKind {
    /// It grows, from 0 at the node's start.
    Counter,
    /// It is as it is.
    Gauge,
    /// How many were at most so large, for each of these bounds.
    Histogram(&'static [f64]),
}

/// A label and all of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricLabel {
    /// What is told apart.
    pub name: &'static str,
    /// All that it can be.
    pub values: &'static [&'static str],
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// By which it is scraped.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its one label, if it has any.
    pub label: Option<MetricLabel>,
    /// What it tells.
    pub meaning: &'static str,
    unit: Unit,
}

/// How requests end.
const RESULT: MetricLabel =
    MetricLabel { name: "result", values: &["granted", "throttled", "deadline", "refused", "unavailable", "cancelled"] };
/// Nicenesses are any of four billion numbers, so they are told apart by three bands.
const BAND: MetricLabel = MetricLabel { name: "niceness_band", values: &["0", "1-9", "10+"] };
const STATE: MetricLabel = MetricLabel { name: "state", values: &["reachable", "silent"] };
const RELEASE: MetricLabel = MetricLabel { name: "release", values: &[env!("CARGO_PKG_VERSION")] };

/// From a commit in memory to half an hour behind others, in seconds.
const QUEUE_SECONDS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];
/// From a disk that only says so to one that elections can't bear, in seconds.
const DISK_SECONDS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

const fn counter(name: &'static str, meaning: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, label: None, meaning, unit: Unit::Count }
}

const fn gauge(name: &'static str, meaning: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, label: None, meaning, unit: Unit::Count }
}

const fn seconds(name: &'static str, bounds: &'static [f64], meaning: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Histogram(bounds), label: None, meaning, unit: Unit::Seconds }
}

pub(crate) const REQUESTS: Metric =
    counter("turnstile_requests_total", "acquires that came to this node and have ended, by how").by(RESULT);
pub(crate) const TIME_IN_QUEUE: Metric =
    seconds("turnstile_time_in_queue_seconds", QUEUE_SECONDS, "how long acquires of this node waited that were granted").by(BAND);
pub(crate) const QUEUED: Metric =
    gauge("turnstile_queued_requests", "acquires that wait for connections which this node owns").by(BAND);
pub(crate) const CONNECTIONS: Metric = gauge("turnstile_connections", "connections that this node owns and has in memory");
pub(crate) const TRACKED: Metric =
    gauge("turnstile_tracked_connections", "connections of the whole cluster whose windows are not empty, as applied here");
pub(crate) const FILL_MAX: Metric =
    gauge("turnstile_window_fill_max", "the fill of the fullest limit of all connections that this node owns, from 0 to 1");
pub(crate) const FULL: Metric =
    gauge("turnstile_full_windows", "connections that this node owns of which a limit is full to 95 % or more");
pub(crate) const GRANTS: Metric =
    counter("turnstile_grants_total", "slots that the owners on this node handed to those who wait");
pub(crate) const STALE: Metric =
    counter("turnstile_stale_grants_total", "grants that reached this node too late to be started: their acquires waited again");
pub(crate) const RETURNED: Metric =
    counter("turnstile_returned_slots_total", "units that owners on this node gave back to the ledger, for nobody had used them");
pub(crate) const OVER_GRANTS: Metric =
    counter("turnstile_over_grants_total", "charges over a limit in the cluster's ledger, as applied here: 0, or there is a bug");
pub(crate) const EPOCH: Metric = gauge("turnstile_epoch", "the log index of the entry that made the ring which is known here");
pub(crate) const HANDOVERS: Metric =
    counter("turnstile_handovers_total", "connections that this node had in memory and that a new ring gave to other owners");
pub(crate) const ELECTIONS: Metric =
    counter("turnstile_elections_total", "terms of Raft that have begun since this node started: each is an election");
pub(crate) const IS_LEADER: Metric =
    gauge("turnstile_is_leader", "1 while this node leads and a majority has answered it lately");
pub(crate) const TERM: Metric = gauge("turnstile_term", "the term of Raft that this node is in");
pub(crate) const LAST_APPLIED: Metric = gauge("turnstile_last_applied_index", "the newest entry of the log that is applied here");
pub(crate) const COMMIT: Metric = seconds(
    "turnstile_commit_latency_seconds",
    DISK_SECONDS,
    "from proposal to verdict, for the oldest proposal of each batch of this node's owners",
);
pub(crate) const FSYNC: Metric =
    seconds("turnstile_fsync_latency_seconds", DISK_SECONDS, "how long one write to the log and its sync took");
pub(crate) const PEERS: Metric =
    gauge("turnstile_peers", "addresses of other nodes, by whether one answered within the last second").by(STATE);
pub(crate) const SESSIONS: Metric = gauge("turnstile_sessions", "clients' sessions that are open at this node");
pub(crate) const BUILD_INFO: Metric = gauge("turnstile_build_info", "1, and the release of this node").by(RELEASE);

/// Everything that a node counts and measures: for a program that embeds one, and sets up a recorder of its own.
pub const METRICS: &[Metric] = &[
    REQUESTS,
    TIME_IN_QUEUE,
    QUEUED,
    CONNECTIONS,
    TRACKED,
    FILL_MAX,
    FULL,
    GRANTS,
    STALE,
    RETURNED,
    OVER_GRANTS,
    EPOCH,
    HANDOVERS,
    ELECTIONS,
    IS_LEADER,
    TERM,
    LAST_APPLIED,
    COMMIT,
    FSYNC,
    PEERS,
    SESSIONS,
    BUILD_INFO,
];

/// Where all of it comes from, for recorders that filter.
const FROM: Metadata<'static> = Metadata::new("turnstile", Level::INFO, Some("turnstile"));

/// Describes every metric to this process's recorder and begins each of its series, so that a scrape lists all of them, from the first one on.
pub(crate) fn register() {
    for metric in METRICS {
        let Metric { name, kind, label, meaning, unit } = *metric;
        metrics::with_recorder(|recorder| match kind {
            MetricKind::Counter => recorder.describe_counter(name.into(), Some(unit), meaning.into()),
            MetricKind::Gauge => recorder.describe_gauge(name.into(), Some(unit), meaning.into()),
            MetricKind::Histogram(_) => recorder.describe_histogram(name.into(), Some(unit), meaning.into()),
        });
        let values = label.map_or(&[] as &[_], |label| label.values);
        let keys = values.iter().map(|value| metric.key(Some(value))).chain(values.is_empty().then(|| metric.key(None)));
        for key in keys {
            metrics::with_recorder(|recorder| match kind {
                MetricKind::Counter => drop(recorder.register_counter(&key, &FROM)),
                MetricKind::Gauge => drop(recorder.register_gauge(&key, &FROM)),
                MetricKind::Histogram(_) => drop(recorder.register_histogram(&key, &FROM)),
            });
        }
    }
}

impl Metric {
    const fn by(mut self, label: MetricLabel) -> Self {
        self.label = Some(label);
        self
    }

    fn key(&self, value: Option<&'static str>) -> Key {
        let label = self.label.zip(value).map(|(label, value)| Label::from_static_parts(label.name, value));
        Key::from_parts(self.name, label.into_iter().collect::<Vec<_>>())
    }

    /// A counter without a label.
    pub(crate) fn counter(&self) -> Counter {
        metrics::with_recorder(|recorder| recorder.register_counter(&self.key(None), &FROM))
    }

    /// A counter of one value of its label.
    pub(crate) fn counter_of(&self, value: &'static str) -> Counter {
        metrics::with_recorder(|recorder| recorder.register_counter(&self.key(Some(value)), &FROM))
    }

    /// A gauge without a label.
    pub(crate) fn gauge(&self) -> Gauge {
        metrics::with_recorder(|recorder| recorder.register_gauge(&self.key(None), &FROM))
    }

    /// A gauge of one value of its label.
    pub(crate) fn gauge_of(&self, value: &'static str) -> Gauge {
        metrics::with_recorder(|recorder| recorder.register_gauge(&self.key(Some(value)), &FROM))
    }

    /// A histogram without a label.
    pub(crate) fn histogram(&self) -> Histogram {
        metrics::with_recorder(|recorder| recorder.register_histogram(&self.key(None), &FROM))
    }

    /// A histogram of one value of its label.
    pub(crate) fn histogram_of(&self, value: &'static str) -> Histogram {
        metrics::with_recorder(|recorder| recorder.register_histogram(&self.key(Some(value)), &FROM))
    }
}

/// Something for each band of nicenesses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ByBand<T> {
    urgent: T,
    normal: T,
    nice: T,
}

impl<T> ByBand<T> {
    /// What `make` makes of the label of each.
    pub(crate) fn new(make: impl Fn(&'static str) -> T) -> Self {
        Self { urgent: make("0"), normal: make("1-9"), nice: make("10+") }
    }

    /// That of this niceness.
    pub(crate) const fn of(&self, niceness: Niceness) -> &T {
        match niceness.get() {
            0 => &self.urgent,
            1..=9 => &self.normal,
            10.. => &self.nice,
        }
    }

    /// The same, to change it.
    pub(crate) const fn of_mut(&mut self, niceness: Niceness) -> &mut T {
        match niceness.get() {
            0 => &mut self.urgent,
            1..=9 => &mut self.normal,
            10.. => &mut self.nice,
        }
    }

    /// All of them, each with that of another.
    pub(crate) fn zip<U>(self, other: &ByBand<U>) -> [(T, &U); 3] {
        [(self.urgent, &other.urgent), (self.normal, &other.normal), (self.nice, &other.nice)]
    }
}

/// One more of what a gauge counts, as long as this lives.
#[cfg(feature = "cli")]
#[derive(Debug)]
pub(crate) struct OneMore(Gauge);

#[cfg(feature = "cli")]
impl OneMore {
    /// Of what this metric counts.
    pub(crate) fn of(metric: &Metric) -> Self {
        let gauge = metric.gauge();
        gauge.increment(1.0);
        Self(gauge)
    }
}

#[cfg(feature = "cli")]
impl Drop for OneMore {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_has_one_line_of_the_table_and_a_name_that_says_what_it_is() {
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
        for Metric { name, kind, label, .. } in METRICS {
            assert!(name.starts_with("turnstile_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == MetricKind::Counter, "{name}");
            assert_eq!(name.ends_with("_seconds"), matches!(kind, MetricKind::Histogram(_)), "{name}");
            assert!(label.is_none_or(|label| label.values.len() <= 6), "{name}");
        }
    }

    #[test]
    fn nicenesses_are_in_the_band_that_is_named_after_them() {
        let bands = ByBand::new(|label| label);
        for (niceness, band) in [(0, "0"), (1, "1-9"), (9, "1-9"), (10, "10+"), (u32::MAX, "10+")] {
            assert_eq!(*bands.of(Niceness::new(niceness)), band);
        }
        assert_eq!(bands.clone().zip(&bands).map(|(band, _)| band), BAND.values);
    }
}
