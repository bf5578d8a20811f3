//! The parts of messages that clients and nodes share: parsed into the engine's types, and back.
//!
//! Promises: what passes can never be wrong; what doesn't is named by its field, with its value and the rule.

use std::time::Duration;

use thiserror::Error;

use super::v1;
use crate::engine::algorithm::Algorithm;
use crate::engine::cost::Dimension;
use crate::engine::grant::{Epoch, LogIndex, RequestId};
use crate::engine::invalid::InvalidInput;
use crate::engine::key::ConnectionKey;
use crate::engine::rate::{Limits, RateLimit};

/// A field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {rule}")]
pub(crate) struct BadField {
    /// Its path in the message, such as `acquire.limits[0].window`.
    pub field: String,
    /// Its value, and the rule that it breaks.
    pub rule: String,
}

impl BadField {
    /// A field with this path breaks this rule.
    pub(crate) fn new(field: impl Into<String>, rule: impl ToString) -> Self {
        Self { field: field.into(), rule: rule.to_string() }
    }

    /// A field with this path is required.
    pub(crate) fn missing(field: &str) -> Self {
        Self::new(field, "is not set: it is required")
    }

    /// The same, of the message in this field. Paths are put together only when there is something to say.
    #[must_use]
    pub(crate) fn within(self, parent: &str) -> Self {
        Self { field: format!("{parent}.{}", self.field), ..self }
    }

    /// The same, of the message in this place of a repeated field.
    #[must_use]
    pub(crate) fn within_item(self, parent: &str, index: usize) -> Self {
        self.within(&format!("{parent}[{index}]"))
    }
}

/// Parses a request id, which is required.
///
/// # Errors
/// When it has not 16 bytes.
pub(crate) fn request_id(field: &str, bytes: &[u8]) -> Result<RequestId, BadField> {
    let bits = <[u8; 16]>::try_from(bytes);
    let bits = bits.map_err(|_| BadField::new(field, format!("has {} bytes: a request id takes 16", bytes.len())))?;
    Ok(RequestId::new(u128::from_be_bytes(bits)))
}

/// A request id as it travels.
pub(crate) fn request_id_bytes(id: RequestId) -> Vec<u8> {
    id.get().to_be_bytes().to_vec()
}

/// Parses a connection's identity, which is required.
///
/// # Errors
/// The name that breaks its rule.
pub(crate) fn key(field: &str, message: Option<v1::ConnectionKey>) -> Result<ConnectionKey, BadField> {
    let message = message.ok_or_else(|| BadField::missing(field))?;
    ConnectionKey::new(&message.platform, &message.connection).map_err(|invalid| {
        let part = if ConnectionKey::new(&message.platform, "valid").is_err() { "platform" } else { "connection" };
        BadField::new(format!("{field}.{part}"), invalid)
    })
}

/// A connection's identity as it travels.
pub(crate) fn from_key(key: &ConnectionKey) -> v1::ConnectionKey {
    v1::ConnectionKey { platform: key.platform().to_owned(), connection: key.connection().to_owned() }
}

/// Which ring, by the number that travels.
pub(crate) const fn epoch(number: u64) -> Epoch {
    Epoch(LogIndex(number))
}

/// Parses the limits of one connection.
///
/// # Errors
/// The first field that breaks its rule.
pub(crate) fn limits(field: &str, messages: &[v1::RateLimit]) -> Result<Limits, BadField> {
    // Counted before they are parsed: nobody makes work by sending thousands.
    if messages.is_empty() || messages.len() > crate::engine::rate::MAX_LIMITS {
        return Err(BadField::new(field, InvalidInput::LimitCount { count: messages.len() }));
    }
    let parsed = messages.iter().enumerate().map(|(index, message)| limit(message).map_err(|bad| bad.within_item(field, index)));
    let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
    Limits::new(parsed).map_err(|invalid| BadField::new(field, invalid))
}

