//! `POST /v1/release` and `POST /v1/reconcile`: what is said of a grant afterwards, at whichever node.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::body::Body;
use super::error::Error;
use super::message::claim;
use super::value::{Whole, present};
use crate::api::problem::Problem;
use crate::api::told;
use crate::engine::cost::Cost;
use crate::wire::fields::BadField;
use crate::wire::throttle::usage;
use crate::wire::v1::Usage;

/// Gives a grant back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReleaseBody {
    permit: String,
}

/// Says what a call has taken.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReconcileBody {
    permit: String,
    #[serde(default, deserialize_with = "present")]
    tokens: Option<Whole>,
    #[serde(default, deserialize_with = "present")]
    input_tokens: Option<Whole>,
    #[serde(default, deserialize_with = "present")]
    output_tokens: Option<Whole>,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct ReconciledBody {
    refunded: Tokens,
    owed: Tokens,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    tokens: u64,
    input_tokens: u64,
    output_tokens: u64,
}

impl From<Cost> for Tokens {
    fn from(cost: Cost) -> Self {
        Self { tokens: cost.tokens, input_tokens: cost.input_tokens, output_tokens: cost.output_tokens }
    }
}

pub(super) async fn release(State(shared): State<Shared>, Body(body): Body<ReleaseBody>) -> Result<StatusCode, Error> {
    let claim = claim(&body.permit)?;
    let released = told(shared.throttler.release(&claim)).await?;
    if released.map_err(|error| Error::of_acquire(&error))? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_open().into())
    }
}

pub(super) async fn reconcile(
    State(shared): State<Shared>,
    Body(body): Body<ReconcileBody>,
) -> Result<Json<ReconciledBody>, Error> {
    let ReconcileBody { permit, tokens, input_tokens, output_tokens } = body;
    let claim = claim(&permit)?;
    let number = |said: Option<Whole>| said.map(|Whole(number)| number);
    let (tokens, input_tokens, output_tokens) = (number(tokens), number(input_tokens), number(output_tokens));
    let said = Usage { tokens, input_tokens, output_tokens };
    let rule = "is not set: it, or inputTokens or outputTokens, is required";
    let actual = usage("tokens", Some(said), claim.slot.cost).map_err(|_| BadField::new("tokens", rule))?;
    let reconciled = told(shared.throttler.reconcile(&claim, actual)).await?.map_err(|error| Problem::of_reconcile(&error))?;
    Ok(Json(ReconciledBody { refunded: reconciled.refunded.into(), owed: reconciled.owed.into() }))
}
