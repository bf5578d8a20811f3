//! Time for the command line: one stopwatch, one sleep, one deadline.
//!
//! Promises: monotonic, and the only file of `cli` that names the clock.
//! Must not: tell wall time; nothing on this side needs it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::machine_now;

pub(crate) use crate::clock::{sleep, timeout};

/// Counts from the moment it was started. Copies count from the same moment, in other processes of this machine, too.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Stopwatch {
    /// By the machine's own clock.
    started: Duration,
}

impl Stopwatch {
    /// Starts counting now.
    pub(crate) fn start() -> Self {
        Self { started: machine_now() }
    }

    /// The time since the start; never runs backwards.
    pub(crate) fn elapsed(&self) -> Duration {
        machine_now().saturating_sub(self.started)
    }
}
