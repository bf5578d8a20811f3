//! The one table of errors: why a call failed, for every protocol alike.
//!
//! Every problem says its reason for programs and its message for people; what can be tried again later says when. That there is no slot now is no problem and is
//! not here, except where the caller did not ask to be told as data.

use std::error::Error;
use std::time::Duration;

use crate::admin::AdminError;
use crate::client::{AcquireError, ReconcileError};
use crate::engine::cost::Dimension;
use crate::engine::invalid::InvalidInput;
use crate::wire::fields::BadField;

/// When to come back after a bound was reached, or while a node is out of reach: long enough for one to start.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What kind of failure it is: a line of the table, with one code in each protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A field breaks its rule.
    BadInput,
    /// A bound is reached.
    BoundReached,
    /// There is no slot within the longest wait.
    NotNow,
    /// The deadline passed.
    DeadlineExceeded,
    /// It works later, or elsewhere.
    Unavailable,
    /// It does not fit how things are.
    Precondition,
    /// There is no such thing.
    NotFound,
    /// There is one already.
    AlreadyExists,
    /// Another call took its place.
    Aborted,
    /// Not at this node.
    Unimplemented,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Which line of the table.
    pub kind: Kind,
    /// For programs.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// The field that breaks a rule, and the rule.
    pub field: Option<Box<BadField>>,
    /// The bound that is reached, and its value.
    pub bound: Option<(&'static str, usize)>,
    /// When to come back; a lower bound.
    pub retry_after: Option<Duration>,
}

/// A part of an acquire that can be wrong. Protocols have names of their own for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The acquire as a whole.
    Whole,
    /// The platform of its connection.
    Platform,
    /// The id of its connection.
    Connection,
    /// Its units.
    Cost,
    /// Its tokens.
    Tokens(Dimension),
    /// Its limits.
    Limits,
    /// How long it waits.
    Timeout,
    /// How long a pause is.
    Pause,
}

impl Problem {
    const fn new(kind: Kind, reason: &'static str, message: String) -> Self {
        Self { kind, reason, message, field: None, bound: None, retry_after: None }
    }

