//! What goes in and comes out in JSON, by the names of the original interface.
//!
//! Promises: what passes can never be wrong; what doesn't is named by its field, with its value and the rule.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::value::{Object, Whole, present, whole};
use crate::client::{Claim, Permit};
use crate::engine::algorithm::Algorithm;
use crate::engine::cost::{Cost, Dimension};
use crate::engine::grant::RequestId;
use crate::engine::invalid::InvalidInput;
use crate::engine::key::ConnectionKey;
use crate::engine::rate::{Limits, Niceness, RateLimit};
use crate::wire::claim;
use crate::wire::fields::BadField;
use crate::wire::throttle::{ParsedAcquire, Waits};

/// The longest timeout and the longest longest wait.
const MAX_WAIT: Duration = Duration::from_secs(30 * 24 * 3600);

/// A limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct JsonLimit {
    #[serde(deserialize_with = "whole")]
    request_count: u32,
    window_seconds: f64,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    dimension: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    algorithm: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    delivery_bound_seconds: Option<f64>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    guard_seconds: Option<f64>,
}

/// Limits, one or several.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LimitsBody {
    #[serde(default, deserialize_with = "present")]
    rate_limit: Option<Object<JsonLimit>>,
    #[serde(default, deserialize_with = "present")]
    rate_limits: Option<Vec<Object<JsonLimit>>>,
}

/// A request for a slot.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AcquireBody {
    platform: String,
    connection: String,
    #[serde(default)]
    niceness: Whole,
    #[serde(default, deserialize_with = "present")]
    rate_limit: Option<Object<JsonLimit>>,
    #[serde(default, deserialize_with = "present")]
    rate_limits: Option<Vec<Object<JsonLimit>>>,
    #[serde(default, deserialize_with = "present")]
    cost: Option<Whole>,
    #[serde(default, deserialize_with = "present")]
    tokens: Option<Whole>,
    #[serde(default, deserialize_with = "present")]
    input_tokens: Option<Whole>,
    #[serde(default, deserialize_with = "present")]
    output_tokens: Option<Whole>,
    #[serde(default, deserialize_with = "present")]
    request_id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    timeout_seconds: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    max_wait_seconds: Option<f64>,
}

/// A slot.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Granted {
    granted: bool,
    permit: String,
    request_id: String,
    waited_seconds: f64,
    /// `None` when the limits accept any jitter.
    start_within_seconds: Option<f64>,
    arrival: u64,
    release: u64,
    /// As text: JSON's numbers have 53 bits.
    tenure: String,
}

impl From<&Permit> for Granted {
    fn from(permit: &Permit) -> Self {
        let Claim { key, slot } = permit.claim();
        Self {
            granted: true,
            permit: URL_SAFE_NO_PAD.encode(claim::to_token(&key, &slot)),
            request_id: format!("{:032x}", permit.request().get()),
            waited_seconds: permit.waited().as_secs_f64(),
            start_within_seconds: permit.start_within().map(|span| span.as_secs_f64()),
            arrival: permit.arrival().get(),
            release: permit.release().get(),
            tenure: format!("{:016x}", permit.tenure().get()),
        }
    }
}

impl AcquireBody {
    /// What it asks for.
    ///
    /// # Errors
    /// The first field that breaks its rule.
    pub(super) fn parse(self) -> Result<ParsedAcquire, BadField> {
        let key = key(&self.platform, &self.connection)?;
        let limits = LimitsBody { rate_limit: self.rate_limit, rate_limits: self.rate_limits }.parse()?;
        let id = self.request_id.as_deref().map(|id| request_id("requestId", id)).transpose()?;
        let units = self.cost.map_or(1, |Whole(units)| units);
        if units == 0 {
            return Err(BadField::new("cost", InvalidInput::ZeroCost));
        }
        let wait = |name, seconds: Option<f64>| seconds.map(|seconds| span(name, seconds, MAX_WAIT)).transpose();
        let (timeout, max_wait) = (wait("timeoutSeconds", self.timeout_seconds)?, wait("maxWaitSeconds", self.max_wait_seconds)?);
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(BadField::new("timeoutSeconds", "is 0: it takes more than 0, at most 30 days"));
        }
        let (input, output) = (self.input_tokens.unwrap_or_default().0, self.output_tokens.unwrap_or_default().0);
        let cost = Cost::of(units.into()).with_tokens_apart(input.into(), output.into());
        let cost = cost.with(Dimension::Tokens, self.tokens.map_or(cost.tokens, |Whole(tokens)| tokens.into()));
        let (niceness, waits, waited) = (Niceness::new(self.niceness.0), Waits { timeout, max_wait }, Duration::ZERO);
        Ok(ParsedAcquire { id, key, limits, niceness, cost, waits, waited })
    }

    /// The same, for a call that waits for nothing.
    ///
    /// # Errors
    /// The first field that breaks its rule.
    pub(super) fn parse_try(self) -> Result<ParsedAcquire, BadField> {
        let parsed = self.parse()?;
        for (name, span) in [("timeoutSeconds", parsed.waits.timeout), ("maxWaitSeconds", parsed.waits.max_wait)] {
            if let Some(span) = span {
                return Err(BadField::new(name, format!("is {}: a try takes none", span.as_secs_f64())));
            }
        }
        Ok(parsed)
    }
}

