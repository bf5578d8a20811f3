//! `POST /v1/acquire`, which waits, `POST /v1/try`, which doesn't, and `GET /v1/explain`.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;

use super::Shared;
use super::body::Body;
use super::error::Error;
use super::message::{AcquireBody, Granted, key, request_id};
use super::query::Query;
use crate::api::answer::{Answer, Mode, answer};
use crate::api::problem::Problem;
use crate::api::stopping;
use crate::wire::throttle::ParsedAcquire;

/// How often a stream says that it still waits, for proxies that cut connections on which nothing is said.
const SAYS_EVERY: Duration = Duration::from_secs(10);

/// What a client asks for that wants to hear that it still waits.
const EVENTS: &str = "text/event-stream";

/// How a request stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    position: usize,
    ahead: Vec<Ahead>,
    /// `None` when it can't be served as things stand.
    estimated_wait_seconds: Option<f64>,
    waited_seconds: f64,
}

#[derive(Debug, Serialize)]
struct Ahead {
    niceness: u32,
    count: usize,
}

pub(super) async fn acquire(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Body(body): Body<AcquireBody>,
) -> Result<Response, Error> {
    let parsed = body.parse()?;
    let wants_events = headers.get_all(header::ACCEPT).iter().any(|kind| kind.to_str().is_ok_and(|kind| kind.contains(EVENTS)));
    if wants_events {
        return Ok(events(shared, parsed));
    }
    Ok(Json(granted(shared, parsed, Mode::Wait).await?).into_response())
}

pub(super) async fn try_acquire(State(shared): State<Shared>, Body(body): Body<AcquireBody>) -> Result<Json<Granted>, Error> {
    Ok(Json(granted(shared, body.parse_try()?, Mode::Try).await?))
}

pub(super) async fn explain(State(shared): State<Shared>, query: Query) -> Result<Response, Error> {
    let query = query.only(&["platform", "connection", "requestId"])?;
    let key = key(query.required("platform")?, query.required("connection")?)?;
    let id = request_id("requestId", query.required("requestId")?)?;
    let explained = shared.throttler.explain_key(&key, id).await.map_err(|error| Error::of_acquire(&error))?;
    let explained = explained.ok_or_else(Problem::not_waiting)?;
    let ahead = explained.ahead.iter().map(|(niceness, count)| Ahead { niceness: niceness.get(), count: *count });
    Ok(Json(Explained {
        position: explained.position,
        ahead: ahead.collect(),
        estimated_wait_seconds: explained.estimated_wait.map(|span| span.as_secs_f64()),
        waited_seconds: explained.waited.as_secs_f64(),
    })
    .into_response())
}

/// Waits in the caller's own future: when that is dropped, the wait leaves the queue.
async fn granted(shared: Shared, parsed: ParsedAcquire, mode: Mode) -> Result<Granted, Error> {
    let (limits, mut draining) = (parsed.limits.clone(), shared.draining);
    let answer = tokio::select! {
        answer = answer(shared.throttler, parsed, mode) => answer,
        () = stopping(&mut draining) => return Err(Problem::draining().into()),
    };
    match answer.map_err(|error| Error::of_acquire(&error))? {
        Answer::Granted(permit) => Ok(Granted::from(&*permit)),
        Answer::Throttled(retry_after) => Err(Error::not_now(retry_after, limits)),
    }
}

/// The same as a stream of events: comments while it waits, and then one event, `granted` or `problem`.
fn events(shared: Shared, parsed: ParsedAcquire) -> Response {
    let event = async move {
        let event = match granted(shared, parsed, Mode::Wait).await {
            Ok(granted) => Event::default().event("granted").json_data(granted).unwrap_or_default(),
            Err(error) => Event::default().event("problem").data(error.json()),
        };
        Ok::<_, Infallible>(event)
    };
    let keep_alive = KeepAlive::new().interval(SAYS_EVERY).text("waiting");
    Sse::new(stream::once(event)).keep_alive(keep_alive).into_response()
}
