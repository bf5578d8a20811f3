//! How one who waits stands.

use std::time::Duration;

use super::{Now, Throttle};
use crate::engine::cost::Cost;
use crate::engine::grant::RequestId;
use crate::engine::rate::Niceness;
use crate::engine::time::LedgerTime;

/// How a waiter stands, at the moment when somebody asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Its place in the order in which waiters are served: 1 is next.
    pub position: usize,
    /// How many are served before it, of each niceness that has any, the most urgent first.
    pub ahead: Vec<(Niceness, usize)>,
    /// How long it waits from now on, if nobody comes before it and nobody ahead leaves: a lower bound otherwise. `None` when a limit has changed so
    /// that it never fits, and while the connection is paused until somebody resumes it.
    pub estimated_wait: Option<Duration>,
    /// How long it has waited already.
    pub waited: Duration,
}

impl<T> Throttle<T> {
    /// How the request with this id stands; `None` when it does not wait here.
    #[must_use]
    pub fn explain(&self, now: Now, request: RequestId) -> Option<Explanation> {
        let waiter = self.queue.get(request)?;
        let mut load = Cost::ZERO;
        let ahead: Vec<(Niceness, usize)> = self
            .queue
            .ahead_of(waiter)
            .map(|(niceness, count, cost)| {
                load = load.plus(cost);
                (niceness, count)
            })
            .collect();
        let earliest = self.limiter.earliest(now.ledger.max(self.not_before), load, waiter.cost);
        Some(Explanation {
            position: 1 + ahead.iter().map(|(_, count)| count).sum::<usize>(),
            ahead,
            estimated_wait: earliest
                .filter(|at| *at < LedgerTime::END)
                .map(|at| now.local_time_of(at).saturating_since(now.local)),
            waited: now.local.saturating_since(waiter.arrived_at),
        })
    }
}
