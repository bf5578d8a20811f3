//! What load the workers put on which connection, at which niceness.
//!
//! Promises: a saturated connection always has a standing backlog of garbage collection, so that every
//! slot finds a taker, while urgent and normal requests come at random and use part of the slots.
//! The load does not depend on the number of workers: they share it.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::cli::connections::{ConnectionSpec, Limit};

/// The three kinds of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Somebody looks at a screen.
    Urgent,
    /// A job of the day.
    Normal,
    /// Whenever there is room.
    Garbage,
}

impl Kind {
    /// From the most urgent to the least.
    pub(crate) const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Garbage];

    /// What the throttler is told.
    pub(crate) fn niceness(self) -> u32 {
        match self {
            Self::Urgent => 0,
            Self::Normal => 5,
            Self::Garbage => 20,
        }
    }

    /// What people are told.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Normal => "normal",
            Self::Garbage => "garbage",
        }
    }

    /// The share of a connection's capacity that comes at random.
    fn share(self) -> f64 {
        match self {
            Self::Urgent => 0.2,
            Self::Normal => 0.55,
            Self::Garbage => 0.25,
        }
    }
}

/// A connection whose shortest window is at most this long is kept saturated and judged for it.
pub(crate) const SATURATED_UP_TO: Duration = Duration::from_secs(5);

/// Whether a connection is one that is kept saturated.
pub(crate) fn is_saturated(spec: &ConnectionSpec) -> bool {
    spec.limits.iter().any(|limit| limit.window <= SATURATED_UP_TO)
}

/// When the next request comes after the one before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// After a rest, and the first requests of a lane's loops apart from each other. The slots of a
    /// rolling window keep the spacing of its first requests: all in one instant would make everybody,
    /// urgent or not, wait for a window.
    Standing {
        /// From the first request of one loop to that of the next.
        apart: Duration,
        /// From an answer to the next request: somewhat less than a window, in which a window's worth
        /// of loops can rest while the others wait.
        rest: Duration,
    },
    /// After an exponentially distributed pause with this mean.
    Random {
        /// The mean pause.
        mean: Duration,
    },
}

/// A number of loops that each issue one request at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Lane {
    /// The place of the connection.
    pub(crate) place: usize,
    /// What they issue.
    pub(crate) kind: Kind,
    /// How many loops there are in all.
    pub(crate) loops: u32,
    /// How each of them goes on.
    pub(crate) pace: Pace,
}

/// Loops of a lane that comes at random: enough that one that waits does not hold the others up.
const RANDOM_LOOPS: u32 = 8;

/// The load on a connection that is not saturated, in requests a second.
const LIGHT: f64 = 1.0;

/// The lanes for these connections.
pub(crate) fn plan(specs: &[ConnectionSpec]) -> Vec<Lane> {
    let lanes = |(place, spec): (usize, &ConnectionSpec)| {
        Kind::ALL.map(|kind| match (is_saturated(spec), kind) {
            (true, Kind::Garbage) => backlog(place, spec),
            (true, Kind::Urgent | Kind::Normal) => random(place, kind, capacity(spec)),
            (false, _) => random(place, kind, LIGHT),
        })
    };
    specs.iter().enumerate().flat_map(lanes).collect()
}

/// The numbers of the loops of `all` that this worker runs; the workers take them in turn.
pub(crate) fn share(all: u32, worker: u32, workers: NonZeroU32) -> impl Iterator<Item = u32> {
    (0..all).filter(move |number| *number % workers == worker)
}

fn backlog(place: usize, spec: &ConnectionSpec) -> Lane {
    let largest = spec.limits.iter().map(|limit| limit.requests.get()).max().unwrap_or(1);
    // The first window must be full before it ends, or its slots would be lost for good.
    let apart = |limit: &Limit| limit.window * 9 / 10 / limit.requests.get();
    let densest = spec.limits.iter().min_by_key(|limit| apart(limit));
    Lane {
        place,
        kind: Kind::Garbage,
        // A whole window may be resting at once; the others keep waiting.
        loops: (2 * largest).min(largest + 20).max(6),
        pace: Pace::Standing {
            apart: densest.map(apart).unwrap_or_default(),
            rest: densest.map(|limit| limit.window * 9 / 10).unwrap_or_default(),
        },
    }
}

fn random(place: usize, kind: Kind, per_second: f64) -> Lane {
    let mean = f64::from(RANDOM_LOOPS) / (per_second * kind.share());
    Lane {
        place,
        kind,
        loops: RANDOM_LOOPS,
        pace: Pace::Random { mean: Duration::try_from_secs_f64(mean).unwrap_or(Duration::MAX) },
    }
}

/// The requests a second that the tightest limit lets through in the long run.
fn capacity(spec: &ConnectionSpec) -> f64 {
    let rates = spec.limits.iter().map(|limit| f64::from(limit.requests.get()) / limit.window.as_secs_f64());
    rates.fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::connections;

    #[test]
    fn every_loop_is_run_by_one_worker() {
        for (all, workers) in [(10, 1), (10, 3), (3, 10), (0, 4)] {
            let workers = NonZeroU32::new(workers).expect("above zero");
            let mut run: Vec<_> = (0..workers.get()).flat_map(|worker| share(all, worker, workers)).collect();
            run.sort_unstable();
            assert_eq!(run, (0..all).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_saturated_connection_has_a_backlog_larger_than_its_window() {
        let specs = connections::parse(super::super::CONNECTIONS).expect("the file is right");
        let lanes = plan(&specs);
        for (place, spec) in specs.iter().enumerate().filter(|(_, spec)| is_saturated(spec)) {
            let standing = |lane: &&Lane| lane.place == place && matches!(lane.pace, Pace::Standing { .. });
            let lane = lanes.iter().find(standing).expect("one of the three is standing");
            assert!(spec.limits.iter().all(|limit| lane.loops > limit.requests.get()));
        }
    }

    #[test]
    fn larger_counts_of_one_connection_are_multiples_of_the_smallest() {
        // The measure of utilisation takes that for granted.
        for spec in connections::parse(super::super::CONNECTIONS).expect("the file is right") {
            let counts: Vec<_> = spec.limits.iter().map(|limit| limit.requests.get()).collect();
            let smallest = counts.iter().min().copied().unwrap_or(1);
            assert!(counts.iter().all(|count| count % smallest == 0), "{spec:?}");
        }
    }
}
