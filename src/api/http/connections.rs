//! `/v1/connections…`: how connections are, and what an operator does to one.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::body::Body;
use super::error::Error;
use super::limits::Rule;
use super::message::{JsonLimit, key, span};
use super::query::{Query, Segments};
use crate::admin::Busiest;
use crate::api::problem::Problem;
use crate::api::told;
use crate::engine::grant::NodeId;
use crate::engine::shard::{ConnectionReport, Pause};

/// The most connections that are told of at once, and how many when nobody says.
const MAX_TOP: u32 = 1_000;
const DEFAULT_TOP: u32 = 20;

/// The longest penalty.
const LONGEST_PENALTY: Duration = Duration::from_secs(7 * 24 * 3600);

/// The busiest connections.
#[derive(Debug, Serialize)]
pub(super) struct Connections {
    connections: Vec<Connection>,
    /// Owners that have not answered.
    missing: Vec<String>,
}

/// One connection.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connection {
    platform: String,
    connection: String,
    owner: String,
    waiting: Vec<Waiting>,
    limits: Vec<Fill>,
    is_paused: bool,
    paused_for_seconds: Option<f64>,
    longest_wait_seconds: Option<f64>,
    /// The limits that were set and rule, where one connection was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Rule>,
}

#[derive(Debug, Serialize)]
struct Waiting {
    niceness: u32,
    count: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fill {
    rate_limit: JsonLimit,
    used: u64,
}

/// How long to let nothing through.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PenaltyBody {
    seconds: f64,
}

impl From<(NodeId, ConnectionReport)> for Connection {
    fn from((owner, report): (NodeId, ConnectionReport)) -> Self {
        Self {
            platform: report.key.platform().to_owned(),
            connection: report.key.connection().to_owned(),
            owner: owner.to_string(),
            waiting: report.waiting.iter().map(|(niceness, count)| Waiting { niceness: niceness.get(), count: *count }).collect(),
            limits: report.limits.iter().map(|(limit, used)| Fill { rate_limit: limit.into(), used: *used }).collect(),
            is_paused: report.pause.is_some(),
            paused_for_seconds: match report.pause {
                Some(Pause::For(span)) => Some(span.as_secs_f64()),
                Some(Pause::UntilResumed) | None => None,
            },
            longest_wait_seconds: report.longest_wait.map(|span| span.as_secs_f64()),
            rule: None,
        }
    }
}

pub(super) async fn busiest(State(shared): State<Shared>, query: Query) -> Result<Json<Connections>, Error> {
    let top = query.only(&["top"])?.number("top", DEFAULT_TOP, MAX_TOP)?;
    let Busiest { connections, missing } = shared.admin.busiest(usize::try_from(top).unwrap_or(usize::MAX)).await;
    let missing = missing.iter().map(NodeId::to_string).collect();
    Ok(Json(Connections { connections: connections.into_iter().map(Connection::from).collect(), missing }))
}

pub(super) async fn one(
    State(shared): State<Shared>,
    Segments([platform, connection]): Segments<2>,
) -> Result<Json<Connection>, Error> {
    let key = key(&platform, &connection)?;
    let found = shared.admin.connection(&key).await.map_err(|error| Problem::of_admin(&error))?;
    let rule = shared.admin.limits(&key).await.map_err(|error| Problem::of_admin(&error))?;
    Ok(Json(Connection { rule: rule.map(Rule::from), ..found.into() }))
}

pub(super) async fn pause(
    State(shared): State<Shared>,
    Segments([platform, connection]): Segments<2>,
) -> Result<StatusCode, Error> {
    let key = key(&platform, &connection)?;
    told(shared.throttler.pause(&key)).await?.map_err(|error| Error::of_acquire(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn resume(
    State(shared): State<Shared>,
    Segments([platform, connection]): Segments<2>,
) -> Result<StatusCode, Error> {
    let key = key(&platform, &connection)?;
    told(shared.throttler.resume(&key)).await?.map_err(|error| Error::of_acquire(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn penalize(
    State(shared): State<Shared>,
    Segments([platform, connection]): Segments<2>,
    Body(body): Body<PenaltyBody>,
) -> Result<StatusCode, Error> {
    let (key, pause) = (key(&platform, &connection)?, span("seconds", body.seconds, LONGEST_PENALTY)?);
    told(shared.throttler.penalize_key(&key, pause)).await?.map_err(|error| Error::of_acquire(&error))?;
    Ok(StatusCode::NO_CONTENT)
}
