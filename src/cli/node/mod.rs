//! `turnstile node`: one node that stands alone and serves callers in other processes.
//!
//! ```text
//! settings ──► bind ──► open the log ──► {"node": …, "listening": …}      one line, when ready
//!                                         │
//!                  SIGTERM, SIGINT ───────┤ waiters are told, the log is closed, exit 0
//!                  the node stops ────────┘ the reason, exit 1
//! ```
//!
//! Promises: the line is written once and only when calls are served; the directory is free when the process has ended.
//! Must not: start anything before all settings are valid.

mod logs;
mod surface;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tracing_subscriber::util::TryInitError;

use super::settings::{self, Problem, SettingsArgs};
use super::{shutdown, time};
use crate::node::{Node, StartError};
use surface::SurfaceError;

/// How long calls may take to end after the end was asked for: their waiters have been told by then.
const GRACE: Duration = Duration::from_secs(10);

/// Flags of `turnstile node`.
#[derive(Debug, clap::Args)]
#[command(after_help = settings::SOURCES)]
pub(crate) struct NodeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Why a node did not run, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    /// The settings are wrong.
    #[error("{} problems with the settings", problems.len())]
    Settings {
        /// What is wrong.
        problems: Vec<Problem>,
    },
    /// There is another log in this process.
    #[error("cannot start the log")]
    Log {
        /// Why.
        #[source]
        source: TryInitError,
    },
    /// The system doesn't tell us about signals.
    #[error("cannot listen to signals")]
    Signals {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The address can't be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node did not start.
    #[error("the node did not start")]
    Start {
        /// Why.
        #[source]
        source: StartError,
    },
    /// The ready line can't be written.
    #[error("cannot say on standard output that the node serves")]
    Announce {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node stopped by itself: nothing is granted any more.
    #[error("the node has stopped by itself: {reason}")]
    Stopped {
        /// What the node said.
        reason: String,
    },
    /// The interface ended by itself.
    #[error("the node can no longer be called")]
    Surface {
        /// Why; nothing when it ended without an error.
        #[source]
        source: Option<SurfaceError>,
    },
}

/// The line that says where a node can be called.
#[derive(Debug, Serialize)]
struct Ready {
    node: String,
    listening: SocketAddr,
}

/// What ended a node's service.
enum End {
    Asked,
    Stopped(String),
    Surface(Option<SurfaceError>),
}

/// Runs a node until the process is told to end.
///
/// # Errors
/// See [`NodeError`].
pub(crate) async fn run(args: NodeArgs) -> Result<(), NodeError> {
    let loaded = settings::load(&args.settings, &settings::environment());
    let settings = loaded.settings.map_err(|problems| NodeError::Settings { problems })?;
    logs::start(settings.log.clone(), settings.log_format).map_err(|source| NodeError::Log { source })?;
    let mut signals = shutdown::Signals::listen().map_err(|source| NodeError::Signals { source })?;
    let (listener, bound) = listen(settings.listen).await?;
    let node = tokio::select! {
        started = Node::start(settings.node) => started.map_err(|source| NodeError::Start { source })?,
        // Leaving a start in the middle is what a crash would do, which the log survives; nothing was granted yet.
        () = signals.asked_to_end() => return Ok(()),
    };
    serve(node, listener, bound, signals).await
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), NodeError> {
    let failed = |source| NodeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    if !bound.ip().is_loopback() {
        tracing::warn!(address = %bound, "other machines can reach this address, and there is no authentication");
    }
    Ok((listener, bound))
}

async fn serve(node: Node, listener: TcpListener, bound: SocketAddr, mut signals: shutdown::Signals) -> Result<(), NodeError> {
    let (stop, stopping) = oneshot::channel::<()>();
    let mut surface = Box::pin(surface::serve(node.throttler(), listener, async {
        // A message and a dropped sender both mean the end.
        drop(stopping.await);
    }));
    announce(&Ready { node: node.id().to_string(), listening: bound })?;
    // The first two arms only watch, and the third goes on where it was when it is polled again.
    let end = tokio::select! {
        () = signals.asked_to_end() => End::Asked,
        reason = node.stopped() => End::Stopped(reason),
        served = &mut surface => End::Surface(served.err()),
    };
    tracing::info!(node = %node.id(), "ending");
    drop(stop);
    match &end {
        End::Surface(_) => node.shutdown().await,
        // Together: the answers that the node's end gives to those who wait still have to be sent.
        End::Asked | End::Stopped(_) => match tokio::join!(node.shutdown(), time::timeout(GRACE, surface)).1 {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "not all calls ended well"),
            Err(_) => tracing::warn!(waited = ?GRACE, "callers kept their connections open; they are cut off"),
        },
    }
    match end {
        End::Asked => Ok(()),
        End::Stopped(reason) => Err(NodeError::Stopped { reason }),
        End::Surface(source) => Err(NodeError::Surface { source }),
    }
}

fn announce(ready: &Ready) -> Result<(), NodeError> {
    let failed = |source| NodeError::Announce { source };
    let line = serde_json::to_string(ready).map_err(|error| failed(error.into()))?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(failed)
}