    fn after(self, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..self }
    }

    fn at(self, field: String) -> Self {
        let rule = self.message.clone();
        Self { field: Some(Box::new(BadField { field, rule })), ..self }
    }

    /// What an acquire, a pause or a question ended with. `name` is what the caller's protocol calls a part of it.
    pub(super) fn of(error: &AcquireError, name: impl Fn(Part) -> String) -> Self {
        let message = error.to_string();
        match error {
            AcquireError::Invalid(invalid) => BadField::new(name(part_of(invalid)), invalid).into(),
            AcquireError::CostOverLimit { limit, .. } => {
                let part = match limit.dimension() {
                    Dimension::Units => Part::Cost,
                    tokens @ (Dimension::Tokens | Dimension::InputTokens | Dimension::OutputTokens) => Part::Tokens(tokens),
                };
                Self::new(Kind::BadInput, "COST_OVER_LIMIT", message).at(name(part))
            }
            AcquireError::NotNow { retry_after } => Self::new(Kind::NotNow, "NOT_NOW", message).after(*retry_after),
            AcquireError::DeadlineExceeded { .. } => Self::new(Kind::DeadlineExceeded, "DEADLINE_EXCEEDED", message),
            AcquireError::BoundReached { bound, max } => Self::bound_reached(bound, *max),
            AcquireError::LimitsDiffer { .. } => Self::new(Kind::Precondition, "LIMITS_DIFFER", message).at(name(Part::Limits)),
            AcquireError::RequestIdReused => Self::new(Kind::AlreadyExists, "REQUEST_ID_REUSED", message),
            AcquireError::AlreadyGranted => Self::new(Kind::AlreadyExists, "ALREADY_GRANTED", message),
            AcquireError::Superseded => Self::new(Kind::Aborted, "SUPERSEDED", message),
            AcquireError::Unavailable { .. } => Self::later("OWNER_UNAVAILABLE", message),
            AcquireError::Stopped { .. } => Self::later("NODE_STOPPED", message),
        }
    }

    /// What a reconcile ended with.
    pub(super) fn of_reconcile(error: &ReconcileError) -> Self {
        match error {
            ReconcileError::NotOpen => Self::not_found("NOT_OPEN", &error.to_string()),
            ReconcileError::NotTold(error) => Self::of(error, |_| "permit".to_owned()),
        }
    }

    /// A bound is reached, which has this name and this value.
    pub(super) fn bound_reached(bound: &'static str, max: usize) -> Self {
        let problem = Self::new(Kind::BoundReached, "BOUND_REACHED", format!("{bound} is reached: {max}"));
        Self { bound: Some((bound, max)), ..problem.after(RETRY_AFTER) }
    }

    /// The server serves no more.
    pub(super) fn draining() -> Self {
        Self::later("SERVER_STOPPING", "the server is stopping".to_owned())
    }

    /// A node could not be drained, and stays.
    pub(super) fn not_drained(error: &dyn Error) -> Self {
        Self::later("NOT_DRAINED", error.to_string())
    }

    /// Nobody owns connections: the node's cluster has lost all members that it knew.
    pub(super) fn no_owner() -> Self {
        Self::later("NO_OWNER", "no node of the cluster owns connections now".to_owned())
    }

    /// The cluster could not be asked or told.
    pub(super) fn no_quorum(error: &dyn Error) -> Self {
        Self::later("NO_QUORUM", error.to_string())
    }

    /// It works later, or elsewhere.
    pub(super) fn later(reason: &'static str, message: String) -> Self {
        Self::new(Kind::Unavailable, reason, message).after(RETRY_AFTER)
    }

    /// There is no such thing.
    pub(super) fn not_found(reason: &'static str, message: &str) -> Self {
        Self::new(Kind::NotFound, reason, message.to_owned())
    }

    /// The permit is over.
    pub(super) fn not_open() -> Self {
        let message = "the permit can't be given back: its window has passed, or what it has taken was said";
        Self::not_found("NOT_OPEN", message)
    }

    /// Nobody has set limits there.
    pub(super) fn no_limits() -> Self {
        Self::not_found("NO_LIMITS", "no limits are set there")
    }

    /// The request does not wait.
    pub(super) fn not_waiting() -> Self {
        Self::not_found(
            "NOT_WAITING",
            "no request of this id waits for this connection: it was never made, has its slot, or has ended",
        )
    }

    /// What an operator's wish came to.
    pub(super) fn of_admin(error: &AdminError) -> Self {
        match error {
            AdminError::TooManyPatterns { max } => Self::bound_reached("limit patterns", *max),
            AdminError::NoQuorum { .. } => Self::no_quorum(error),
            AdminError::Stopped { .. } => Self::later("NODE_STOPPED", error.to_string()),
        }
    }

    /// The session has an open request of this id.
    pub(super) fn request_id_in_use() -> Self {
        let message = "a request with this id is open in this session";
        Self::new(Kind::AlreadyExists, "REQUEST_ID_IN_USE", message.to_owned())
    }

    /// The node was started without fault injection.
    pub(super) fn no_fault_injection() -> Self {
        let message = "fault injection is not enabled at this node (enable_fault_injection)";
        Self::new(Kind::Unimplemented, "FAULT_INJECTION_DISABLED", message.to_owned())
    }

    /// The node stands alone.
    pub(super) fn no_peers(error: &dyn Error) -> Self {
        Self::new(Kind::Precondition, "NO_PEERS", error.to_string()).at("nodes".to_owned())
    }
}

impl From<BadField> for Problem {
    fn from(bad: BadField) -> Self {
        let message = bad.to_string();
        Self { field: Some(Box::new(bad)), ..Self::new(Kind::BadInput, "BAD_INPUT", message) }
    }
}

/// Which part of an acquire the engine found invalid; parsing finds most of them before it.
fn part_of(invalid: &InvalidInput) -> Part {
    match invalid {
        InvalidInput::EmptyKey { part } | InvalidInput::OversizeKey { part, .. } | InvalidInput::NulInKey { part, .. } => {
            if *part == "platform" { Part::Platform } else { Part::Connection }
        }
        InvalidInput::ZeroCost => Part::Cost,
        InvalidInput::DeadlineInThePast { .. } => Part::Timeout,
        InvalidInput::ZeroCount
        | InvalidInput::WindowOutOfRange { .. }
        | InvalidInput::UnknownAlgorithm { .. }
        | InvalidInput::MarginOutOfRange { .. }
        | InvalidInput::LimitCount { .. } => Part::Limits,
        InvalidInput::PenaltyOutOfRange { .. } => Part::Pause,
        // Of calls of this process only.
        InvalidInput::InsideRuntime => Part::Whole,
    }
}
