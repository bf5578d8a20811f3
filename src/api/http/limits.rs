//! `/v1/limits…`: the limits that operators set, which rule over callers'.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::Shared;
use super::body::Body;
use super::error::Error;
use super::message::{JsonLimit, LimitsBody, key};
use super::query::{Query, Segments};
use crate::api::problem::Problem;
use crate::engine::pattern::LimitPattern;
use crate::engine::rate::Limits;
use crate::wire::admin::{Page, next_page_token, page};
use crate::wire::fields::BadField;

/// The most limits on one page.
const MAX_PAGE: u32 = 1_000;

/// Limits, and where they rule.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rule {
    platform: String,
    connection: String,
    rate_limits: Vec<JsonLimit>,
}

/// What came of setting limits.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Set {
    has_replaced: bool,
}

/// A page of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    limits: Vec<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

impl From<(LimitPattern, Limits)> for Rule {
    fn from((pattern, limits): (LimitPattern, Limits)) -> Self {
        let (platform, connection) = (pattern.platform().to_owned(), pattern.connection().to_owned());
        Self { platform, connection, rate_limits: limits.iter().map(JsonLimit::from).collect() }
    }
}

pub(super) async fn list(State(shared): State<Shared>, query: Query) -> Result<Json<Listed>, Error> {
    let query = query.only(&["platform", "pageSize", "pageToken"])?;
    let size = query.number("pageSize", MAX_PAGE, MAX_PAGE)?;
    let wanted = page(query.get("platform").unwrap_or_default(), size, query.get("pageToken").unwrap_or_default());
    let Page { platform, after, size } = wanted.map_err(|bad| BadField::new("pageToken", bad.rule))?;
    let rules = shared.admin.list_limits(platform.as_deref(), after, size).await;
    let rules = rules.map_err(|error| Problem::of_admin(&error))?;
    let next_page_token = next_page_token(&rules, size);
    Ok(Json(Listed { limits: rules.into_iter().map(Rule::from).collect(), next_page_token }))
}

pub(super) async fn get(
    State(shared): State<Shared>,
    Segments([platform, connection]): Segments<2>,
) -> Result<Json<Rule>, Error> {
    let rule = shared.admin.limits(&key(&platform, &connection)?).await.map_err(|error| Problem::of_admin(&error))?;
    Ok(Json(rule.ok_or_else(Problem::no_limits)?.into()))
}

pub(super) async fn set(
    State(shared): State<Shared>,
    Segments([platform, connection]): Segments<2>,
    Body(body): Body<LimitsBody>,
) -> Result<Json<Set>, Error> {
    let (pattern, limits) = (pattern(&platform, &connection)?, body.parse()?);
    let set = shared.admin.set_limits(pattern, limits).await;
    Ok(Json(Set { has_replaced: set.map_err(|error| Problem::of_admin(&error))? }))
}

pub(super) async fn delete(
    State(shared): State<Shared>,
    Segments([platform, connection]): Segments<2>,
) -> Result<StatusCode, Error> {
    let deleted = shared.admin.delete_limits(pattern(&platform, &connection)?).await;
    if deleted.map_err(|error| Problem::of_admin(&error))? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::no_limits().into())
    }
}

fn pattern(platform: &str, connection: &str) -> Result<LimitPattern, BadField> {
    key(platform, connection)?;
    LimitPattern::new(platform, connection).map_err(|invalid| BadField::new("connection", invalid))
}