/// Parses one limit.
///
/// # Errors
/// The first field that breaks its rule.
pub(crate) fn limit(message: &v1::RateLimit) -> Result<RateLimit, BadField> {
    let window = message.window.ok_or_else(|| BadField::missing("window"))?;
    let window = span("window", window)?;
    let limit = RateLimit::new(message.request_count, window).map_err(|invalid| {
        let name = if message.request_count == 0 { "request_count" } else { "window" };
        BadField::new(name, invalid)
    })?;
    let mut limit = match v1::Dimension::try_from(message.dimension) {
        Ok(v1::Dimension::Unspecified | v1::Dimension::Units) => limit.counting(Dimension::Units),
        Ok(v1::Dimension::Tokens) => limit.counting(Dimension::Tokens),
        Ok(v1::Dimension::InputTokens) => limit.counting(Dimension::InputTokens),
        Ok(v1::Dimension::OutputTokens) => limit.counting(Dimension::OutputTokens),
        Err(_) => {
            let kinds = "DIMENSION_UNITS (1), DIMENSION_TOKENS (2), DIMENSION_INPUT_TOKENS (3) or DIMENSION_OUTPUT_TOKENS (4)";
            let rule = format!("is {}: it takes {kinds}", message.dimension);
            return Err(BadField::new("dimension", rule));
        }
    };
    limit = limit.by(algorithm(message.algorithm)?);
    if let Some(bound) = message.delivery_bound {
        let field = "delivery_bound";
        limit = limit.with_delivery_bound(span(field, bound)?).map_err(|invalid| BadField::new(field, invalid))?;
    }
    if let Some(guard) = message.guard {
        let field = "guard";
        limit = limit.with_guard(span(field, guard)?).map_err(|invalid| BadField::new(field, invalid))?;
    }
    Ok(limit)
}

fn algorithm(number: i32) -> Result<Algorithm, BadField> {
    match v1::Algorithm::try_from(number) {
        Ok(v1::Algorithm::Unspecified | v1::Algorithm::SlidingWindow) => Ok(Algorithm::SlidingWindow),
        Ok(v1::Algorithm::TokenBucket) => Ok(Algorithm::TokenBucket),
        Ok(v1::Algorithm::LeakyBucket) => Ok(Algorithm::LeakyBucket),
        Ok(v1::Algorithm::GcraVirtual) => Ok(Algorithm::GcraVirtual),
        Ok(v1::Algorithm::GcraContinuous) => Ok(Algorithm::GcraContinuous),
        Err(_) => {
            let rule = "it takes ALGORITHM_SLIDING_WINDOW (1), ALGORITHM_TOKEN_BUCKET (2), ALGORITHM_LEAKY_BUCKET (3), \
                        ALGORITHM_GCRA_VIRTUAL (4) or ALGORITHM_GCRA_CONTINUOUS (5)";
            Err(BadField::new("algorithm", format!("is {number}: {rule}")))
        }
    }
}

/// Parses a span that is required.
///
/// # Errors
/// When it is missing, or no span.
#[cfg(feature = "cli")]
pub(crate) fn required_span(field: &str, message: Option<prost_types::Duration>) -> Result<Duration, BadField> {
    span(field, message.ok_or_else(|| BadField::missing(field))?)
}

/// Parses a span.
///
/// # Errors
/// When it is negative, or its parts are no span.
pub(crate) fn span(field: &str, message: prost_types::Duration) -> Result<Duration, BadField> {
    let prost_types::Duration { seconds, nanos } = message;
    let parts = (u64::try_from(seconds), u32::try_from(nanos));
    let (Ok(whole), Ok(rest @ 0..=999_999_999)) = parts else {
        let rule = format!("is {seconds}s and {nanos}ns: seconds take 0 or more, nanos 0 to 999999999");
        return Err(BadField::new(field, rule));
    };
    Ok(Duration::new(whole, rest))
}

/// Limits as they travel: what was left to its default stays so.
pub(crate) fn to_limits<'a>(limits: impl IntoIterator<Item = &'a RateLimit>) -> Vec<v1::RateLimit> {
    limits.into_iter().map(to_limit).collect()
}

/// A limit as it travels.
pub(crate) fn to_limit(limit: &RateLimit) -> v1::RateLimit {
    v1::RateLimit {
        request_count: limit.request_count().get(),
        window: Some(to_span(limit.window())),
        dimension: match limit.dimension() {
            Dimension::Units => v1::Dimension::Units,
            Dimension::Tokens => v1::Dimension::Tokens,
            Dimension::InputTokens => v1::Dimension::InputTokens,
            Dimension::OutputTokens => v1::Dimension::OutputTokens,
        }
        .into(),
        delivery_bound: limit.own_delivery_bound().map(to_span),
        guard: limit.own_guard().map(to_span),
        algorithm: match limit.algorithm() {
            Algorithm::SlidingWindow => v1::Algorithm::SlidingWindow,
            Algorithm::TokenBucket => v1::Algorithm::TokenBucket,
            Algorithm::LeakyBucket => v1::Algorithm::LeakyBucket,
            Algorithm::GcraVirtual => v1::Algorithm::GcraVirtual,
            Algorithm::GcraContinuous => v1::Algorithm::GcraContinuous,
        }
        .into(),
    }
}

/// A span as it travels; the longest one that can for anything longer.
pub(crate) fn to_span(span: Duration) -> prost_types::Duration {
    let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: i32::try_from(span.subsec_nanos()).unwrap_or(0) }
}
