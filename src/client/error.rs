//! Why a call did not run.

use std::time::Duration;

use thiserror::Error;

use crate::engine::cost::Cost;
use crate::engine::invalid::InvalidInput;
use crate::engine::rate::RateLimit;
use crate::engine::throttle::Refusal;
use crate::router::RouteError;

/// Why an acquire ended without a permit. One variant for each decision its caller can make.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AcquireError {
    /// The request can never be served as it is.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// It takes more than a whole window of a limit.
    #[error("cost of {units} units and {tokens} tokens is over the limit of {limit}", units = cost.units, tokens = cost.tokens)]
    CostOverLimit {
        /// What it takes.
        cost: Cost,
        /// The limit that never has that much.
        limit: RateLimit,
    },
    /// The wait is, or has become, longer than the caller's `max_wait`.
    #[error("no slot within the longest wait; not before {retry_after:?} from now")]
    NotNow {
        /// A lower bound.
        retry_after: Duration,
    },
    /// The deadline passed while it waited.
    #[error("deadline passed after {waited:?} in the queue")]
    DeadlineExceeded {
        /// How long it waited.
        waited: Duration,
    },
    /// A bound of the node or the connection is reached.
    #[error("{bound} is reached: {max}")]
    BoundReached {
        /// Which: a field of [`NodeConfig`](crate::NodeConfig), or `limits per connection`.
        bound: &'static str,
        /// Its value.
        max: usize,
    },
    /// Its limits differ from those in force, and the node's `strict_limits` is on.
    #[error("limits differ from those in force: {}", list(in_force))]
    LimitsDiffer {
        /// What rules.
        in_force: Vec<RateLimit>,
    },
    /// Its request id belongs to a request with another niceness, cost or limits.
    #[error("request id was used before with other arguments")]
    RequestIdReused,
    /// A request with this id was granted already.
    #[error("a request with this id was granted already")]
    AlreadyGranted,
    /// A retry with the same request id took its place in the queue.
    #[error("a retry with the same request id took this one's place")]
    Superseded,
    /// The connection's owner can't be reached.
    #[error("{reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// The node has stopped.
    #[error("the node has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

fn list(limits: &[RateLimit]) -> String {
    let each = limits.iter().map(RateLimit::to_string);
    each.collect::<Vec<_>>().join(" and ")
}

impl From<RouteError> for AcquireError {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::Refused(refusal) => refusal.into(),
            RouteError::TooManyConnections { max_connections } => {
                Self::BoundReached { bound: "max_connections", max: max_connections }
            }
            RouteError::TooManyInFlight { max_in_flight } => Self::BoundReached { bound: "max_in_flight", max: max_in_flight },
            RouteError::OutOfReach { .. } => Self::Unavailable { reason: error.to_string() },
            RouteError::Stopped { reason } => Self::Stopped { reason },
        }
    }
}

impl From<Refusal> for AcquireError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotNow { retry_after } => Self::NotNow { retry_after },
            Refusal::Deadline { waited } => Self::DeadlineExceeded { waited },
            Refusal::CostOverLimit { cost, limit } => Self::CostOverLimit { cost, limit },
            Refusal::QueueFull { max_waiters } => Self::BoundReached { bound: "max_waiters_per_connection", max: max_waiters },
            Refusal::TooManyLimits { .. } => {
                Self::BoundReached { bound: "limits per connection", max: crate::engine::rate::MAX_LIMITS }
            }
            Refusal::LimitsDiffer { in_force } => Self::LimitsDiffer { in_force },
            Refusal::RequestIdReused => Self::RequestIdReused,
            Refusal::AlreadyGranted => Self::AlreadyGranted,
            Refusal::Superseded => Self::Superseded,
            Refusal::Moved => Self::Unavailable { reason: "the connection's owner has moved".to_owned() },
        }
    }
}
