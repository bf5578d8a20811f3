//! The port for peers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;

use super::link::MAX_MESSAGE_BYTES;
use super::server::Server;
use crate::port::{Bounds, Port};
use crate::wire::v1::peer_service_server::PeerServiceServer;

/// Each node keeps one connection to each other. Messages are large, and nodes are few.
const BOUNDS: Bounds = Bounds {
    max_connections: 256,
    speaks_within: Duration::from_secs(2),
    has_http1: false,
    max_streams_per_connection: 1024,
    stream_window_bytes: 1024 * 1024,
    connection_window_bytes: 4 * 1024 * 1024,
};

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

/// Serves peers until the node has ended, or it is dropped: whoever greets a node that is no more must find nobody.
pub(crate) async fn serve(server: Server, listener: TcpListener) {
    let node_ended = server.node_ended();
    let service = PeerServiceServer::new(server);
    let service = service.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES);
    // Nobody waits for the end of a call between nodes: it is asked again.
    let (_drain, draining) = watch::channel(false);
    let mut port = Port::new(listener, Routes::new(service).prepare().into_axum_router(), BOUNDS, draining);
    tokio::select! {
        never = port.serve() => match never {},
        () = node_ended => {}
    }
}
