//! Time for the command line: one stopwatch, one sleep, one deadline.
//!
//! Promises: monotonic, and the only file of `cli` that names the clock.
//! Must not: tell wall time; nothing on this side needs it.

use std::time::Duration;

use crate::clock::Clock;
use crate::engine::time::Timestamp;

pub(crate) use crate::clock::{sleep, timeout};

/// Counts from the moment it was started. Copies count from the same moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    clock: Clock,
    started: Timestamp,
}

impl Stopwatch {
    /// Starts counting now.
    pub(crate) fn start() -> Self {
        let clock = Clock::start();
        Self { clock, started: clock.now() }
    }

    /// The time since the start; never runs backwards.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.now().saturating_since(self.started)
    }
}
