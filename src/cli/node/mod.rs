//! `turnstile node`: one node, alone or in a cluster, that serves callers in other processes.
//!
//! ```text
//! settings ──► bind ──► open the log ──► {"node": …, "listening": …} ──► serve
//!                        │ /livez                                         │
//!                        ▼                                                │
//!               "starting"             SIGTERM, SIGINT ───────────────────┤ waiters are told, the log is closed, exit 0
//!                                      the node stops by itself ──────────┘ waiters are told, the reason, exit 1
//! ```
//!
//! Promises: the line is written once and only when calls are taken; the directory is free when the process has ended.
//! Must not: start anything before all settings are valid.

pub(super) mod logs;
mod metrics;
mod surface;

use std::io::{self, Write as _};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tracing_subscriber::util::TryInitError;

use super::settings::{self, Problem, Settings, SettingsArgs};
use super::shutdown;
use crate::api;
use crate::node::{Node, StartError};
use metrics::Recorder;
use surface::{ListenError, Surface};

/// Flags of `turnstile node`.
#[derive(Debug, clap::Args)]
#[command(after_help = settings::SOURCES)]
pub(crate) struct NodeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// End with standard input, too: for a node that another program has started
    #[arg(long)]
    until_input_ends: bool,
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
    /// There is another recorder of metrics in this process.
    #[error("cannot start the metrics")]
    Metrics {
        /// Why.
        #[source]
        source: metrics_exporter_prometheus::BuildError,
    },
    /// The system doesn't tell us about signals.
    #[error("cannot listen to signals")]
    Signals {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The address can't be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
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
}

/// The line that says where a node can be called.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Its id.
    pub(crate) node: String,
    /// Its public address.
    pub(crate) listening: SocketAddr,
}

/// Runs a node until the process is told to end.
///
/// # Errors
/// See [`NodeError`].
pub(crate) async fn run(args: NodeArgs) -> Result<(), NodeError> {
    let loaded = settings::load(&args.settings, &settings::environment());
    let settings = loaded.settings.map_err(|problems| NodeError::Settings { problems })?;
    logs::start(settings.log.clone(), settings.log_format).map_err(|source| NodeError::Log { source })?;
    let recorder = Recorder::install().map_err(|source| NodeError::Metrics { source })?;
    tokio::select! {
        ended = start_and_serve(settings, args.until_input_ends, &recorder) => ended,
        never = recorder.upkeep() => match never {},
    }
}

/// Does all of it, from the first signal that counts to the end of the node.
async fn start_and_serve(settings: Settings, until_input_ends: bool, recorder: &Recorder) -> Result<(), NodeError> {
    let signals = shutdown::Signals::listen();
    let signals = if until_input_ends { signals.and_then(shutdown::Signals::and_input) } else { signals };
    let mut signals = signals.map_err(|source| NodeError::Signals { source })?;
    let mut surface = Surface::bind(settings.listen, &settings.listen_from).await?;
    let starting = async {
        tokio::select! {
            started = Node::start(settings.node) => Some(started),
            // Leaving a start in the middle is what a crash would do, which the log survives; nothing was granted yet.
            () = signals.asked_to_end() => None,
        }
    };
    let Some(started) = surface.while_starting(starting).await else { return Ok(()) };
    let node = started.map_err(|source| NodeError::Start { source })?;
    let recorder = recorder.clone();
    let served = api::Served::new(node.throttler(), node.admin()).with_metrics(move || recorder.text());
    let ended = serve(&node, surface, served.with_fault_injection(settings.fault_injection), signals).await;
    node.shutdown().await;
    ended
}

/// Serves the node until the process is told to end, the node has been drained, or it stops by itself; returns when no call is left.
async fn serve(node: &Node, surface: Surface, served: api::Served, mut signals: shutdown::Signals) -> Result<(), NodeError> {
    announce(&Ready { node: node.id().to_string(), listening: surface.address() })?;
    let mut reason = None;
    let shutdown = async {
        // All arms only watch.
        tokio::select! {
            () = signals.asked_to_end() => {}
            stopped = node.stopped() => reason = Some(stopped),
            () = node.drained() => {}
        }
        tracing::info!(node = %node.id(), "ending");
    };
    surface.serve(served, shutdown).await;
    reason.map_or(Ok(()), |reason| Err(NodeError::Stopped { reason }))
}

fn announce(ready: &Ready) -> Result<(), NodeError> {
    let failed = |source| NodeError::Announce { source };
    let line = serde_json::to_string(ready).map_err(|error| failed(error.into()))?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(failed)
}
