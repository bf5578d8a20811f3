//! A problem as gRPC tells it: a code, a message, and `google.rpc` details.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::api::problem::{Kind, Part, Problem};
use crate::client::AcquireError;
use crate::engine::cost::Dimension;

/// Who speaks in `ErrorInfo`.
const DOMAIN: &str = "turnstile";

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let Problem { kind, reason, message, field, bound, retry_after } = problem;
        let mut metadata = HashMap::new();
        if let Some((bound, max)) = &bound {
            metadata.insert("bound".to_owned(), (*bound).to_owned());
            metadata.insert("max".to_owned(), max.to_string());
        }
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
        if let Some((bound, _)) = bound {
            details.add_quota_failure_violation(bound, &message);
        }
        match field {
            Some(bad) if kind == Kind::Precondition => {
                let what = if bad.field == "nodes" { "PEERS" } else { "LIMITS" };
                details.add_precondition_failure_violation(what, bad.field, bad.rule);
            }
            Some(bad) => {
                details.add_bad_request_violation(bad.field, bad.rule);
            }
            None => {}
        }
        if let Some(retry_after) = retry_after {
            details.set_retry_info(Some(retry_after));
        }
        Self::with_error_details(code(kind), message, details)
    }
}

const fn code(kind: Kind) -> Code {
    match kind {
        Kind::BadInput => Code::InvalidArgument,
        Kind::BoundReached | Kind::NotNow => Code::ResourceExhausted,
        Kind::DeadlineExceeded => Code::DeadlineExceeded,
        Kind::Unavailable => Code::Unavailable,
        Kind::Precondition => Code::FailedPrecondition,
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::Aborted => Code::Aborted,
        Kind::Unimplemented => Code::Unimplemented,
    }
}

/// What an acquire ended with. `field` is the path of the acquire in its message.
pub(super) fn of_acquire(field: &str, error: &AcquireError) -> Problem {
    Problem::of(error, |part| {
        let name = match part {
            Part::Whole => return field.to_owned(),
            Part::Platform => "key.platform",
            Part::Connection => "key.connection",
            Part::Cost => "cost",
            Part::Tokens(Dimension::InputTokens) => "input_tokens",
            Part::Tokens(Dimension::OutputTokens) => "output_tokens",
            Part::Tokens(Dimension::Tokens | Dimension::Units) => "tokens",
            Part::Limits => "limits",
            Part::Timeout => "timeout",
            Part::Pause => "pause",
        };
        format!("{field}.{name}")
    })
}
