//! A port: services on a listener, for whoever connects.
//!
//! Promises: connections, and what each may hold, stay within [`Bounds`]; nobody who connects can end the port or keep others from it for good.
//! Must not: know what is served.

mod connection;
mod greeting;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};

use crate::clock;

/// The pause after a connection could not be accepted, which is when the process is out of descriptors: one that ends gives some back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What bounds a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The most connections; further ones wait in the listener's backlog.
    pub max_connections: usize,
    /// How long who connects has for the first word.
    pub speaks_within: Duration,
    /// Whether HTTP/1.1 is spoken beside HTTP/2.
    pub has_http1: bool,
    /// The most calls at once on one connection; a client waits before it begins another.
    pub max_streams_per_connection: u32,
    /// What may be sent on one stream before it is read.
    pub stream_window_bytes: u32,
    /// What may be sent on all of a connection before it is read.
    pub connection_window_bytes: u32,
}

/// Where a call came from: an extension of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CalledFrom(pub SocketAddr);

/// Services on a listener. Dropping it cuts all connections.
#[derive(Debug)]
pub(crate) struct Port {
    listener: TcpListener,
    stage: Arc<Mutex<Stage>>,
    bounds: Bounds,
    places: Arc<Semaphore>,
    connections: JoinSet<()>,
    /// How many connections could not be accepted since the last that could.
    failures: u32,
}

/// What a connection is served that has said its first word now.
#[derive(Debug, Clone)]
struct Stage {
    services: Router,
    draining: watch::Receiver<bool>,
}

impl Port {
    /// Services on this listener. When `draining` turns true, each connection ends as soon as its calls have.
    pub(crate) fn new(listener: TcpListener, services: Router, bounds: Bounds, draining: watch::Receiver<bool>) -> Self {
        let places = Arc::new(Semaphore::new(bounds.max_connections.min(Semaphore::MAX_PERMITS)));
        let stage = Arc::new(Mutex::new(Stage { services, draining }));
        Self { listener, stage, bounds, places, connections: JoinSet::new(), failures: 0 }
    }

    /// Serves others from now on. The former `draining` may turn true then: nobody loses a connection by it who has not been answered yet.
    #[cfg(feature = "cli")]
    pub(crate) fn replace(&self, services: Router, draining: watch::Receiver<bool>) {
        *self.stage.lock() = Stage { services, draining };
    }

    /// Accepts connections and serves them. Cancel-safe: called again, it goes on.
    pub(crate) async fn serve(&mut self) -> Infallible {
        loop {
            tokio::select! {
                // Cancel-safe: what is lost is a place in a queue of one.
                accepted = accept(&self.listener, &self.places) => match accepted {
                    Ok((stream, from, place)) => {
                        self.failures = 0;
                        let stage = Arc::clone(&self.stage);
                        self.connections.spawn(connection::serve(stream, from, place, stage, self.bounds));
                    }
                    Err(error) => {
                        // For ever, if need be: a client that takes all descriptors must not end the server.
                        self.failures = self.failures.saturating_add(1);
                        if self.failures.is_power_of_two() {
                            tracing::warn!(%error, failures = self.failures, "a connection could not be accepted; trying again");
                        }
                        clock::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = self.connections.join_next() => log_panic(ended),
            }
        }
    }

    /// Accepts nobody any more.
    #[cfg(feature = "cli")]
    pub(crate) fn close(self) -> Closed {
        Closed { connections: self.connections }
    }
}

/// A port that accepts nobody any more, and the connections that it has still.
#[derive(Debug)]
#[cfg(feature = "cli")]
pub(crate) struct Closed {
    connections: JoinSet<()>,
}

#[cfg(feature = "cli")]
impl Closed {
    /// Waits until all connections have ended; cuts those that do not within `span`.
    pub(crate) async fn end(mut self, span: Duration) {
        let all_ended = async {
            while let Some(ended) = self.connections.join_next().await {
                log_panic(ended);
            }
        };
        if clock::timeout(span, all_ended).await.is_err() {
            tracing::warn!(open = self.connections.len(), "connections that did not end in time are cut");
        }
        self.connections.shutdown().await;
    }
}

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, from) = listener.accept().await?;
    Ok((stream, from, place))
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the task of a connection ended abnormally");
    }
}

/// Waits until the port is to end. Cancel-safe.
pub(crate) async fn stopping(draining: &mut watch::Receiver<bool>) {
    // A sender that is gone has stopped, too.
    drop(draining.wait_for(|draining| *draining).await);
}
