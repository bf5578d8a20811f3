//! The one table of errors: how an acquire that failed is told over gRPC.
//!
//! Every status says its reason in `ErrorInfo` for programs, and in its message for people; what can be tried again later says when in
//! `RetryInfo`. That there is no slot now is no error and is not here, except where the caller did not ask to be told as data.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::client::AcquireError;
use crate::engine::invalid::InvalidInput;
use crate::wire::fields::BadField;

/// Who speaks in `ErrorInfo`.
const DOMAIN: &str = "turnstile";

/// When to come back after a bound was reached, or while a node is out of reach: long enough for one to start.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What an acquire ended with, as a status. `field` is the path of the acquire in its message.
pub(super) fn of_acquire(field: &str, error: &AcquireError) -> Status {
    let message = error.to_string();
    match error {
        AcquireError::Invalid(invalid) => bad_input(&BadField::new(field_of(field, invalid), invalid)),
        AcquireError::CostOverLimit { limit, .. } => {
            let name = match limit.dimension() {
                crate::engine::cost::Dimension::Units => "cost",
                crate::engine::cost::Dimension::Tokens => "tokens",
                crate::engine::cost::Dimension::InputTokens => "input_tokens",
                crate::engine::cost::Dimension::OutputTokens => "output_tokens",
            };
            let details = reason("COST_OVER_LIMIT").add_bad_request_violation(format!("{field}.{name}"), &message).clone();
            Status::with_error_details(Code::InvalidArgument, message, details)
        }
        AcquireError::NotNow { retry_after } => {
            let details = reason("NOT_NOW").set_retry_info(Some(*retry_after)).clone();
            Status::with_error_details(Code::ResourceExhausted, message, details)
        }
        AcquireError::DeadlineExceeded { .. } => plain(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message),
        AcquireError::BoundReached { bound, max } => bound_reached(bound, *max),
        AcquireError::LimitsDiffer { .. } => {
            let details = reason("LIMITS_DIFFER").add_precondition_failure_violation("LIMITS", field, &message).clone();
            Status::with_error_details(Code::FailedPrecondition, message, details)
        }
        AcquireError::RequestIdReused => plain(Code::AlreadyExists, "REQUEST_ID_REUSED", message),
        AcquireError::AlreadyGranted => plain(Code::AlreadyExists, "ALREADY_GRANTED", message),
        AcquireError::Superseded => plain(Code::Aborted, "SUPERSEDED", message),
        AcquireError::Unavailable { .. } => later("OWNER_UNAVAILABLE", message),
        AcquireError::Stopped { .. } => later("NODE_STOPPED", message),
    }
}

/// A field broke its rule.
pub(super) fn bad_input(bad: &BadField) -> Status {
    let details = reason("BAD_INPUT").add_bad_request_violation(&bad.field, &bad.rule).clone();
    Status::with_error_details(Code::InvalidArgument, bad.to_string(), details)
}

/// A bound is reached, which has this name and this value.
pub(super) fn bound_reached(bound: &str, max: usize) -> Status {
    let message = format!("{bound} is reached: {max}");
    let metadata = HashMap::from([("bound".to_owned(), bound.to_owned()), ("max".to_owned(), max.to_string())]);
    let mut details = ErrorDetails::with_error_info("BOUND_REACHED", DOMAIN, metadata);
    details.add_quota_failure_violation(bound, &message).set_retry_info(Some(RETRY_AFTER));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// The server serves no more.
pub(super) fn draining() -> Status {
    later("SERVER_STOPPING", "the server is stopping".to_owned())
}

/// A node could not be drained, and stays.
pub(super) fn not_drained(error: &dyn std::error::Error) -> Status {
    later("NOT_DRAINED", error.to_string())
}

/// No grant of this id is known, or none that is open.
pub(super) fn unknown_request(what: &str) -> Status {
    plain(Code::NotFound, "UNKNOWN_REQUEST", what.to_owned())
}

/// The session has an open request of this id.
pub(super) fn request_id_in_use() -> Status {
    plain(Code::AlreadyExists, "REQUEST_ID_IN_USE", "a request with this id is open in this session".to_owned())
}

/// Nobody owns connections: the node's cluster has lost all members that it knew.
pub(super) fn no_owner() -> Status {
    later("NO_OWNER", "no node of the cluster owns connections now".to_owned())
}

/// The node was started without fault injection.
pub(super) fn no_fault_injection() -> Status {
    let message = "fault injection is not enabled at this node (enable_fault_injection)";
    plain(Code::Unimplemented, "FAULT_INJECTION_DISABLED", message.to_owned())
}

/// The node stands alone.
pub(super) fn no_peers(error: &dyn std::error::Error) -> Status {
    let message = error.to_string();
    let details = reason("NO_PEERS").add_precondition_failure_violation("PEERS", "nodes", &message).clone();
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

fn later(why: &str, message: String) -> Status {
    let details = reason(why).set_retry_info(Some(RETRY_AFTER)).clone();
    Status::with_error_details(Code::Unavailable, message, details)
}

fn plain(code: Code, why: &str, message: String) -> Status {
    Status::with_error_details(code, message, reason(why))
}

fn reason(why: &str) -> ErrorDetails {
    ErrorDetails::with_error_info(why, DOMAIN, HashMap::new())
}

/// Which field of an acquire the engine found invalid; parsing finds most of them before it.
fn field_of(field: &str, invalid: &InvalidInput) -> String {
    let name = match invalid {
        InvalidInput::EmptyKey { part } | InvalidInput::OversizeKey { part, .. } | InvalidInput::NulInKey { part, .. } => {
            return format!("{field}.key.{part}");
        }
        InvalidInput::ZeroCost => "cost",
        InvalidInput::DeadlineInThePast { .. } => "timeout",
        InvalidInput::ZeroCount
        | InvalidInput::WindowOutOfRange { .. }
        | InvalidInput::UnknownAlgorithm { .. }
        | InvalidInput::MarginOutOfRange { .. }
        | InvalidInput::LimitCount { .. } => "limits",
        InvalidInput::PenaltyOutOfRange { .. } => "pause",
        // Of calls of this process only.
        InvalidInput::InsideRuntime => return field.to_owned(),
    };
    format!("{field}.{name}")
}
