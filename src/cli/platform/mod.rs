//! `turnstile platform`: an emulator of rate-limited platforms, to check the throttler from outside.
//!
//! ```text
//! demo ── stdin (held open) ──► platform        ends when it closes, or on SIGTERM
//!      ◄─ {"listening": …} ────                 one line, when ready
//!      ── GET /slack/acme/… ──►                 200, or 429 with Retry-After
//!      ── GET /_report ───────►                 accepted, refused, duplicates, worst fill
//! ```
//!
//! Promises: exact half-open rolling windows, counted on arrival by its own monotonic clock.
//! Must not: know anything of the throttler; no file here imports the engine or the node.

mod bucket;
mod connection;
mod report;
mod routes;
mod window;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::connections::{self, ConnectionsError};
use super::{shutdown, time};

pub(crate) use report::{ConnectionReport, Ready, Report};
pub(crate) use routes::REQUEST_ID;

/// How long calls in flight may take to end after the end was asked for.
const GRACE: Duration = Duration::from_secs(1);

/// Flags of `turnstile platform`.
#[derive(Debug, clap::Args)]
pub(crate) struct PlatformArgs {
    /// The connections file: which platform allows how much
    #[arg(long, value_name = "FILE.toml")]
    limits: PathBuf,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// Why the emulator could not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlatformError {
    /// The connections file can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The connections file is wrong.
    #[error("cannot use {}", path.display())]
    Connections {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ConnectionsError,
    },
    /// A count that doesn't fit this machine.
    #[error("a limit counts more requests than this machine can address")]
    TooLarge,
    /// The address can't be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The ready line can't be written.
    #[error("cannot say on standard output that the emulator is ready")]
    Announce {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Signals or serving failed.
    #[error("the emulator's server failed")]
    Serve {
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Serves until standard input closes or the process is told to end.
///
/// # Errors
/// See [`PlatformError`].
pub(crate) async fn run(args: PlatformArgs) -> Result<(), PlatformError> {
    let path = args.limits;
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(PlatformError::Read { path, source }),
    };
    let specs = connections::parse(&text).map_err(|source| PlatformError::Connections { path, source })?;
    let platforms = Arc::new(routes::Platforms::new(specs).ok_or(PlatformError::TooLarge)?);

    let address = args.listen;
    let listening = |source| PlatformError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listening)?;
    let bound = listener.local_addr().map_err(listening)?;
    // Small answers must leave at once: a delayed one would look like a slow platform.
    let listener = listener.tap_io(|stream| {
        stream.set_nodelay(true).ok();
    });

    let serving = |source| PlatformError::Serve { source };
    let mut signals = shutdown::Signals::listen().and_then(shutdown::Signals::and_input).map_err(serving)?;
    let (end, mut ended) = oneshot::channel::<()>();
    let server = axum::serve(listener, routes::router(platforms)).with_graceful_shutdown(async move {
        signals.asked_to_end().await;
        end.send(()).ok();
    });
    announce(bound)?;
    tokio::select! {
        served = server.into_future() => served.map_err(serving),
        // A caller that keeps its connection open must not keep the emulator alive.
        () = async { (&mut ended).await.ok(); time::sleep(GRACE).await } => Ok(()),
    }
}

fn announce(listening: SocketAddr) -> Result<(), PlatformError> {
    let failed = |source| PlatformError::Announce { source };
    let line = serde_json::to_string(&Ready { listening }).map_err(|error| failed(error.into()))?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(failed)
}
