//! The gRPC surface: `turnstile.v1` on a listener.
//!
//! Promises: whatever comes on the port, connections, requests and memory stay within [`Bounds`], and no client can end the server; a call that the
//! end of the server or of the node catches waiting ends with UNAVAILABLE.
//! Must not: decide anything. It parses, calls the [`Throttler`] and words the answer; every error's wording is in `status`.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let node = turnstile::Node::start(turnstile::NodeConfig::in_memory()).await?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:7878").await?;
//! let served = turnstile::api::Served::new(node.throttler(), node.admin());
//! turnstile::api::serve(served, listener, async { drop(node.stopped().await) }).await;
//! # Ok(())
//! # }
//! ```

mod admin;
mod answer;
mod connection;
mod health;
mod reflection;
mod releasable;
mod session;
mod status;
mod throttle;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tonic::service::Routes;

use self::admin::AdminApi;
pub use self::admin::FaultInjection;
use self::health::Health;
use self::throttle::ThrottleApi;
use crate::admin::Admin;
use crate::client::Throttler;
use crate::clock;
pub use crate::wire::v1;
use crate::wire::v1::admin_service_server::AdminServiceServer;
use crate::wire::v1::throttle_service_server::ThrottleServiceServer;

/// How long calls have to end when the server stops; waiting ones are told to at once.
const DRAINS_WITHIN: Duration = Duration::from_secs(5);

/// The pause after a connection could not be accepted, which is when the process is out of descriptors: one that ends gives some back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The largest message that is read: an acquire with eight limits has about 1 KB. An answer is hardly larger than what it answers.
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

/// What of a node a server serves.
#[derive(Debug, Clone)]
pub struct Served {
    throttler: Throttler,
    admin: Admin,
    fault_injection: FaultInjection,
}

impl Served {
    /// Both of one node, without fault injection.
    #[must_use]
    pub fn new(throttler: Throttler, admin: Admin) -> Self {
        Self { throttler, admin, fault_injection: FaultInjection::default() }
    }

    /// The same, with fault injection or without it.
    #[must_use]
    pub const fn with_fault_injection(mut self, fault_injection: FaultInjection) -> Self {
        self.fault_injection = fault_injection;
        self
    }
}

/// Serves a node on `listener` until `shutdown` completes, within the default [`Bounds`]. Then waiting calls are told UNAVAILABLE; it returns
/// when all have ended, at the latest after 5 s.
pub async fn serve(served: Served, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    serve_within(Bounds::default(), served, listener, shutdown).await;
}

/// The same as [`serve`], within these bounds.
pub async fn serve_within(bounds: Bounds, served: Served, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let Served { throttler, admin, fault_injection } = served;
    let (drain, draining) = watch::channel(false);
    let (health, health_service) = Health::serving().await;
    let service = ThrottleServiceServer::new(ThrottleApi::new(throttler.clone(), draining.clone(), bounds));
    let services = Routes::new(service.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(AdminServiceServer::new(AdminApi::new(admin, fault_injection)).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(health_service)
        .add_service(reflection::service())
        .prepare();
    let places = Arc::new(Semaphore::new(bounds.max_connections.min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let mut node_stops = pin!(throttler.stopped());
    let mut is_serving = true;
    let mut failures: u32 = 0;
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            () = &mut node_stops, if is_serving => {
                is_serving = false;
                health.set_not_serving().await;
            }
            // Cancel-safe: what is lost is a place in a queue of one.
            accepted = accept(&listener, &places) => match accepted {
                Ok((stream, place)) => {
                    failures = 0;
                    connections.spawn(connection::serve(stream, place, services.clone(), draining.clone(), bounds));
                }
                Err(error) => {
                    // For ever, if need be: a client that takes all descriptors must not end the server.
                    failures = failures.saturating_add(1);
                    if failures.is_power_of_two() {
                        tracing::warn!(%error, failures, "a connection could not be accepted; trying again");
                    }
                    clock::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => log_panic(ended),
        }
    }
    drop(listener);
    drain.send_replace(true);
    health.end().await;
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    };
    if clock::timeout(DRAINS_WITHIN, all_ended).await.is_err() {
        tracing::warn!(open = connections.len(), "connections that did not end in time are cut");
    }
    connections.shutdown().await;
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
