//! The gRPC surface: `turnstile.v1` on a listener.
//!
//! Promises: whatever comes on the port, connections, requests and memory stay within [`Bounds`]; a call that the end of the server or of the node
//! catches waiting ends with UNAVAILABLE.
//! Must not: decide anything. It parses, calls the [`Throttler`] and words the answer; every error's wording is in `status`.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let node = turnstile::Node::start(turnstile::NodeConfig::in_memory()).await?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:7878").await?;
//! turnstile::api::serve(node.throttler(), listener, async { node.stopped().await; }).await?;
//! # Ok(())
//! # }
//! ```

mod answer;
mod connection;
mod releasable;
mod session;
mod status;
mod throttle;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};

use self::throttle::ThrottleApi;
use crate::client::Throttler;
use crate::clock;
pub use crate::wire::v1;
use crate::wire::v1::throttle_service_server::ThrottleServiceServer;

/// How long calls have to end when the server stops; waiting ones are told to at once.
const DRAINS_WITHIN: Duration = Duration::from_secs(5);

/// The pause after a connection could not be accepted, which is when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many times in a row accepting may fail.
const MAX_ACCEPT_FAILURES: u32 = 100;

/// The largest message, either way: an acquire with eight limits has about 1 KB.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// What bounds a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// The most connections; further ones wait in the listener's backlog. 4,096 by default.
    pub max_connections: usize,
    /// The most calls at once on one connection, sessions included; a client waits before it begins another. 4,096 by default.
    pub max_streams_per_connection: u32,
    /// The most requests at once in one session, waiting or held; further ones are refused. 10,000 by default.
    pub max_session_requests: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { max_connections: 4096, max_streams_per_connection: 4096, max_session_requests: 10_000 }
    }
}

/// Why a server ended by itself.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The listener accepts no more.
    #[error("no connection could be accepted {failures} times in a row")]
    Accept {
        /// How many times.
        failures: u32,
        /// What the system said last.
        #[source]
        source: io::Error,
    },
}

/// Serves `throttler` on `listener` until `shutdown` completes, within the default [`Bounds`]. Then waiting calls are told UNAVAILABLE; it returns
/// when all have ended, at the latest after 5 s.
///
/// # Errors
/// [`ServeError`], when the listener fails for good.
pub async fn serve(
    throttler: Throttler,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    serve_within(Bounds::default(), throttler, listener, shutdown).await
}

/// The same as [`serve`], within these bounds.
///
/// # Errors
/// [`ServeError`], when the listener fails for good.
pub async fn serve_within(
    bounds: Bounds,
    throttler: Throttler,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let (drain, draining) = watch::channel(false);
    let api = ThrottleApi::new(throttler, draining.clone(), bounds);
    let service = ThrottleServiceServer::new(api);
    let service = service.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES);
    let places = Arc::new(Semaphore::new(bounds.max_connections.min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let mut failures = 0;
    let end = loop {
        tokio::select! {
            () = &mut shutdown => break Ok(()),
            // Cancel-safe: what is lost is a place in a queue of one.
            accepted = accept(&listener, &places) => match accepted {
                Ok((stream, place)) => {
                    failures = 0;
                    connections.spawn(connection::serve(stream, place, service.clone(), draining.clone(), bounds));
                }
                Err(source) if failures >= MAX_ACCEPT_FAILURES => break Err(ServeError::Accept { failures, source }),
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "a connection could not be accepted");
                    clock::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => log_panic(ended),
        }
    };
    drop(listener);
    drain.send_replace(true);
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    };
    if clock::timeout(DRAINS_WITHIN, all_ended).await.is_err() {
        tracing::warn!(open = connections.len(), "connections that did not end in time are cut");
    }
    connections.shutdown().await;
    end
}

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the task of a connection ended abnormally");
    }
}

/// Waits until the server stops. Cancel-safe.
async fn stopping(draining: &mut watch::Receiver<bool>) {
    // A sender that is gone has stopped, too.
    drop(draining.wait_for(|draining| *draining).await);
}
