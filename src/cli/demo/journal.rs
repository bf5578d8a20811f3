//! The journal: every request of the run, from issue to end, put together from the workers' accounts.
//!
//! Promises: one clock for all records; memory grows with the requests issued and with nothing else.
//! Must not: judge. The judge reads the records after the run, the view reads counts during it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::time::Duration;

use parking_lot::Mutex;

use super::blow::Blow;
use super::history::Recorder;
use super::message::{Event, Told, What};
use crate::cli::connections::{ConnectionSpec, Limit};
use crate::cli::time::Stopwatch;

/// One request. Times count from the start of the run.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Who issued it.
    pub(crate) worker: u32,
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

/// A grant as its worker saw it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant {
    /// What the permit told.
    pub(crate) told: Told,
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
    /// The place of a record, by worker and request.
    places: HashMap<(u32, u64), usize>,
    live: Vec<Live>,
    first_failure: Option<String>,
    /// Where the same is written down as a history, if it is.
    recorder: Option<Recorder>,
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
    pub(crate) fn start(specs: &[ConnectionSpec], recorder: Option<Recorder>) -> Self {
        let live = |spec: &ConnectionSpec| Live {
            limits: spec.limits.clone(),
            longest: spec.limits.iter().map(|limit| limit.window).max().unwrap_or_default(),
            glance: Glance::default(),
            recent: VecDeque::new(),
        };
        Self {
            clock: Stopwatch::start(),
            state: Mutex::new(State {
                records: Vec::new(),
                places: HashMap::new(),
                live: specs.iter().map(live).collect(),
                first_failure: None,
                recorder,
            }),
        }
    }

    /// The time since the start of the run.
    pub(crate) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// The clock of the run, for the workers.
    pub(crate) fn clock(&self) -> Stopwatch {
        self.clock
    }

    /// Takes down what a worker says. What it says about a request that it has not issued is left out.
    pub(crate) fn note(&self, worker: u32, event: Event) {
        let mut state = self.state.lock();
        if let Some(recorder) = &mut state.recorder {
            recorder.note(worker, &event);
        }
        let Event { request, at, what } = event;
        match what {
            What::Issued { connection, niceness } => state.issued((worker, request), connection, niceness, at),
            What::Granted(told) => state.granted((worker, request), Grant { told, granted: at }),
            What::Called { accepted: true } => state.ended((worker, request), Outcome::Accepted),
            What::Called { accepted: false } => state.ended((worker, request), Outcome::Refused),
            What::Dropped => state.ended((worker, request), Outcome::Cancelled),
            What::Failed { error } => {
                state.first_failure.get_or_insert(error);
                state.ended((worker, request), Outcome::Failed);
            }
        }
    }

    /// Ends the history of the run, if there is one.
    ///
    /// # Errors
    /// When it could not be written.
    pub(crate) fn finish(&self, blow: Option<&Blow>) -> io::Result<()> {
        let (recorder, lasted) = (self.state.lock().recorder.take(), self.now());
        recorder.map_or(Ok(()), |recorder| recorder.finish(blow, lasted))
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

impl State {
    fn issued(&mut self, id: (u32, u64), connection: usize, niceness: u32, enqueued: Duration) {
        self.places.insert(id, self.records.len());
        self.records.push(Record { worker: id.0, connection, niceness, enqueued, grant: None, ended: None });
        if let Some(live) = self.live.get_mut(connection) {
            *live.glance.waiting.entry(niceness).or_default() += 1;
        }
    }

    fn granted(&mut self, id: (u32, u64), grant: Grant) {
        let Some(record) = self.places.get(&id).and_then(|place| self.records.get_mut(*place)) else { return };
        record.grant = Some(grant);
        if let Some(live) = self.live.get_mut(record.connection) {
            live.left_queue(record.niceness);
            live.glance.granted += 1;
            // Of several workers, some are read a little later than others.
            let place = live.recent.partition_point(|granted| *granted <= grant.granted);
            live.recent.insert(place, grant.granted);
        }
    }

    fn ended(&mut self, id: (u32, u64), outcome: Outcome) {
        let Some(record) = self.places.get(&id).and_then(|place| self.records.get_mut(*place)) else { return };
        record.ended = Some(outcome);
        if let Some(live) = self.live.get_mut(record.connection) {
            if record.grant.is_none() {
                live.left_queue(record.niceness);
            }
            live.glance.refused += u64::from(outcome == Outcome::Refused);
        }
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
    use crate::cli::order::{Sequence, Tenure};

    fn journal() -> Journal {
        let text = "[[connection]]\nplatform = \"p\"\nconnection = \"c\"\nlimits = [{ requests = 2, window_seconds = 3600 }]";
        Journal::start(&connections::parse(text).expect("the text is right"), None)
    }

    #[test]
    fn a_glance_counts_who_waits_and_what_the_window_holds() {
        let journal = journal();
        let note = |request, what| journal.note(7, Event { request, at: Duration::ZERO, what });
        (0..3).for_each(|request| note(request, What::Issued { connection: 0, niceness: 5 }));
        let (tenure, arrival, waits_since, release) = (Tenure(0), Sequence(1), Sequence(1), Sequence(2));
        note(0, What::Granted(Told { tenure, arrival, waits_since, release, delivery: Duration::ZERO, guard: Duration::ZERO }));
        note(0, What::Called { accepted: false });
        note(2, What::Dropped);
        note(99, What::Dropped);
        let glances = journal.glance();
        let glance = glances.first().expect("one connection");
        assert_eq!((glance.granted, glance.refused), (1, 1));
        assert_eq!(glance.waiting.get(&5), Some(&1));
        assert_eq!(glance.in_window, [1]);
    }
}
