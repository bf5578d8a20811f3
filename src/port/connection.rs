//! One connection: HTTP, and what keeps it from holding its place for nothing.
//!
//! Promises: who says nothing in time, or has been gone without a word for a while (4 s by HTTP/2, a minute by HTTP/1.1), loses its place; who cancels a thousand
//! calls at once disturbs nobody; a call ends as soon as its client is gone.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::greeting::{Protocol, greet};
use super::{Bounds, CalledFrom, Stage, stopping};

/// How long an HTTP/2 connection is quiet before it is asked whether it is alive, and how long it has to answer. Short, for what a peer that was cut off
/// waits for is kept from others: its slots would be granted into the void.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an HTTP/1.1 connection may be without a whole request: between two, and while one begins.
const IDLE_WITHIN: Duration = Duration::from_secs(60);

/// The most bytes of a request's headers.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// Serves one connection until it ends, or the port is closed and its calls have ended. Gives its place back.
pub(super) async fn serve(
    stream: TcpStream,
    from: SocketAddr,
    place: OwnedSemaphorePermit,
    stage: Arc<Mutex<Stage>>,
    bounds: Bounds,
) {
    let current = || stage.lock().clone();
    let mut greeting = pin!(greet(stream, bounds.speaks_within));
    let greeted = loop {
        let mut draining = current().draining;
        tokio::select! {
            greeted = greeting.as_mut() => break greeted,
            () = stopping(&mut draining) => {}
        }
        // There may be others by now who serve it.
        let draining = current().draining;
        if *draining.borrow() || draining.has_changed().is_err() {
            return;
        }
    };
    let Stage { services, draining } = current();
    let services = TowerToHyperService::new(services);
    // Each call ends as soon as the connection is gone, with the wait that it holds.
    let services = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(CalledFrom(from));
        services.call(request)
    });
    match greeted {
        Ok((Protocol::Http2, greeted)) => {
            let serving = http2_of(bounds).serve_connection(TokioIo::new(greeted), services);
            until_drained(serving, http2::Connection::graceful_shutdown, draining).await;
        }
        Ok((Protocol::Http1, greeted)) if bounds.has_http1 => {
            let serving = http1().serve_connection(TokioIo::new(greeted), services);
            until_drained(serving, http1::Connection::graceful_shutdown, draining).await;
        }
        Ok((Protocol::Http1, _)) => tracing::debug!("a connection was refused: it does not speak HTTP/2"),
        Err(error) => tracing::debug!(%error, "a connection was refused"),
    }
    drop(place);
}

fn http2_of(bounds: Bounds) -> http2::Builder<TokioExecutor> {
    let streams = bounds.max_streams_per_connection;
    // As many calls as may be open may be cancelled at once; with the default, 20, h2 ends the connection for all of them.
    let resets = usize::try_from(streams).unwrap_or(usize::MAX);
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(streams)
        .max_pending_accept_reset_streams(resets)
        .max_local_error_reset_streams(resets)
        .max_header_list_size(MAX_HEADER_BYTES)
        .initial_stream_window_size(bounds.stream_window_bytes)
        .initial_connection_window_size(bounds.connection_window_bytes);
    http2
}

fn http1() -> http1::Builder {
    let mut http1 = http1::Builder::new();
    // A client that closes its side is gone: its call ends.
    http1.timer(TokioTimer::new()).header_read_timeout(IDLE_WITHIN).half_close(false);
    http1.max_buf_size(usize::try_from(MAX_HEADER_BYTES).unwrap_or(usize::MAX));
    http1
}

/// Runs a connection to its end, which comes with that of its calls when the port is closed.
async fn until_drained<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    shut_down: impl FnOnce(Pin<&mut C>),
    mut draining: watch::Receiver<bool>,
) {
    let mut serving = pin!(connection);
    let ended = tokio::select! {
        // What was asked already is answered, also by a port that is closed at this moment.
        biased;
        ended = serving.as_mut() => ended,
        () = stopping(&mut draining) => {
            shut_down(serving.as_mut());
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}
