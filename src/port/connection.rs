//! One connection: HTTP/2, and what keeps it from holding its place for nothing.
//!
//! Promises: who doesn't speak HTTP/2 in time, or has been gone without a word for 4 s, loses its place; who cancels a thousand calls at once
//! disturbs nobody.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::service::Routes;

use super::{Bounds, CalledFrom, stopping};
use crate::clock::{self, TimedOut};

/// What an HTTP/2 client says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a connection is quiet before it is asked whether it is alive, and how long it has to answer. Short, for what a peer that was cut off
/// waits for is kept from others: its slots would be granted into the void.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// The most bytes of a request's headers.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// Why a connection ended before it was one.
#[derive(Debug, Error)]
enum HandshakeError {
    #[error("it was lost: {0}")]
    Lost(#[from] io::Error),
    #[error("it said nothing: {0}")]
    Silent(#[from] TimedOut),
    #[error("it does not speak HTTP/2")]
    OtherProtocol,
}

/// Serves one connection until it ends, or the port is closed and its calls have ended. Gives its place back.
pub(super) async fn serve(
    stream: TcpStream,
    from: SocketAddr,
    place: OwnedSemaphorePermit,
    services: Routes,
    mut draining: watch::Receiver<bool>,
    bounds: Bounds,
) {
    let greeted = tokio::select! {
        greeted = greet(stream, bounds.speaks_within) => greeted,
        () = stopping(&mut draining) => return,
    };
    let io = match greeted {
        Ok(greeted) => TokioIo::new(greeted),
        Err(error) => {
            tracing::debug!(%error, "a connection was refused");
            return;
        }
    };
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
    // Its calls are tasks of the executor; each ends as soon as the connection is gone, with the wait that it holds.
    let services = TowerToHyperService::new(services);
    let services = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(CalledFrom(from));
        services.call(request)
    });
    let mut serving = pin!(http2.serve_connection(io, services));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stopping(&mut draining) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
    drop(place);
}

/// Reads the preface, so that nobody keeps a place without a word of HTTP/2.
async fn greet(mut stream: TcpStream, speaks_within: Duration) -> Result<Greeted, HandshakeError> {
    stream.set_nodelay(true)?;
    let mut first = [0; PREFACE.len()];
    clock::timeout(speaks_within, stream.read_exact(&mut first)).await??;
    if &first != PREFACE {
        return Err(HandshakeError::OtherProtocol);
    }
    Ok(Greeted { stream, unread: PREFACE })
}

/// A connection whose preface was read and is to be read again.
#[derive(Debug)]
struct Greeted {
    stream: TcpStream,
    unread: &'static [u8],
}

impl AsyncRead for Greeted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let (now, later) = self.unread.split_at(self.unread.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.unread = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
