//! What nodes say to each other, as the engine's types.
//!
//! Promises: what a peer sends is parsed here, once; what doesn't parse is named by its field and the rule.

use std::time::Duration;

use super::adjustment::adjusted;
use super::charge::{cost, from_cost};
use super::explanation::explanation;
use super::fields::{BadField, epoch, from_key, key, limits, request_id, request_id_bytes, span, to_limit, to_limits, to_span};
use super::v1;
use super::v1::owner_message::Message as OwnerSays;
use super::v1::routed_acquire::Patience as RoutedPatience;
use super::v1::routed_refusal::Reason;
use crate::engine::cost::Cost;
use crate::engine::grant::{ArrivalNumber, Charge, Epoch, Grant, ReleaseNumber, RequestId, Tenure};
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::Adjusted;
use crate::engine::rate::{Limits, Niceness};
use crate::engine::throttle::{Explanation, Refusal};
use crate::engine::time::{LedgerTime, Timestamp};

/// How long an acquire waits, counted from when its router sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatienceLeft {
    /// Until it is granted.
    Endless,
    /// So long, then it ends with an error.
    Deadline(Duration),
    /// So long, and not at all once its wait is known to be longer.
    MaxWait(Duration),
    /// Not at all.
    Never,
}

/// An acquire between a router and an owner on another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoutedAcquire {
    /// Which connection.
    pub key: ConnectionKey,
    /// By which ring its router has found the owner.
    pub epoch: Epoch,
    /// Its id.
    pub id: RequestId,
    /// Whether its caller may send it again.
    pub retryable: bool,
    /// 0 is served first.
    pub niceness: Niceness,
    /// What it takes.
    pub cost: Cost,
    /// What the connection may take.
    pub limits: Limits,
    /// When it began to wait, by its router's clock, if it comes from an owner before this one.
    pub began_at: Option<Timestamp>,
    /// How long it waits from now on.
    pub patience: PatienceLeft,
}

/// A refusal between nodes; [`Refusal::Moved`] with the ring that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RoutedRefusal {
    /// The owner's own.
    Refusal(Refusal),
    /// The connection has another owner.
    Moved(Epoch),
    /// The owner has too many connections in memory.
    TooManyConnections(usize),
    /// Too many acquires of this session are open.
    TooManyInFlight(usize),
}

/// What an owner answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RoutedAnswer {
    /// A slot, by the router's clock.
    Granted(Grant),
    /// None.
    Refused(RoutedRefusal),
    /// What became of an adjustment.
    Adjusted(Adjusted),
    /// How a request stands.
    Explained(Option<Explanation>),
}

/// An acquire as it travels.
pub(crate) fn from_acquire(acquire: &RoutedAcquire) -> v1::RoutedAcquire {
    let patience = match acquire.patience {
        PatienceLeft::Endless => None,
        PatienceLeft::Deadline(left) => Some(RoutedPatience::DeadlineIn(to_span(left))),
        PatienceLeft::MaxWait(left) => Some(RoutedPatience::MaxWait(to_span(left))),
        PatienceLeft::Never => Some(RoutedPatience::Never(v1::RoutedEnd {})),
    };
    v1::RoutedAcquire {
        key: Some(from_key(&acquire.key)),
        epoch: acquire.epoch.0.0,
        request_id: request_id_bytes(acquire.id),
        is_retryable: acquire.retryable,
        niceness: acquire.niceness.get(),
        cost: Some(from_cost(acquire.cost)),
        limits: to_limits(acquire.limits.iter()),
        began_at_nanos: acquire.began_at.map(Timestamp::as_nanos),
        patience,
    }
}

/// Parses an acquire.
///
/// # Errors
/// The first field that breaks its rule.
pub(crate) fn acquire(message: v1::RoutedAcquire) -> Result<RoutedAcquire, BadField> {
    let patience = match message.patience {
        None => PatienceLeft::Endless,
        Some(RoutedPatience::DeadlineIn(left)) => PatienceLeft::Deadline(span("deadline_in", left)?),
        Some(RoutedPatience::MaxWait(left)) => PatienceLeft::MaxWait(span("max_wait", left)?),
        Some(RoutedPatience::Never(_)) => PatienceLeft::Never,
    };
    Ok(RoutedAcquire {
        key: key("key", message.key)?,
        epoch: epoch(message.epoch),
        id: request_id("request_id", &message.request_id)?,
        retryable: message.is_retryable,
        niceness: Niceness::new(message.niceness),
        cost: cost("cost", message.cost)?,
        limits: limits("limits", &message.limits)?,
        began_at: message.began_at_nanos.map(Timestamp::from_nanos),
        patience,
    })
}

/// A slot as it travels, with the newest stamp that its owner has of the router at `now`.
pub(crate) fn from_grant(grant: &Grant, stamp_nanos: u64, now: Timestamp) -> OwnerSays {
    OwnerSays::Granted(v1::RoutedGrant {
        tenure: grant.tenure.get(),
        arrival: grant.arrival.get(),
        waits_since: grant.waits_since.get(),
        release: grant.release.get(),
        charged_at_nanos: grant.charge.stamp.as_nanos(),
        delivery: Some(to_span(grant.charge.delivery)),
        guard: Some(to_span(grant.guard)),
        stamp_nanos,
        age: Some(to_span(now.saturating_since(grant.proposed_at))),
        waited: Some(to_span(grant.released_at.saturating_since(grant.arrived_at))),
    })
}

