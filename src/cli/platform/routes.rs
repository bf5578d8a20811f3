//! The emulator's HTTP side: a call, and the report.
//!
//! Promises: a call is counted at the moment its handler starts, by one clock for all connections.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::json;

use super::connection::Connection;
use super::report::Report;
use super::window::{Decision, Window};
use crate::cli::connections::ConnectionSpec;
use crate::cli::time::Stopwatch;

/// The header that carries a request's id.
pub(crate) const REQUEST_ID: &str = "x-request-id";

/// The longest request id that is recorded, in bytes.
const LONGEST_ID: usize = 128;

/// All connections of all platforms and the clock they are counted by.
#[derive(Debug)]
pub(super) struct Platforms {
    clock: Stopwatch,
    /// In the order of the connections file.
    connections: Vec<Named>,
    /// platform → connection → its place in `connections`.
    places: HashMap<String, HashMap<String, usize>>,
}

#[derive(Debug)]
struct Named {
    platform: String,
    connection: String,
    state: Mutex<Connection>,
}

impl Platforms {
    /// Starts the clock. `None` if a limit counts more than this machine can address.
    pub(super) fn new(specs: Vec<ConnectionSpec>) -> Option<Self> {
        let mut connections = Vec::with_capacity(specs.len());
        let mut places: HashMap<String, HashMap<String, usize>> = HashMap::new();
        for (place, spec) in specs.into_iter().enumerate() {
            let state = Mutex::new(Connection::new(Window::new(&spec.limits)?));
            places.entry(spec.platform.clone()).or_default().insert(spec.connection.clone(), place);
            connections.push(Named { platform: spec.platform, connection: spec.connection, state });
        }
        Some(Self { clock: Stopwatch::start(), connections, places })
    }

    fn call(&self, platform: &str, connection: &str, id: Option<&str>) -> Option<Decision> {
        let place = *self.places.get(platform)?.get(connection)?;
        let mut state = self.connections.get(place)?.state.lock();
        // Read under the lock, so that stamps enter the window in ascending order.
        let now = self.clock.elapsed();
        Some(state.call(now, id))
    }

    fn report(&self) -> Report {
        let report = |named: &Named| named.state.lock().report(&named.platform, &named.connection);
        Report { connections: self.connections.iter().map(report).collect() }
    }
}

/// The routes over these platforms.
pub(super) fn router(platforms: Arc<Platforms>) -> Router {
    Router::new()
        .route("/_report", get(report))
        .route("/{platform}/{connection}", get(call_bare))
        .route("/{platform}/{connection}/{*rest}", get(call))
        .with_state(platforms)
}

async fn report(State(platforms): State<Arc<Platforms>>) -> Json<Report> {
    Json(platforms.report())
}

async fn call_bare(
    State(platforms): State<Arc<Platforms>>,
    Path((platform, connection)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&platforms, &platform, &connection, &headers)
}

async fn call(
    State(platforms): State<Arc<Platforms>>,
    Path((platform, connection, _rest)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&platforms, &platform, &connection, &headers)
}

fn answer(platforms: &Platforms, platform: &str, connection: &str, headers: &HeaderMap) -> Response {
    let id = match headers.get(REQUEST_ID).map(|value| value.to_str()) {
        None => None,
        Some(Ok(id)) if id.len() <= LONGEST_ID => Some(id),
        Some(_) => {
            let error = format!("{REQUEST_ID} must be at most {LONGEST_ID} bytes of visible ASCII");
            return (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
        }
    };
    match platforms.call(platform, connection, id) {
        None => {
            let error = format!("no connection {platform}/{connection}");
            (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response()
        }
        Some(Decision::Accepted) => Json(json!({ "ok": true })).into_response(),
        Some(Decision::Refused { retry_after }) => {
            // The header counts whole seconds; rounded up, or a caller would come too early.
            let whole = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            let body = json!({
                "ok": false,
                "error": "rate limited",
                "retry_after_seconds": retry_after.as_secs_f64(),
            });
            let header = [(header::RETRY_AFTER, whole.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, header, Json(body)).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::connections;

    const CONNECTIONS: &str = r#"
        [[connection]]
        platform = "slack"
        connection = "acme"
        limits = [{ requests = 1, window_seconds = 3600 }]
    "#;

    fn platforms() -> Arc<Platforms> {
        let specs = connections::parse(CONNECTIONS).expect("the text is right");
        Arc::new(Platforms::new(specs).expect("a small count"))
    }

    fn status(platforms: &Platforms, connection: &str) -> (StatusCode, Option<String>) {
        let response = answer(platforms, "slack", connection, &HeaderMap::new());
        let retry = response.headers().get(header::RETRY_AFTER);
        let retry = retry.and_then(|value| value.to_str().ok()).map(str::to_owned);
        (response.status(), retry)
    }

    #[test]
    fn a_call_over_the_limit_is_told_when_to_come_back() {
        let platforms = platforms();
        assert_eq!(status(&platforms, "acme"), (StatusCode::OK, None));
        let later = Some("3600".to_owned());
        assert_eq!(status(&platforms, "acme"), (StatusCode::TOO_MANY_REQUESTS, later));
        let report = platforms.report();
        let counts = report.connections.iter().map(|one| (one.accepted, one.refused, one.worst_fill));
        assert_eq!(counts.collect::<Vec<_>>(), [(1, 1, 1.0)]);
    }

    #[test]
    fn an_unknown_connection_is_not_found() {
        assert_eq!(status(&platforms(), "nobody").0, StatusCode::NOT_FOUND);
    }

    #[test]
    fn an_endless_request_id_is_refused_uncounted() {
        let platforms = platforms();
        let mut headers = HeaderMap::new();
        let id = "x".repeat(LONGEST_ID + 1).parse().expect("visible ASCII");
        headers.insert(REQUEST_ID, id);
        let response = answer(&platforms, "slack", "acme", &headers);
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(status(&platforms, "acme").0, StatusCode::OK);
    }
}
