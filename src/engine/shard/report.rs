//! How connections are, for whoever operates them.

use std::cmp::Reverse;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Caller, Resident, Shard};
use crate::engine::key::ConnectionKey;
use crate::engine::limiter::Limiter;
use crate::engine::queue::Queue;
use crate::engine::rate::{Niceness, RateLimit};
use crate::engine::throttle::Now;
use crate::engine::time::{LedgerTime, Timestamp};

/// Parts of 1,000,000.
pub type Share = u64;

/// How a connection is, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionReport {
    /// Which.
    pub key: ConnectionKey,
    /// How many wait, of each niceness that has any, in order.
    pub waiting: Vec<(Niceness, usize)>,
    /// How much counts of each of its limits.
    pub limits: Vec<(RateLimit, u64)>,
    /// Whether it is paused.
    pub pause: Option<Pause>,
    /// How long whoever waits longest has waited.
    pub longest_wait: Option<Duration>,
}

/// Nothing is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pause {
    /// For so long.
    For(Duration),
    /// Until somebody resumes it.
    UntilResumed,
}

impl ConnectionReport {
    /// One that nobody uses.
    #[must_use]
    pub const fn unused(key: ConnectionKey) -> Self {
        Self { key, waiting: Vec::new(), limits: Vec::new(), pause: None, longest_wait: None }
    }

    /// One for which nobody waits, with this limiter.
    #[must_use]
    pub fn resting(key: ConnectionKey, limiter: &Limiter, now: LedgerTime) -> Self {
        Self { limits: limiter.fill(now).collect(), pause: pause(limiter, now), ..Self::unused(key) }
    }

    /// How many wait.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.waiting.iter().map(|(_, count)| count).sum()
    }

    /// How full the fullest of its limits is.
    fn fill(&self) -> Share {
        self.limits.iter().copied().map(share).max().unwrap_or_default()
    }

    /// Its place among others: busier ones have lower ranks.
    #[must_use]
    pub fn rank(&self) -> (Reverse<usize>, Reverse<Share>, ConnectionKey) {
        (Reverse(self.waiters()), Reverse(self.fill()), self.key.clone())
    }
}

/// How full a limit is of which so much counts.
fn share((limit, used): (RateLimit, u64)) -> Share {
    used.saturating_mul(1_000_000) / u64::from(limit.request_count().get())
}

impl<T: Caller> Shard<T> {
    /// Shows so many of the connections in memory, after so many others: who waits there, and how full the fullest limit is. Their order is
    /// none, and may change with every connection that comes or goes.
    pub fn look_through(
        &self,
        local: Timestamp,
        after: usize,
        at_most: usize,
        mut see: impl FnMut(&ConnectionKey, &Queue<T>, Share),
    ) {
        let now = self.ledger_clock.now(local);
        for (key, resident) in self.connections.iter().skip(after).take(at_most) {
            see(key, resident.throttle.queue(), fullest(now, resident));
        }
    }

    /// How a connection is; `None` when it is not in memory.
    #[must_use]
    pub fn report(&self, local: Timestamp, key: &ConnectionKey) -> Option<ConnectionReport> {
        let resident = self.connections.get(key)?;
        Some(report(self.ledger_clock.now(local), key, resident))
    }
}

fn fullest<T>(now: Now, resident: &Resident<T>) -> Share {
    resident.throttle.limiter().fill(now.ledger).map(share).max().unwrap_or_default()
}

fn pause(limiter: &Limiter, now: LedgerTime) -> Option<Pause> {
    limiter.paused_until(now).map(|until| match until {
        LedgerTime::END => Pause::UntilResumed,
        until => Pause::For(until.saturating_since(now)),
    })
}

fn report<T>(now: Now, key: &ConnectionKey, resident: &Resident<T>) -> ConnectionReport {
    let (queue, limiter) = (resident.throttle.queue(), resident.throttle.limiter());
    let came_first = queue.iter().chain(queue.aside()).map(|waiter| waiter.arrived_at).min();
    ConnectionReport {
        key: key.clone(),
        waiting: queue.all_depths(),
        limits: limiter.fill(now.ledger).collect(),
        pause: pause(limiter, now.ledger),
        longest_wait: came_first.map(|at| now.local.saturating_since(at)),
    }
}