/// A refusal as it travels.
pub(crate) fn from_refusal(refusal: &RoutedRefusal) -> OwnerSays {
    let count = |bound: usize| u64::try_from(bound).unwrap_or(u64::MAX);
    let end = v1::RoutedEnd {};
    let reason = match refusal {
        RoutedRefusal::Moved(epoch) => Reason::Moved(epoch.0.0),
        RoutedRefusal::TooManyConnections(bound) => Reason::TooManyConnections(count(*bound)),
        RoutedRefusal::TooManyInFlight(bound) => Reason::TooManyInFlight(count(*bound)),
        RoutedRefusal::Refusal(refusal) => match refusal {
            Refusal::NotNow { retry_after } => Reason::NotNow(to_span(*retry_after)),
            Refusal::Deadline { waited } => Reason::Deadline(to_span(*waited)),
            Refusal::CostOverLimit { limit, .. } => Reason::CostOverLimit(to_limit(limit)),
            Refusal::QueueFull { max_waiters } => Reason::QueueFull(count(*max_waiters)),
            Refusal::TooManyLimits { retry_after } => Reason::TooManyLimits(to_span(*retry_after)),
            Refusal::LimitsDiffer { in_force } => Reason::LimitsDiffer(v1::RateLimits { limits: to_limits(in_force) }),
            Refusal::RequestIdReused => Reason::RequestIdReused(end),
            Refusal::Superseded => Reason::Superseded(end),
            Refusal::AlreadyGranted => Reason::AlreadyGranted(end),
            // The session says by which ring.
            Refusal::Moved => Reason::Moved(0),
        },
    };
    OwnerSays::Refused(v1::RoutedRefusal { reason: Some(reason) })
}

/// Parses an owner's answer to a request of this niceness and cost. A grant's moments are those of the router's own clock: never later than
/// they were, so that a slot never seems younger than it is.
///
/// # Errors
/// The first field that breaks its rule.
pub(crate) fn answer(message: OwnerSays, niceness: Niceness, cost: Cost) -> Result<RoutedAnswer, BadField> {
    match message {
        OwnerSays::Granted(granted) => grant(&granted, niceness, cost).map(RoutedAnswer::Granted),
        OwnerSays::Refused(refused) => {
            let reason = refused.reason.ok_or_else(|| BadField::missing("reason"))?;
            refusal(reason, cost).map(RoutedAnswer::Refused)
        }
        OwnerSays::Explained(message) => explanation(message).map(RoutedAnswer::Explained),
        OwnerSays::Adjusted(message) => adjusted(message).map(RoutedAnswer::Adjusted),
    }
}

fn grant(granted: &v1::RoutedGrant, niceness: Niceness, cost: Cost) -> Result<Grant, BadField> {
    let required =
        |field: &str, message: Option<prost_types::Duration>| span(field, message.ok_or_else(|| BadField::missing(field))?);
    let echoed = Timestamp::from_nanos(granted.stamp_nanos);
    Ok(Grant {
        tenure: Tenure::new(granted.tenure),
        arrival: ArrivalNumber::from_wire(granted.arrival),
        waits_since: ArrivalNumber::from_wire(granted.waits_since),
        release: ReleaseNumber::from_wire(granted.release),
        niceness,
        cost,
        charge: Charge {
            stamp: LedgerTime::from_nanos(granted.charged_at_nanos),
            delivery: required("delivery", granted.delivery)?,
        },
        guard: required("guard", granted.guard)?,
        proposed_at: echoed.saturating_sub(required("age", granted.age)?),
        arrived_at: echoed.saturating_sub(required("waited", granted.waited)?),
        released_at: echoed,
    })
}

fn refusal(reason: Reason, cost: Cost) -> Result<RoutedRefusal, BadField> {
    let count = |bound: u64| usize::try_from(bound).unwrap_or(usize::MAX);
    let refusal = match reason {
        Reason::NotNow(after) => Refusal::NotNow { retry_after: span("not_now", after)? },
        Reason::Deadline(waited) => Refusal::Deadline { waited: span("deadline", waited)? },
        Reason::CostOverLimit(limit) => {
            let limits = limits("cost_over_limit", &[limit])?;
            let limit = *limits.iter().next().ok_or_else(|| BadField::new("cost_over_limit", "is empty"))?;
            Refusal::CostOverLimit { cost, limit }
        }
        Reason::QueueFull(bound) => Refusal::QueueFull { max_waiters: count(bound) },
        Reason::TooManyLimits(after) => Refusal::TooManyLimits { retry_after: span("too_many_limits", after)? },
        Reason::LimitsDiffer(rule) => {
            Refusal::LimitsDiffer { in_force: limits("limits_differ", &rule.limits)?.iter().copied().collect() }
        }
        Reason::RequestIdReused(_) => Refusal::RequestIdReused,
        Reason::Superseded(_) => Refusal::Superseded,
        Reason::AlreadyGranted(_) => Refusal::AlreadyGranted,
        Reason::Moved(number) => return Ok(RoutedRefusal::Moved(epoch(number))),
        Reason::TooManyConnections(bound) => return Ok(RoutedRefusal::TooManyConnections(count(bound))),
        Reason::TooManyInFlight(bound) => return Ok(RoutedRefusal::TooManyInFlight(count(bound))),
    };
    Ok(RoutedRefusal::Refusal(refusal))
}

/// A moment of this process's clock as it travels.
pub(crate) fn stamp(now: Timestamp) -> u64 {
    now.as_nanos()
}