impl LimitsBody {
    /// The limits.
    ///
    /// # Errors
    /// The first field that breaks its rule.
    pub(super) fn parse(self) -> Result<Limits, BadField> {
        let (field, limits) = match (self.rate_limit, self.rate_limits) {
            (Some(_), Some(_)) => return Err(BadField::new("rateLimits", "is set beside rateLimit: it takes one of them")),
            (None, None) => return Err(BadField::new("rateLimit", "is not set: it, or rateLimits, is required")),
            (Some(Object(limit)), None) => {
                return Ok(Limits::from(limit.parse().map_err(|bad| bad.within("rateLimit"))?));
            }
            (None, Some(limits)) => ("rateLimits", limits),
        };
        if limits.is_empty() || limits.len() > crate::engine::rate::MAX_LIMITS {
            return Err(BadField::new(field, InvalidInput::LimitCount { count: limits.len() }));
        }
        let limits = limits.iter().enumerate();
        let limits = limits.map(|(index, Object(limit))| limit.parse().map_err(|bad| bad.within_item(field, index)));
        Limits::new(limits.collect::<Result<Vec<_>, _>>()?).map_err(|invalid| BadField::new(field, invalid))
    }
}

impl JsonLimit {
    fn parse(&self) -> Result<RateLimit, BadField> {
        let window = span("windowSeconds", self.window_seconds, MAX_WAIT)?;
        let mut limit = RateLimit::new(self.request_count, window).map_err(|invalid| {
            let name = if self.request_count == 0 { "requestCount" } else { "windowSeconds" };
            BadField::new(name, invalid)
        })?;
        if let Some(name) = &self.dimension {
            let rule = || format!("is {name:?}: it takes {}", Dimension::ALL.map(Dimension::name).join(", "));
            limit = limit.counting(Dimension::named(name).ok_or_else(|| BadField::new("dimension", rule()))?);
        }
        if let Some(name) = &self.algorithm {
            limit = limit.by(name.parse::<Algorithm>().map_err(|invalid| BadField::new("algorithm", invalid))?);
        }
        if let Some(seconds) = self.delivery_bound_seconds {
            let field = "deliveryBoundSeconds";
            let bound = span(field, seconds, MAX_WAIT)?;
            limit = limit.with_delivery_bound(bound).map_err(|invalid| BadField::new(field, invalid))?;
        }
        if let Some(seconds) = self.guard_seconds {
            let field = "guardSeconds";
            let guard = span(field, seconds, MAX_WAIT)?;
            limit = limit.with_guard(guard).map_err(|invalid| BadField::new(field, invalid))?;
        }
        Ok(limit)
    }
}

impl From<&RateLimit> for JsonLimit {
    fn from(limit: &RateLimit) -> Self {
        let (dimension, algorithm) = (limit.dimension(), limit.algorithm());
        Self {
            request_count: limit.request_count().get(),
            window_seconds: limit.window().as_secs_f64(),
            dimension: (dimension != Dimension::Units).then(|| dimension.name().to_owned()),
            algorithm: (algorithm != Algorithm::default()).then(|| algorithm.to_string()),
            delivery_bound_seconds: limit.own_delivery_bound().map(|span| span.as_secs_f64()),
            guard_seconds: limit.own_guard().map(|span| span.as_secs_f64()),
        }
    }
}

/// Parses a connection's identity.
///
/// # Errors
/// The name that breaks its rule.
pub(super) fn key(platform: &str, connection: &str) -> Result<ConnectionKey, BadField> {
    ConnectionKey::new(platform, connection).map_err(|invalid| {
        let part = if ConnectionKey::new(platform, "valid").is_err() { "platform" } else { "connection" };
        BadField::new(part, invalid)
    })
}

/// Parses a request id: 32 hexadecimal digits, with the dashes of a UUID or without.
///
/// # Errors
/// When it is none.
pub(super) fn request_id(field: &str, text: &str) -> Result<RequestId, BadField> {
    let is_uuid = text.len() == 36 && [8, 13, 18, 23].iter().all(|place| text.as_bytes().get(*place) == Some(&b'-'));
    let digits = if is_uuid { text.replace('-', "") } else { text.to_owned() };
    let is_number = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let id = u128::from_str_radix(&digits, 16).ok().filter(|_| is_number);
    let rule = || format!("is {text:?}: it takes 32 hexadecimal digits, or a UUID");
    Ok(RequestId::new(id.ok_or_else(|| BadField::new(field, rule()))?))
}

/// Parses a span in seconds.
///
/// # Errors
/// When it is negative, or longer than `longest`.
pub(super) fn span(field: &str, seconds: f64, longest: Duration) -> Result<Duration, BadField> {
    let rule = || format!("is {seconds}: it takes seconds from 0 to {}", longest.as_secs());
    let span = Duration::try_from_secs_f64(seconds).map_err(|_| BadField::new(field, rule()))?;
    if span > longest { Err(BadField::new(field, rule())) } else { Ok(span) }
}

/// Parses a permit.
///
/// # Errors
/// When it is none.
pub(super) fn claim(text: &str) -> Result<Claim, BadField> {
    let rule =
        || BadField::new("permit", format!("has {} characters that are no permit: it takes what came with a grant", text.len()));
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| rule())?;
    let (key, slot) = claim::token("permit", &bytes)?;
    Ok(Claim { key, slot })
}
