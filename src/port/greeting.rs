//! The first bytes of a connection, which tell what its client speaks.
//!
//! Promises: nobody keeps a place without a word; what was read to find out is read again by who serves the connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::clock::{self, TimedOut};

/// What an HTTP/2 client says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a connection is quiet before the system asks whether its other end is there, how often, and how many times without an answer.
const ASKED_AFTER: Duration = Duration::from_secs(15);
const ASKED_EVERY: Duration = Duration::from_secs(5);
const ASKED_TIMES: u32 = 3;

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/2: gRPC, and whoever knows that it is spoken here.
    Http2,
    /// Anything else, which is taken for HTTP/1.1.
    Http1,
}

/// Why a connection ended before it was one.
#[derive(Debug, Error)]
pub(super) enum GreetingError {
    #[error("it was lost: {0}")]
    Lost(#[from] io::Error),
    #[error("it said nothing: {0}")]
    Silent(#[from] TimedOut),
}

/// A connection whose first bytes were read and are to be read again.
#[derive(Debug)]
pub(super) struct Greeted {
    stream: TcpStream,
    first: [u8; PREFACE.len()],
    read: usize,
    /// How many of those were read again.
    again: usize,
}

/// Reads as much as tells which protocol it is.
///
/// # Errors
/// When the client says too little within so long, or is gone.
pub(super) async fn greet(stream: TcpStream, speaks_within: Duration) -> Result<(Protocol, Greeted), GreetingError> {
    stream.set_nodelay(true)?;
    notice_silence(&stream)?;
    let mut greeted = Greeted { stream, first: [0; PREFACE.len()], read: 0, again: 0 };
    let protocol = clock::timeout(speaks_within, greeted.recognise()).await??;
    Ok((protocol, greeted))
}

/// Has the system ask whether the other end is there: by HTTP/1.1 nobody else does, while a request waits for its answer.
fn notice_silence(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, ASKED_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, ASKED_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, ASKED_TIMES)?;
    Ok(())
}

impl Greeted {
    async fn recognise(&mut self) -> io::Result<Protocol> {
        loop {
            let rest = self.first.get_mut(self.read..).unwrap_or_default();
            match self.stream.read(rest).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => self.read += more,
            }
            match PREFACE.strip_prefix(self.first.get(..self.read).unwrap_or_default()) {
                None => return Ok(Protocol::Http1),
                Some([]) => return Ok(Protocol::Http2),
                Some(_) => {}
            }
        }
    }
}

impl AsyncRead for Greeted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, first, read, again } = &mut *self;
        let unread = first.get(*again..*read).unwrap_or_default();
        if unread.is_empty() {
            return Pin::new(stream).poll_read(cx, buffer);
        }
        let now = unread.get(..unread.len().min(buffer.remaining())).unwrap_or_default();
        buffer.put_slice(now);
        *again += now.len();
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
