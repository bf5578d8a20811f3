//! What other programs call: gRPC and HTTP/JSON on one port, with the node's health and metrics.
//!
//! Promises: whatever comes on the port, connections, requests and memory stay within [`Bounds`], and no client can end the server; a call that the
//! end of the server or of the node catches waiting ends with an error that says so.
//! Must not: decide anything. It parses, calls the [`Throttler`] and words the answer; every error is a line of the table in `problem`.
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

mod answer;
mod grpc;
mod http;
mod problem;
mod starting;

use std::fmt::{self, Debug, Formatter};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use self::problem::Problem;
pub use self::starting::Starting;
use crate::admin::Admin;
use crate::client::Throttler;
use crate::clock;
use crate::port::{self, Port, stopping};
pub use crate::wire::v1;

/// Whether operators may break things, to see what happens then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FaultInjection {
    /// They may not: `RefusePeers` does not exist.
    #[default]
    Disabled,
    /// They may.
    Enabled,
}

/// How long calls have to end when the server stops; waiting ones are told to at once.
const DRAINS_WITHIN: Duration = Duration::from_secs(5);

/// How long a client has for its first word.
const SPEAKS_WITHIN: Duration = Duration::from_secs(10);

/// What a client may send on one stream, and on all of a connection, before it is read.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

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
    scrape: Option<Scrape>,
}

/// What writes the metrics of this process down.
#[derive(Clone)]
struct Scrape(Arc<dyn Fn() -> String + Send + Sync>);

impl Scrape {
    fn text(&self) -> String {
        self.0()
    }
}

impl Debug for Scrape {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scrape").finish()
    }
}

impl Served {
    /// Both of one node, without fault injection and metrics.
    #[must_use]
    pub fn new(throttler: Throttler, admin: Admin) -> Self {
        Self { throttler, admin, fault_injection: FaultInjection::default(), scrape: None }
    }

    /// The same, with fault injection or without it.
    #[must_use]
    pub const fn with_fault_injection(mut self, fault_injection: FaultInjection) -> Self {
        self.fault_injection = fault_injection;
        self
    }

    /// The same with `/metrics`, answered by `text` in the format of Prometheus: of the recorder that the process had installed when the node was started.
    #[must_use]
    pub fn with_metrics(mut self, text: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.scrape = Some(Scrape(Arc::new(text)));
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
    let (drain, draining) = watch::channel(false);
    let (services, health) = services(&served, draining.clone(), bounds).await;
    let port = Port::new(listener, services, port_bounds(bounds), draining);
    serve_until(shutdown, port, &served, drain, health).await;
}

/// Everything that is served of a node, and what tells of its health.
async fn services(served: &Served, draining: watch::Receiver<bool>, bounds: Bounds) -> (axum::Router, grpc::Health) {
    let (services, health) = grpc::services(served, draining.clone(), bounds).await;
    (http::routes(served, draining, services), health)
}

/// Serves a node on a port until `shutdown`, and ends all calls then.
async fn serve_until(
    shutdown: impl Future<Output = ()>,
    mut port: Port,
    served: &Served,
    drain: watch::Sender<bool>,
    health: grpc::Health,
) {
    let mut shutdown = pin!(shutdown);
    let mut node_stops = pin!(served.throttler.stopped());
    let mut is_serving = true;
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            () = &mut node_stops, if is_serving => {
                is_serving = false;
                health.set_not_serving().await;
            }
            never = port.serve() => match never {},
        }
    }
    let closed = port.close();
    drain.send_replace(true);
    health.end().await;
    closed.end(DRAINS_WITHIN).await;
}

const fn port_bounds(bounds: Bounds) -> port::Bounds {
    port::Bounds {
        max_connections: bounds.max_connections,
        speaks_within: SPEAKS_WITHIN,
        has_http1: true,
        max_streams_per_connection: bounds.max_streams_per_connection,
        stream_window_bytes: STREAM_WINDOW_BYTES,
        connection_window_bytes: CONNECTION_WINDOW_BYTES,
    }
}

/// How long the cluster has to take what is said to it.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

/// What the cluster answers to something that waits for a quorum only.
async fn told<T>(saying: impl Future<Output = T>) -> Result<T, Problem> {
    clock::timeout(TAKEN_WITHIN, saying).await.map_err(|late| Problem::no_quorum(&late))
}
