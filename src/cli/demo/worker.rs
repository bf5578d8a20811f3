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
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::loops::{self, LoopError};
use super::message::{Assignment, Event};
use crate::cli::connections::{self, ConnectionsError};
use crate::cli::remote::Remote;
use crate::cli::shutdown;
use crate::cli::time;

/// How long the requests in flight may take to end: a call, and as much again. Whatever hangs has no end in the journal, and is lost.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

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
