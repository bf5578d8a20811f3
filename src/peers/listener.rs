//! The port for peers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

use super::link::MAX_MESSAGE_BYTES;
use super::server::Server;
use crate::wire::v1::peer_service_server::PeerServiceServer;

/// How long a connection is quiet before it is asked whether it is alive, and how long it has to answer.
const KEEPALIVE: Duration = Duration::from_secs(2);

/// The most calls at once on one connection.
const MAX_STREAMS: u32 = 1024;

/// The address for peers can't be used.
#[derive(Debug, Error)]
#[error("this node's peers could not reach it: {address}: {source}")]
pub struct BindError {
    /// Where it was to listen.
    address: SocketAddr,
    /// What the system said.
    source: io::Error,
}

/// Takes the address for peers.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { address, source })
}

/// Serves peers until it is dropped.
pub(crate) async fn serve(server: Server, listener: TcpListener) {
    let service = PeerServiceServer::new(server);
    let service = service.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES);
    let served = tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(Some(MAX_STREAMS))
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "peers are served no more");
    }
}
