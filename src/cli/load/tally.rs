//! What happened: counts, waits by niceness, and the history if there is to be one.
//!
//! Promises: one clock for everything; memory does not grow with the requests.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use parking_lot::Mutex;

use crate::cli::check::history::{Enqueue, Failed, Granted, Happened, Limit, Line};
use crate::cli::history_file::{HistoryFile, nanos};
use crate::cli::remote::RemotePermit;
use crate::cli::time::Stopwatch;
use crate::engine::key::ConnectionKey;
use crate::engine::rate::Limits;

/// The longest wait that is told from longer ones: a day, in microseconds.
const LONGEST_MICROS: u64 = 24 * 3600 * 1_000_000;

/// How many digits of a wait are kept.
const DIGITS: u8 = 3;

/// One request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Who made it, from 1.
    pub(super) caller: u32,
    /// Which of that caller's it is, from 1.
    pub(super) number: u64,
    /// 0 is served first.
    pub(super) niceness: u32,
}

impl Asked {
    fn name(&self) -> String {
        format!("{}-{}", self.caller, self.number)
    }
}

/// Collects what all callers say.
#[derive(Debug)]
pub(super) struct Tally {
    clock: Stopwatch,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    summary: Summary,
    history: Option<HistoryFile>,
}

/// What came of it all.
#[derive(Debug)]
pub(super) struct Summary {
    /// How long requests were made.
    pub(super) lasted: Duration,
    /// How long those waited that were granted, in microseconds: all of them, and by niceness.
    pub(super) all: Histogram<u64>,
    pub(super) waits: BTreeMap<u32, Histogram<u64>>,
    /// Refused by a node.
    pub(super) failed: u64,
    /// What the first of them was told.
    pub(super) first_failure: Option<String>,
    /// Still waiting at the end.
    pub(super) left: u64,
}

impl Summary {
    /// Whether somebody was granted something, and nobody refused.
    pub(super) fn is_well(&self) -> bool {
        !self.all.is_empty() && self.failed == 0
    }
}

impl Tally {
    /// An empty tally; its clock starts now.
    ///
    /// # Errors
    /// When a histogram can't be made, or (inside) when the history can't be written.
    pub(super) fn start(niceness: &[u32], limits: Limits, history: Option<&Path>) -> Result<io::Result<Self>, CreationError> {
        let histogram = || Histogram::new_with_bounds(1, LONGEST_MICROS, DIGITS);
        let waits = niceness.iter().map(|niceness| Ok((*niceness, histogram()?))).collect::<Result<_, CreationError>>()?;
        let summary = Summary { lasted: Duration::ZERO, all: histogram()?, waits, failed: 0, first_failure: None, left: 0 };
        let history = history.map(HistoryFile::create).transpose();
        Ok(history.map(|history| {
            let state = Mutex::new(State { summary, history });
            Self { clock: Stopwatch::start(), limits, state }
        }))
    }

    /// The time since the start.
    pub(super) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// How many were granted and refused so far.
    pub(super) fn so_far(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.summary.all.len(), state.summary.failed)
    }

    /// A request begins to wait, now.
    pub(super) fn began(&self, asked: &Asked, key: &ConnectionKey) -> Duration {
        let mut state = self.state.lock();
        let now = self.clock.elapsed();
        if let Some(history) = &mut state.history {
            let limit = |limit: &crate::RateLimit| Limit {
                requests: limit.request_count().get(),
                window_seconds: limit.window().as_secs_f64(),
                algorithm: limit.algorithm(),
            };
            history.write(&Line::Enqueue(Enqueue {
                at_nanos: nanos(now),
                request: asked.name(),
                attempt: 0,
                client: format!("caller {}", asked.caller),
                platform: key.platform().to_owned(),
                connection: key.connection().to_owned(),
                limits: self.limits.iter().map(limit).collect(),
                niceness: asked.niceness,
                cost: 1,
                timeout_seconds: None,
            }));
        }
        now
    }

    /// It has its slot, and its call is over.
    pub(super) fn granted(&self, asked: &Asked, began: Duration, permit: &RemotePermit) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        let State { summary, history } = &mut *state;
        let waited = u64::try_from(now.saturating_sub(began).as_micros()).unwrap_or(u64::MAX);
        summary.all.saturating_record(waited);
        if let Some(waits) = summary.waits.get_mut(&asked.niceness) {
            waits.saturating_record(waited);
        }
        if let Some(history) = history {
            let (at_nanos, request) = (nanos(now), asked.name());
            history.write(&Line::Grant(Granted {
                at_nanos,
                request: request.clone(),
                attempt: 0,
                tenure: Some(permit.tenure.get()),
                arrival: Some(permit.arrival.get()),
                waits_since: Some(permit.waits_since.get()),
                release: Some(permit.release.get()),
                delivery_seconds: Some(permit.margin.delivery.as_secs_f64()),
                guard_seconds: Some(permit.margin.guard.as_secs_f64()),
            }));
            history.write(&Line::Done(Happened { at_nanos, request, attempt: 0 }));
        }
    }

    /// A node has refused it.
    pub(super) fn failed(&self, asked: &Asked, reason: &str) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        let State { summary, history } = &mut *state;
        summary.failed += 1;
        summary.first_failure.get_or_insert_with(|| reason.to_owned());
        if let Some(history) = history {
            let failed = Failed { at_nanos: nanos(now), request: asked.name(), attempt: 0, message: reason.to_owned() };
            history.write(&Line::Error(failed));
        }
    }

    /// It waits no more, for it is the end.
    pub(super) fn left(&self, asked: &Asked) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        let State { summary, history } = &mut *state;
        summary.left += 1;
        if let Some(history) = history {
            history.write(&Line::Cancel(Happened { at_nanos: nanos(now), request: asked.name(), attempt: 0 }));
        }
    }

    /// What came of it, when nobody says anything any more. Requests were made for `lasted`.
    ///
    /// # Errors
    /// When the history could not be written.
    pub(super) fn finish(&self, lasted: Duration) -> io::Result<Summary> {
        let mut state = self.state.lock();
        let now = self.clock.elapsed();
        if let Some(history) = state.history.take() {
            history.finish(now)?;
        }
        let Summary { all, waits, failed, first_failure, left, .. } = &state.summary;
        let (all, waits, first_failure) = (all.clone(), waits.clone(), first_failure.clone());
        Ok(Summary { lasted, all, waits, failed: *failed, first_failure, left: *left })
    }
}
