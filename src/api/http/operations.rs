//! What those ask who run a node: is it alive, has it started, is it ready, and its metrics.
//!
//! Promises: `/livez` answers as long as the process serves, whatever has become of the cluster: a restart would not bring a majority back. `/readyz` says why not,
//! as a problem with a reason for programs.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use std::time::Duration;
use tokio::sync::watch;

use crate::admin::{Admin, NotReady};
use crate::api::{Scrape, Served};
use crate::clock;

/// How long the figures for a scrape may take: then it has those of the one before.
const MEASURED_WITHIN: Duration = Duration::from_secs(2);

/// When to ask again.
const RETRY_AFTER_SECONDS: &str = "1";

/// What the routes need.
#[derive(Debug, Clone)]
struct Operations {
    admin: Admin,
    scrape: Option<Scrape>,
    draining: watch::Receiver<bool>,
}

/// Health and metrics of a node that serves.
pub(super) fn routes(served: &Served, draining: watch::Receiver<bool>) -> Router {
    let (admin, scrape) = (served.admin.clone(), served.scrape.clone());
    Router::new()
        .route("/livez", get(fine))
        .route("/startz", get(fine))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Operations { admin, scrape, draining })
}

/// Health of a node that starts. Everything else is not there yet.
pub(in crate::api) fn routes_of_a_start() -> Router {
    Router::new().route("/livez", get(fine)).fallback(starting)
}

async fn fine() -> Response {
    axum::Json(json!({ "status": "ok" })).into_response()
}

async fn starting() -> Response {
    unavailable("STARTING", "the node is starting: it opens its log and comes to its cluster")
}

async fn ready(State(Operations { admin, draining, .. }): State<Operations>) -> Response {
    if *draining.borrow() {
        return unavailable("SERVER_STOPPING", "the server is stopping");
    }
    match admin.ready() {
        Ok(()) => fine().await,
        Err(error) => unavailable(reason(&error), &error.to_string()),
    }
}

async fn metrics(State(Operations { admin, scrape, .. }): State<Operations>) -> Response {
    let Some(scrape) = scrape else {
        return problem(StatusCode::NOT_FOUND, "NO_METRICS", "this server was started without metrics");
    };
    if let Err(error) = clock::timeout(MEASURED_WITHIN, admin.measure()).await {
        tracing::debug!(%error, "the metrics of a scrape are in part those of the one before");
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], scrape.text()).into_response()
}

const fn reason(error: &NotReady) -> &'static str {
    match error {
        NotReady::Stopped { .. } => "NODE_STOPPED",
        NotReady::Draining => "DRAINING",
        NotReady::NoOwner => "NO_OWNER",
        NotReady::NoQuorum => "NO_QUORUM",
    }
}

fn unavailable(reason: &'static str, detail: &str) -> Response {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, reason, detail);
    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static(RETRY_AFTER_SECONDS));
    response
}

/// RFC 9457.
fn problem(status: StatusCode, reason: &'static str, detail: &str) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
        "reason": reason,
    });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}
