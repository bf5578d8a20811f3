//! What the demo and its workers say to each other.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cli::order::{Sequence, Tenure};
use crate::cli::time::Stopwatch;

/// What a worker does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Assignment {
    /// Where the nodes are; it calls the first that answers.
    pub(crate) nodes: Vec<String>,
    /// Where the platforms are.
    pub(crate) platforms: SocketAddr,
    /// What the run's randomness starts from.
    pub(crate) seed: u64,
    /// Which worker it is, from 0.
    pub(crate) worker: u32,
    /// How many there are.
    pub(crate) workers: NonZeroU32,
    /// The run's clock.
    pub(crate) clock: Stopwatch,
}

/// One line of a worker's account: what happened to one request, and when, counted from the start of the run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Event {
    /// The request's number, the worker's own.
    pub(crate) request: u64,
    /// When.
    pub(crate) at: Duration,
    /// What.
    pub(crate) what: What,
}

/// What happens to a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// It starts to wait.
    Issued {
        /// The place of its connection.
        connection: usize,
        /// 0 is served first.
        niceness: u32,
    },
    /// It was let go.
    Granted(Told),
    /// The platform has answered the call.
    Called {
        /// Whether it accepted it.
        accepted: bool,
    },
    /// It still waited when the run ended.
    Dropped,
    /// The throttler answered with an error.
    Failed {
        /// What it said.
        error: String,
    },
}

/// What the permit told.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The owner's run that numbered it.
    pub(crate) tenure: Tenure,
    /// Its arrival number.
    pub(crate) arrival: Sequence,
    /// The number from which on it waited without a break.
    pub(crate) waits_since: Sequence,
    /// Its release number.
    pub(crate) release: Sequence,
    /// How much longer than the window the grant is counted for its way to the worker.
    pub(crate) delivery: Duration,
    /// The same for the way to the platform; with several limits, the largest of them.
    pub(crate) guard: Duration,
}
