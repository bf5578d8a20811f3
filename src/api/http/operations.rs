//! What those ask who run a node: is it alive, has it started, is it ready, and its metrics.
//!
//! Promises: `/livez` answers as long as the process serves, whatever has become of the cluster: a restart would not bring a majority back. `/readyz` says why not,
//! as a problem with a reason for programs.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::sync::watch;

use super::error::Error;
use crate::admin::{Admin, NotReady};
use crate::api::problem::Problem;
use crate::api::{Scrape, Served};
use crate::clock;

/// How long the figures for a scrape may take: then it has those of the one before.
const MEASURED_WITHIN: Duration = Duration::from_secs(2);

/// What the routes need.
#[derive(Debug, Clone)]
struct Operations {
    admin: Admin,
    scrape: Option<Scrape>,
    draining: watch::Receiver<bool>,
}

/// Health and metrics of a node that serves.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(served: &Served, draining: watch::Receiver<bool>) -> Router<S> {
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
    Error::from(Problem::later("STARTING", "the node is starting: it opens its log and comes to its cluster".to_owned()))
        .into_response()
}

async fn ready(State(Operations { admin, draining, .. }): State<Operations>) -> Response {
    if *draining.borrow() {
        return Error::from(Problem::draining()).into_response();
    }
    match admin.ready() {
        Ok(()) => fine().await,
        Err(error) => Error::from(Problem::later(reason(&error), error.to_string())).into_response(),
    }
}

async fn metrics(State(Operations { admin, scrape, .. }): State<Operations>) -> Response {
    let Some(scrape) = scrape else {
        return Error::from(Problem::not_found("NO_METRICS", "this server was started without metrics")).into_response();
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
