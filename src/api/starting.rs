//! What is answered while a node starts: that it lives, and that everything else is still to come.

use axum::Router;
use axum::extract::Request;
use axum::http::header;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::Status;

use super::{Bounds, ENDS_BEFORE_SERVING, http, port_bounds};
use crate::port::Port;

/// Answers on `listener` while `start` runs: `/livez` with 200, everything else with 503 or UNAVAILABLE. Returns what that came to, and the listener: whoever connects
/// from then on waits for who serves it next.
pub async fn serve_while_starting<T>(listener: TcpListener, start: impl Future<Output = T>) -> (T, TcpListener) {
    let (drain, draining) = watch::channel(false);
    let mut port = Port::new(listener, routes(), port_bounds(Bounds::default()), draining);
    let started = tokio::select! {
        started = start => started,
        never = port.serve() => match never {},
    };
    let (closed, listener) = port.hand_over();
    // Who has asked while it started asks again on a connection of its own.
    drain.send_replace(true);
    closed.end(ENDS_BEFORE_SERVING).await;
    (started, listener)
}

fn routes() -> Router {
    http::routes_of_a_start().layer(from_fn(for_grpc))
}

/// What a client of gRPC reads: an HTTP status would be worded by its library.
async fn for_grpc(request: Request, next: Next) -> Response {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        return Status::unavailable("the node is starting").into_http();
    }
    next.run(request).await
}
