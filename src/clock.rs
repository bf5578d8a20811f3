//! The one place where time is read and waited for.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::engine::time::Timestamp;

/// Where a process's time line has its origin: so far before its start that no waiter, however long it has waited at owners
/// before this one, arrived before it.
const BEFORE_START: Duration = Duration::from_secs(365 * 24 * 3600);

/// This process's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// The present moment.
    #[must_use]
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::ZERO + BEFORE_START + self.started.elapsed()
    }

    /// The moment that `instant` is on this clock.
    #[must_use]
    pub(crate) fn at(&self, instant: Instant) -> Timestamp {
        let started = Timestamp::ZERO + BEFORE_START;
        match instant.checked_duration_since(self.started) {
            Some(after) => started + after,
            None => started.saturating_sub(self.started.duration_since(instant)),
        }
    }

    /// Waits until `at`; the timer's resolution is a millisecond. Cancel-safe.
    #[expect(clippy::disallowed_methods, reason = "this is where time is waited for")]
    pub(crate) async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep(at.saturating_since(self.now())).await;
    }
}

/// The machine's monotonic clock: the same for all its processes, from an origin of its own.
#[cfg(feature = "cli")]
pub(crate) fn machine_now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // It counts up from the machine's start.
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}

/// Waits for `span`. Cancel-safe.
#[expect(clippy::disallowed_methods, reason = "this is where time is waited for")]
pub(crate) async fn sleep(span: Duration) {
    tokio::time::sleep(span).await;
}

/// That was not enough time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not done within {span:?}")]
pub(crate) struct TimedOut {
    span: Duration,
}

/// Runs `future` for at most `span`.
pub(crate) async fn timeout<F: Future>(span: Duration, future: F) -> Result<F::Output, TimedOut> {
    tokio::time::timeout(span, future).await.map_err(|_| TimedOut { span })
}
