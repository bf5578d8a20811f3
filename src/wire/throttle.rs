//! `turnstile.v1` as the engine's types: what comes from outside is parsed here, once.
//!
//! Promises: what passes can never be wrong; what doesn't is named by its field, with its value and the rule.

use std::time::Duration;

use super::fields::{BadField, key, limits, request_id, span, to_span};
use super::v1;
use crate::engine::cost::{Cost, Dimension};
use crate::engine::grant::RequestId;
use crate::engine::invalid::InvalidInput;
use crate::engine::key::ConnectionKey;
use crate::engine::rate::{Limits, Niceness};
use crate::engine::throttle::Explanation;

/// The longest timeout and the longest longest wait.
const MAX_WAIT: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long an acquire waits, as its caller said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Waits {
    /// Ends it with an error.
    pub timeout: Option<Duration>,
    /// Ends it with an answer.
    pub max_wait: Option<Duration>,
}

/// An acquire that can be served, or refused for what it asks, but not for how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParsedAcquire {
    /// `None` when the server is to draw one.
    pub id: Option<RequestId>,
    /// Which connection.
    pub key: ConnectionKey,
    /// What it may take.
    pub limits: Limits,
    /// 0 is served first.
    pub niceness: Niceness,
    /// At least one unit.
    pub cost: Cost,
    /// How long it waits.
    pub waits: Waits,
    /// How long it has waited already, through another server.
    pub waited: Duration,
}

/// Parses the acquire of `message.field`, which is required. `field` begins the paths of its own fields.
///
/// # Errors
/// The first field that breaks its rule.
pub(crate) fn acquire(field: &str, message: Option<v1::Acquire>) -> Result<ParsedAcquire, BadField> {
    let message = message.ok_or_else(|| BadField::missing(field))?;
    parse(message).map_err(|bad| bad.within(field))
}

/// Parses the acquire of a try, which waits for nothing.
///
/// # Errors
/// The first field that breaks its rule.
pub(crate) fn try_acquire(field: &str, message: Option<v1::Acquire>) -> Result<ParsedAcquire, BadField> {
    let parsed = acquire(field, message)?;
    let Waits { timeout, max_wait } = parsed.waits;
    let waited = (!parsed.waited.is_zero()).then_some(parsed.waited);
    for (name, span) in [("waited", waited), ("timeout", timeout), ("max_wait", max_wait)] {
        if let Some(span) = span {
            return Err(BadField::new(name, format!("is {span:?}: a try takes none")).within(field));
        }
    }
    Ok(parsed)
}

fn parse(message: v1::Acquire) -> Result<ParsedAcquire, BadField> {
    let id = match message.request_id.as_slice() {
        [] => None,
        bytes => Some(request_id("request_id", bytes)?),
    };
    let key = key("key", message.key)?;
    let limits = limits("limits", &message.limits)?;
    let units = message.cost.unwrap_or(1);
    if units == 0 {
        return Err(BadField::new("cost", InvalidInput::ZeroCost));
    }
    let timeout = message.timeout.map(|span| wait("timeout", span)).transpose()?;
    if timeout.is_some_and(|span| span.is_zero()) {
        return Err(BadField::new("timeout", "is 0s: it takes more than 0s, at most 30 days"));
    }
    let max_wait = message.max_wait.map(|span| wait("max_wait", span)).transpose()?;
    let waited = message.waited.map(|span| wait("waited", span)).transpose()?.unwrap_or_default();
    let (niceness, waits) = (Niceness::new(message.niceness), Waits { timeout, max_wait });
    let cost = Cost::of(units.into()).with_tokens_apart(message.input_tokens.into(), message.output_tokens.into());
    let cost = cost.with(Dimension::Tokens, message.tokens.map_or(cost.tokens, u64::from));
    Ok(ParsedAcquire { id, key, limits, niceness, cost, waits, waited })
}

/// Parses what a call has taken whose estimate was `estimate`.
///
/// # Errors
/// When it says nothing.
pub(crate) fn usage(field: &str, message: Option<v1::Usage>, estimate: Cost) -> Result<Cost, BadField> {
    let v1::Usage { tokens, input_tokens, output_tokens } = message.unwrap_or_default();
    if (tokens, input_tokens, output_tokens) == (None, None, None) {
        return Err(BadField::new(field, "is not set: it takes tokens, input_tokens or output_tokens"));
    }
    let (input, output) = (input_tokens.map(u64::from), output_tokens.map(u64::from));
    let sum = input.zip(output).map(|(input, output)| input + output);
    let said =
        [(Dimension::Tokens, tokens.map(u64::from).or(sum)), (Dimension::InputTokens, input), (Dimension::OutputTokens, output)];
    let known = said.into_iter().filter_map(|(dimension, tokens)| Some((dimension, tokens?)));
    Ok(known.fold(estimate, |cost, (dimension, tokens)| cost.with(dimension, tokens)))
}

/// How a request stands, as it travels to a client.
pub(crate) fn to_explained(explanation: &Explanation) -> v1::ExplainResponse {
    let Explanation { position, ahead, estimated_wait, waited } = explanation;
    v1::ExplainResponse {
        position: count(*position),
        ahead: to_waiting(ahead),
        estimated_wait: estimated_wait.map(to_span),
        waited: Some(to_span(*waited)),
    }
}

/// So many of each niceness, as they travel.
pub(crate) fn to_waiting(waiting: &[(Niceness, usize)]) -> Vec<v1::WaitingCount> {
    waiting.iter().map(|(niceness, waiters)| v1::WaitingCount { niceness: niceness.get(), count: count(*waiters) }).collect()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn wait(field: &str, message: prost_types::Duration) -> Result<Duration, BadField> {
    let wait = span(field, message)?;
    if wait > MAX_WAIT {
        return Err(BadField::new(field, format!("is {wait:?}: it takes at most 30 days")));
    }
    Ok(wait)
}
