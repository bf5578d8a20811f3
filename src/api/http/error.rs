//! A problem as HTTP tells it: a status, headers, and `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::api::problem::{Kind, Part, Problem};
use crate::client::AcquireError;
use crate::engine::cost::Dimension;
use crate::engine::rate::Limits;
use crate::wire::fields::BadField;

/// Why a request was not answered with what was asked for.
#[derive(Debug)]
pub(super) struct Error {
    status: StatusCode,
    problem: Problem,
    /// The limits that leave no slot now.
    limits: Option<Limits>,
}

/// What is sent of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    granted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<f64>,
}

impl Error {
    const fn new(status: StatusCode, problem: Problem) -> Self {
        Self { status, problem, limits: None }
    }

    /// There is no slot now, or none within the longest wait, by these limits.
    pub(super) fn not_now(retry_after: Duration, limits: Limits) -> Self {
        let problem = Problem::of(&AcquireError::NotNow { retry_after }, |_| String::new());
        Self { limits: Some(limits), ..problem.into() }
    }

    /// What an acquire ended with.
    pub(super) fn of_acquire(error: &AcquireError) -> Self {
        Problem::of(error, |part| name(part).to_owned()).into()
    }

    /// Nothing is served there.
    pub(super) fn unknown_path(path: &str) -> Self {
        Problem::not_found("UNKNOWN_PATH", &format!("nothing is served at {path:?}: see /openapi.json")).into()
    }

    /// It is served, but not by this method.
    pub(super) fn wrong_method() -> Self {
        let message = "this path does not take this method: see the header Allow";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Problem::not_found("WRONG_METHOD", message))
    }

    /// The body is too long.
    pub(super) fn too_large(max: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Problem::bound_reached("bytes of a body", max))
    }

    /// The body is something else.
    pub(super) fn wrong_type(found: Option<&HeaderValue>) -> Self {
        let rule = format!("is {}: it takes application/json", found.map_or("not set".to_owned(), |found| format!("{found:?}")));
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, BadField::new("Content-Type", rule).into())
    }

    /// The body did not come.
    pub(super) fn slow_body(within: Duration) -> Self {
        let rule = format!("did not come within {within:?}");
        Self::new(StatusCode::REQUEST_TIMEOUT, BadField::new("body", rule).into())
    }

    /// The problem as it is sent, for streams.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(&self.body()).unwrap_or_default()
    }

    fn body(&self) -> Body<'_> {
        let Problem { kind, reason, message, field, bound, retry_after } = &self.problem;
        Body {
            r#type: format!("urn:turnstile:problem:{}", reason.to_ascii_lowercase().replace('_', "-")),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: message,
            reason,
            granted: (*kind == Kind::NotNow).then_some(false),
            field: field.as_ref().map(|bad| bad.field.as_str()),
            rule: field.as_ref().map(|bad| bad.rule.as_str()),
            bound: bound.map(|(bound, _)| bound),
            max: bound.map(|(_, max)| max),
            retry_after_seconds: retry_after.map(|span| span.as_secs_f64()),
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let status = match problem.kind {
            Kind::BadInput => StatusCode::BAD_REQUEST,
            Kind::BoundReached | Kind::NotNow => StatusCode::TOO_MANY_REQUESTS,
            Kind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Precondition | Kind::AlreadyExists | Kind::Aborted => StatusCode::CONFLICT,
            Kind::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        };
        Self::new(status, problem)
    }
}

impl From<BadField> for Error {
    fn from(bad: BadField) -> Self {
        Problem::from(bad).into()
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(retry_after) = self.problem.retry_after {
            let seconds = whole_seconds(retry_after);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            if let Some(limits) = &self.limits {
                let [policy, state] = rate_limit(limits, seconds);
                for (name, value) in [("ratelimit-policy", policy), ("ratelimit", state)] {
                    if let Ok(value) = HeaderValue::from_str(&value) {
                        headers.insert(HeaderName::from_static(name), value);
                    }
                }
            }
        }
        response
    }
}

/// A lower bound in whole seconds must not be lower than that: at least 1, for 0 would mean now.
fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0 || span.as_secs() == 0)
}

/// The values of `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): each limit by a name of its own; nothing is left of them now.
fn rate_limit(limits: &Limits, retry_after: u64) -> [String; 2] {
    let names = |index: usize| format!("\"limit-{}\"", index + 1);
    let policy = |(index, limit): (usize, &crate::RateLimit)| {
        let unit = match limit.dimension() {
            Dimension::Units => "requests",
            Dimension::Tokens | Dimension::InputTokens | Dimension::OutputTokens => "tokens",
        };
        let (name, quota, window) = (names(index), limit.request_count(), whole_seconds(limit.window()));
        format!("{name};q={quota};qu=\"{unit}\";w={window}")
    };
    let policies: Vec<String> = limits.iter().enumerate().map(policy).collect();
    let states: Vec<String> = (0..policies.len()).map(|index| format!("{};r=0;t={retry_after}", names(index))).collect();
    [policies.join(", "), states.join(", ")]
}

/// What a part of an acquire is called here.
const fn name(part: Part) -> &'static str {
    match part {
        Part::Whole => "body",
        Part::Platform => "platform",
        Part::Connection => "connection",
        Part::Cost => "cost",
        Part::Tokens(Dimension::InputTokens) => "inputTokens",
        Part::Tokens(Dimension::OutputTokens) => "outputTokens",
        Part::Tokens(Dimension::Tokens | Dimension::Units) => "tokens",
        Part::Limits => "rateLimit",
        Part::Timeout => "timeoutSeconds",
        Part::Pause => "seconds",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rate::RateLimit;

    #[test]
    fn a_refusal_says_when_to_come_back_and_what_the_limits_are() {
        let limits = Limits::new([
            RateLimit::new(3, Duration::from_millis(1500)).expect("a limit"),
            RateLimit::new(100, Duration::from_secs(60)).expect("a limit").counting(Dimension::Tokens),
        ]);
        let response = Error::not_now(Duration::from_millis(1001), limits.expect("limits")).into_response();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(header("retry-after").as_deref(), Some("2"));
        let policies = "\"limit-1\";q=3;qu=\"requests\";w=2, \"limit-2\";q=100;qu=\"tokens\";w=60";
        assert_eq!(header("ratelimit-policy").as_deref(), Some(policies));
        assert_eq!(header("ratelimit").as_deref(), Some("\"limit-1\";r=0;t=2, \"limit-2\";r=0;t=2"));
        assert_eq!(header("content-type").as_deref(), Some("application/problem+json"));
    }
}
