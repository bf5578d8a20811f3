//! One connection at the emulated platform: its window, its counters and the request ids it has seen.
//!
//! Promises: bounded memory; an id is recognised among the last [`REMEMBERED`] accepted ones.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::report::{ConnectionReport, LimitReport};
use super::window::{Decision, Window};

/// How many accepted request ids a connection remembers.
const REMEMBERED: usize = 16_384;

/// Counts the calls of one connection.
#[derive(Debug)]
pub(super) struct Connection {
    window: Window,
    ids: RecentIds,
    accepted: u64,
    refused: u64,
    duplicates: u64,
}

impl Connection {
    /// A connection nobody has called yet.
    pub(super) fn new(window: Window) -> Self {
        Self { window, ids: RecentIds::default(), accepted: 0, refused: 0, duplicates: 0 }
    }

    /// Judges and counts a call that arrives at `now`.
    pub(super) fn call(&mut self, now: Duration, id: Option<&str>) -> Decision {
        let decision = self.window.arrive(now);
        match decision {
            Decision::Refused { .. } => self.refused += 1,
            Decision::Accepted => {
                self.accepted += 1;
                // Only what was accepted has run: a refused call may come again under its id.
                if id.is_some_and(|id| !self.ids.insert(id)) {
                    self.duplicates += 1;
                }
            }
        }
        decision
    }

    /// The account so far.
    pub(super) fn report(&self, platform: &str, connection: &str) -> ConnectionReport {
        let share = |part: usize, whole: usize| {
            let exact = |count: usize| u32::try_from(count).map_or(f64::INFINITY, f64::from);
            exact(part) / exact(whole)
        };
        ConnectionReport {
            platform: platform.to_owned(),
            connection: connection.to_owned(),
            accepted: self.accepted,
            refused: self.refused,
            duplicates: self.duplicates,
            worst_fill: self.window.fills().map(|fill| share(fill.worst, fill.count)).fold(0.0, f64::max),
            limits: self
                .window
                .fills()
                .map(|fill| LimitReport { requests: fill.count, window_seconds: fill.window.as_secs_f64(), worst: fill.worst })
                .collect(),
        }
    }
}

#[derive(Debug, Default)]
struct RecentIds {
    known: HashSet<Arc<str>>,
    order: VecDeque<Arc<str>>,
}

impl RecentIds {
    /// False if the id is known already.
    fn insert(&mut self, id: &str) -> bool {
        let id: Arc<str> = Arc::from(id);
        if !self.known.insert(Arc::clone(&id)) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::cli::connections::Limit;

    fn connection(requests: u32) -> Connection {
        let (requests, window) = (NonZeroU32::new(requests).expect("above zero"), Duration::from_secs(1));
        let limit = Limit { requests, window, algorithm: crate::Algorithm::SlidingWindow };
        Connection::new(Window::new(&[limit]).expect("a small count"))
    }

    #[test]
    fn an_id_accepted_twice_is_a_duplicate() {
        let mut connection = connection(3);
        for id in ["a", "b", "a"] {
            connection.call(Duration::ZERO, Some(id));
        }
        assert_eq!(connection.report("p", "c").duplicates, 1);
    }

    #[test]
    fn an_id_that_was_refused_may_come_again() {
        let mut connection = connection(1);
        connection.call(Duration::ZERO, Some("a"));
        connection.call(Duration::ZERO, Some("b"));
        connection.call(Duration::from_secs(1), Some("b"));
        let report = connection.report("p", "c");
        assert_eq!((report.accepted, report.refused, report.duplicates), (2, 1, 0));
    }

    #[test]
    fn remembered_ids_are_bounded() {
        let mut ids = RecentIds::default();
        for number in 0..REMEMBERED + 10 {
            assert!(ids.insert(&number.to_string()));
        }
        assert_eq!((ids.known.len(), ids.order.len()), (REMEMBERED, REMEMBERED));
        assert!(ids.insert("0"), "the oldest is forgotten");
    }
}
