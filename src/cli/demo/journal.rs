//! The journal: every request of the run, from issue to end.
//!
//! Promises: one clock for all records; memory grows with the requests issued and with nothing else.
//! Must not: judge. The judge reads the records after the run, the view reads counts during it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;

use super::judge::{Sequence, Tenure};
use crate::cli::connections::{ConnectionSpec, Limit};
use crate::cli::time::Stopwatch;

/// One request. Times count from the start of the run.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// The place of its connection.
    pub(crate) connection: usize,
    /// 0 is served first.
    pub(crate) niceness: u32,
    /// When it was issued.
    pub(crate) enqueued: Duration,
    /// How it was let go, if it was.
    pub(crate) grant: Option<Grant>,
    /// How it ended, if it did.
    pub(crate) ended: Option<Outcome>,
}

/// What the permit told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant {
    /// The owner's incarnation that numbered it.
    pub(crate) tenure: Tenure,
    /// Its arrival number.
    pub(crate) arrival: Sequence,
    /// Its release number.
    pub(crate) release: Sequence,
    /// How much longer than the window the grant is counted for its way to the worker.
    pub(crate) delivery: Duration,
    /// The same for the way to the platform; with several limits, the largest of them.
    pub(crate) guard: Duration,
    /// When the worker held the permit.
    pub(crate) granted: Duration,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The platform accepted the call.
    Accepted,
    /// The platform refused it: the throttler let it go too early.
    Refused,
    /// It still waited when the run ended, and was dropped.
    Cancelled,
    /// The throttler answered with an error.
    Failed,
}

/// The number of a record, unique in the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordId(usize);

impl RecordId {
    /// The number as text for the platform's request id.
    pub(crate) fn number(self) -> usize {
        self.0
    }
}

/// What the view shows of one connection now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Glance {
    /// Let go so far.
    pub(crate) granted: u64,
    /// Refused by the platform so far.
    pub(crate) refused: u64,
    /// Waiting now, by niceness.
    pub(crate) waiting: BTreeMap<u32, u64>,
    /// For each limit, the grants of the last window.
    pub(crate) in_window: Vec<u32>,
}

/// Collects the records of all workers.
#[derive(Debug)]
pub(crate) struct Journal {
    clock: Stopwatch,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    records: Vec<Record>,
    live: Vec<Live>,
    first_failure: Option<String>,
}

/// Kept up to date with the records, so that a look at them doesn't walk them all.
#[derive(Debug)]
struct Live {
    limits: Vec<Limit>,
    longest: Duration,
    glance: Glance,
    /// Grants of the longest window.
    recent: VecDeque<Duration>,
}

impl Journal {
    /// An empty journal; its clock starts now.
    pub(crate) fn start(specs: &[ConnectionSpec]) -> Self {
        let live = |spec: &ConnectionSpec| Live {
            limits: spec.limits.clone(),
            longest: spec.limits.iter().map(|limit| limit.window).max().unwrap_or_default(),
            glance: Glance::default(),
            recent: VecDeque::new(),
        };
        Self {
            clock: Stopwatch::start(),
            state: Mutex::new(State { records: Vec::new(), live: specs.iter().map(live).collect(), first_failure: None }),
        }
    }

    /// The time since the start of the run.
    pub(crate) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Records that a request starts to wait.
    pub(crate) fn issued(&self, connection: usize, niceness: u32) -> RecordId {
        let mut state = self.state.lock();
        let enqueued = self.clock.elapsed();
        state.records.push(Record { connection, niceness, enqueued, grant: None, ended: None });
        if let Some(live) = state.live.get_mut(connection) {
            *live.glance.waiting.entry(niceness).or_default() += 1;
        }
        RecordId(state.records.len() - 1)
    }

    /// Records that it was let go; `grant` is asked with the time.
    pub(crate) fn granted(&self, id: RecordId, grant: impl FnOnce(Duration) -> Grant) {
        let mut state = self.state.lock();
        let now = self.clock.elapsed();
        let State { records, live, .. } = &mut *state;
        let Some(record) = records.get_mut(id.0) else {
            return;
        };
        record.grant = Some(grant(now));
        if let Some(live) = live.get_mut(record.connection) {
            live.left_queue(record.niceness);
            live.glance.granted += 1;
            live.recent.push_back(now);
            live.forget_before(now);
        }
    }

    /// Records how it ended.
    pub(crate) fn ended(&self, id: RecordId, outcome: Outcome) {
        let mut state = self.state.lock();
        let State { records, live, .. } = &mut *state;
        let Some(record) = records.get_mut(id.0) else {
            return;
        };
        record.ended = Some(outcome);
        if let Some(live) = live.get_mut(record.connection) {
            if record.grant.is_none() {
                live.left_queue(record.niceness);
            }
            live.glance.refused += u64::from(outcome == Outcome::Refused);
        }
    }

    /// Records that the throttler answered with an error, and keeps the first of them.
    pub(crate) fn failed(&self, id: RecordId, error: &dyn std::error::Error) {
        self.ended(id, Outcome::Failed);
        self.state.lock().first_failure.get_or_insert_with(|| error.to_string());
    }

    /// What the throttler said when it first failed.
    pub(crate) fn first_failure(&self) -> Option<String> {
        self.state.lock().first_failure.clone()
    }

    /// The connections as they are now, in order.
    pub(crate) fn glance(&self) -> Vec<Glance> {
        let mut state = self.state.lock();
        let now = self.clock.elapsed();
        state.live.iter_mut().map(|live| live.glance(now)).collect()
    }

    /// All records so far.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.state.lock().records.clone()
    }
}

impl Live {
    fn left_queue(&mut self, niceness: u32) {
        if let Some(waiting) = self.glance.waiting.get_mut(&niceness) {
            *waiting = waiting.saturating_sub(1);
        }
    }

    fn forget_before(&mut self, now: Duration) {
        let left = self.recent.partition_point(|start| *start + self.longest <= now);
        self.recent.drain(..left);
    }

    fn glance(&mut self, now: Duration) -> Glance {
        self.forget_before(now);
        let held = |limit: &Limit| {
            let left = self.recent.partition_point(|start| *start + limit.window <= now);
            u32::try_from(self.recent.len() - left).unwrap_or(u32::MAX)
        };
        Glance { in_window: self.limits.iter().map(held).collect(), ..self.glance.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::connections;

    fn journal() -> Journal {
        let text = "[[connection]]\nplatform = \"p\"\nconnection = \"c\"\nlimits = [{ requests = 2, window_seconds = 3600 }]";
        Journal::start(&connections::parse(text).expect("the text is right"))
    }

    fn grant(granted: Duration) -> Grant {
        Grant {
            tenure: Tenure(0),
            arrival: Sequence(1),
            release: Sequence(2),
            delivery: Duration::ZERO,
            guard: Duration::ZERO,
            granted,
        }
    }

    #[test]
    fn a_glance_counts_who_waits_and_what_the_window_holds() {
        let journal = journal();
        let ids: Vec<_> = (0..3).map(|_| journal.issued(0, 5)).collect();
        for id in ids.iter().take(1) {
            journal.granted(*id, grant);
            journal.ended(*id, Outcome::Refused);
        }
        for id in ids.iter().skip(2) {
            journal.ended(*id, Outcome::Cancelled);
        }
        let glances = journal.glance();
        let glance = glances.first().expect("one connection");
        assert_eq!((glance.granted, glance.refused), (1, 1));
        assert_eq!(glance.waiting.get(&5), Some(&1));
        assert_eq!(glance.in_window, [1]);
    }
}
