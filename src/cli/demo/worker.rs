//! A worker of the demo: a process without a node, which calls the platforms through a session with one.
//!
//! ```text
//! demo ── Assignment ──► worker ── Remote ──► a node
//!      ◄── Event, a line each ──┘ └── GET ──► the platforms
//! ```
//!
//! Promises: everything that happens is told, in order, with the moment by the run's clock; ends with its standard input, and tells before what
//! became of every request.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::judge::{Sequence, Tenure};
use super::loops::{self, LoopError};
use crate::cli::connections::{self, ConnectionsError};
use crate::cli::remote::Remote;
use crate::cli::shutdown;
use crate::cli::time::{self, Stopwatch};

/// How long the requests in flight may take to end: a call, and as much again. Whatever hangs has no end in the journal, and is lost.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

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
    pub(crate) workers: std::num::NonZeroU32,
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
    /// Its release number.
    pub(crate) release: Sequence,
    /// How much longer than the window the grant is counted for its way to the worker.
    pub(crate) delivery: Duration,
    /// The same for the way to the platform; with several limits, the largest of them.
    pub(crate) guard: Duration,
}

/// Flags of the worker's process.
#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    /// What to do, as JSON
    assignment: String,
}

/// Why a worker can't go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerError {
    /// Its assignment is none.
    #[error("the assignment is not one of this version's")]
    Assignment {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The built-in connections file is wrong.
    #[error("cannot use the built-in connections")]
    Connections(#[from] ConnectionsError),
    /// It can't hear of its end.
    #[error("cannot listen to its parent")]
    Signals {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// One of its loops can't go on.
    #[error(transparent)]
    Loop(#[from] LoopError),
    /// A loop's task broke.
    #[error("a loop's task failed")]
    Task {
        /// Why.
        #[source]
        source: tokio::task::JoinError,
    },
    /// Nobody reads what it has to tell.
    #[error("cannot tell what happened")]
    Tell {
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Works until standard input ends.
///
/// # Errors
/// [`WorkerError`].
pub(crate) async fn run(args: WorkerArgs) -> Result<ExitCode, WorkerError> {
    let assignment: Assignment = serde_json::from_str(&args.assignment).map_err(|source| WorkerError::Assignment { source })?;
    let specs = connections::parse(super::CONNECTIONS)?;
    let signals = shutdown::Signals::listen().and_then(shutdown::Signals::and_input);
    let mut signals = signals.map_err(|source| WorkerError::Signals { source })?;
    let (remote, session) = Remote::new(assignment.nodes.clone());
    let (account, events) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let mut running: JoinSet<Result<(), WorkerError>> = JoinSet::new();
    for one in loops::of(&assignment, &specs, &remote, &account, &stopped)? {
        running.spawn(async move { Ok(one.run().await?) });
    }
    drop((remote, account));
    let session = tokio::spawn(session);
    let mut writer = tokio::task::spawn_blocking(move || write(events));
    let failed = tokio::select! {
        () = signals.asked_to_end() => None,
        Some(ended) = running.join_next() => Some(flat(ended)),
        written = &mut writer => Some(flat(written)),
    };
    if let Some(Err(error)) = failed {
        return Err(error);
    }
    stop.send_replace(true);
    let ending = async {
        while let Some(ended) = running.join_next().await {
            flat(ended)?;
        }
        Ok::<_, WorkerError>(())
    };
    time::timeout(ENDS_WITHIN, ending).await.unwrap_or(Ok(()))?;
    // The last of the loops held the session and the account: both end by themselves.
    running.shutdown().await;
    drop(time::timeout(ENDS_WITHIN, session).await);
    flat(writer.await)?;
    Ok(ExitCode::SUCCESS)
}

fn flat(ended: Result<Result<(), WorkerError>, tokio::task::JoinError>) -> Result<(), WorkerError> {
    ended.map_err(|source| WorkerError::Task { source })?
}

/// Writes every event as a line until there are no more.
fn write(mut events: mpsc::UnboundedReceiver<Event>) -> Result<(), WorkerError> {
    let telling = |source| WorkerError::Tell { source };
    let mut stdout = io::stdout().lock();
    while let Some(event) = events.blocking_recv() {
        let line = serde_json::to_string(&event).map_err(|error| telling(error.into()))?;
        writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(telling)?;
    }
    Ok(())
}
