//! HTTP/JSON beside gRPC on one port, by the field names that callers of `throttle` know. What it takes and answers is in `openapi.json`, which it serves.
//!
//! Promises: whatever comes, the answer is JSON, and an error a problem (RFC 9457) that names the field; a client that goes away leaves the queue.
//! Must not: decide anything. What an error is called is in `api::problem`.

mod acquire;
mod body;
mod cluster;
mod connections;
mod error;
mod limits;
mod message;
mod operations;
mod permit;
mod query;
mod value;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::watch;
use tonic::codegen::Service as _;

use self::error::Error;
pub(super) use self::operations::routes_of_a_start;
use super::Served;
use crate::admin::Admin;
use crate::client::Throttler;

/// The description of everything here.
const OPENAPI: &str = include_str!("openapi.json");

/// What the handlers share.
#[derive(Debug, Clone)]
struct Shared {
    throttler: Throttler,
    admin: Admin,
    draining: watch::Receiver<bool>,
}

/// All routes, and gRPC's behind them.
pub(super) fn routes(served: &Served, draining: watch::Receiver<bool>, grpc: Router) -> Router {
    let (throttler, admin) = (served.throttler.clone(), served.admin.clone());
    let operations = operations::routes(served, draining.clone());
    let shared = Shared { throttler, admin, draining };
    let one_connection = "/v1/connections/{platform}/{connection}";
    Router::new()
        .route("/v1/acquire", post(acquire::acquire))
        .route("/v1/try", post(acquire::try_acquire))
        .route("/v1/release", post(permit::release))
        .route("/v1/reconcile", post(permit::reconcile))
        .route("/v1/explain", get(acquire::explain))
        .route("/v1/limits", get(limits::list))
        .route("/v1/limits/{platform}/{connection}", get(limits::get).put(limits::set).delete(limits::delete))
        .route("/v1/connections", get(connections::busiest))
        .route(one_connection, get(connections::one))
        .route(&format!("{one_connection}/pause"), post(connections::pause))
        .route(&format!("{one_connection}/resume"), post(connections::resume))
        .route(&format!("{one_connection}/penalize"), post(connections::penalize))
        .route("/v1/cluster", get(cluster::status))
        .with_state(shared)
        .merge(operations)
        .route("/openapi.json", get(async || ([(header::CONTENT_TYPE, "application/json")], OPENAPI)))
        .method_not_allowed_fallback(async || Error::wrong_method())
        .fallback(fallback)
        .with_state(grpc)
}

/// What is none of these is gRPC, or nothing.
async fn fallback(State(mut grpc): State<Router>, request: Request) -> Response {
    if is_grpc(request.uri(), request.headers()) {
        match grpc.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    } else {
        Error::unknown_path(request.uri().path()).into_response()
    }
}

fn is_grpc(uri: &Uri, headers: &HeaderMap) -> bool {
    let has_its_type = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    has_its_type || ["/turnstile.v1.", "/grpc."].iter().any(|service| uri.path().starts_with(service))
}
