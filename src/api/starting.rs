//! What is answered while a node starts: that it lives, and that everything else is still to come.

use std::future::Future;

use axum::Router;
use axum::extract::Request;
use axum::http::header;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::Status;

use super::{Bounds, Served, http, port_bounds, serve_until, services};
use crate::port::Port;

/// A listener whose node starts. Whoever calls is told so: `/livez` is answered with 200, everything else with 503 or UNAVAILABLE.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use turnstile::api::{Served, Starting};
///
/// let mut starting = Starting::on(tokio::net::TcpListener::bind("127.0.0.1:7878").await?);
/// let node = starting.until(turnstile::Node::start(turnstile::NodeConfig::in_memory())).await?;
/// starting.serve(Served::new(node.throttler(), node.admin()), async { drop(node.stopped().await) }).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Starting {
    port: Port,
    drain: watch::Sender<bool>,
}

impl Starting {
    /// Nobody is answered before [`Starting::until`].
    #[must_use]
    pub fn on(listener: TcpListener) -> Self {
        let (drain, draining) = watch::channel(false);
        let services = http::routes_of_a_start().layer(from_fn(for_grpc));
        Self { port: Port::new(listener, services, port_bounds(Bounds::default()), draining), drain }
    }

    /// Answers while `start` runs, and returns what that came to. Cancel-safe.
    pub async fn until<T>(&mut self, start: impl Future<Output = T>) -> T {
        tokio::select! {
            started = start => started,
            never = self.port.serve() => match never {},
        }
    }

    /// Serves a node, within the default [`Bounds`], as [`serve`](super::serve) does. Connections of before end as soon as what was asked there is answered.
    pub async fn serve(self, served: Served, shutdown: impl Future<Output = ()>) {
        let (drain, draining) = watch::channel(false);
        let (services, health): (Router, _) = services(&served, draining.clone(), Bounds::default()).await;
        self.port.replace(services, draining);
        self.drain.send_replace(true);
        serve_until(shutdown, self.port, &served, drain, health).await;
    }
}

/// What a client of gRPC reads: an HTTP status would be worded by its library.
async fn for_grpc(request: Request, next: Next) -> Response {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        return Status::unavailable("the node is starting").into_http();
    }
    next.run(request).await
}
