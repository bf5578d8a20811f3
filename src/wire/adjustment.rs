//! Adjustments between nodes, as the engine's types.
//!
//! Promises: what a peer sends is parsed here, once; what doesn't parse is named by its field and the rule.

use super::charge::{charge, cost, from_cost};
use super::claim::{claim, from_claim};
use super::fields::{BadField, epoch, from_key, key, request_id, request_id_bytes, span, to_span};
use super::v1;
use super::v1::routed_adjusted::Outcome;
use super::v1::routed_adjustment::Adjustment as Routed;
use crate::engine::grant::{Epoch, ReleaseNumber, Tenure};
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::{Adjusted, Adjustment, PermitId, Reconcile};
use crate::engine::time::LedgerTime;

/// An adjustment between a router and an owner on another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoutedAdjustment {
    /// Which connection.
    pub key: ConnectionKey,
    /// By which ring its router has found the owner.
    pub epoch: Epoch,
    /// What is to change.
    pub adjustment: Adjustment,
}

/// An adjustment as it travels.
pub(crate) fn from_adjustment(routed: &RoutedAdjustment) -> v1::RoutedAdjustment {
    let adjustment = match &routed.adjustment {
        Adjustment::Penalize(pause) => Routed::Penalize(to_span(*pause)),
        Adjustment::Pause => Routed::Pause(v1::RoutedEnd {}),
        Adjustment::Resume => Routed::Resume(v1::RoutedEnd {}),
        Adjustment::Release(slot) => Routed::Release(from_claim(&routed.key, slot)),
        Adjustment::Reconcile(reconcile) => Routed::Reconcile(v1::RoutedReconcile {
            tenure: reconcile.permit.tenure.get(),
            release: reconcile.permit.release.get(),
            charged_at_nanos: reconcile.charge.stamp.as_nanos(),
            delivery: Some(to_span(reconcile.charge.delivery)),
            estimate: Some(from_cost(reconcile.estimate)),
            actual: Some(from_cost(reconcile.actual)),
        }),
    };
    v1::RoutedAdjustment { key: Some(from_key(&routed.key)), epoch: routed.epoch.0.0, adjustment: Some(adjustment) }
}

/// Parses an adjustment.
///
/// # Errors
/// The first field that breaks its rule.
pub(crate) fn adjustment(message: v1::RoutedAdjustment) -> Result<RoutedAdjustment, BadField> {
    let adjustment = match message.adjustment.ok_or_else(|| BadField::missing("adjustment"))? {
        Routed::Penalize(pause) => Adjustment::Penalize(span("penalize", pause)?),
        Routed::Pause(_) => Adjustment::Pause,
        Routed::Resume(_) => Adjustment::Resume,
        Routed::Release(slot) => Adjustment::Release(claim(slot)?.1),
        Routed::Reconcile(reconcile) => Adjustment::Reconcile(Reconcile {
            permit: PermitId { tenure: Tenure::new(reconcile.tenure), release: ReleaseNumber::from_wire(reconcile.release) },
            charge: charge(reconcile.charged_at_nanos, reconcile.delivery)?,
            estimate: cost("estimate", reconcile.estimate)?,
            actual: cost("actual", reconcile.actual)?,
        }),
    };
    Ok(RoutedAdjustment { key: key("key", message.key)?, epoch: epoch(message.epoch), adjustment })
}

/// What became of an adjustment, as it travels.
pub(crate) fn from_adjusted(adjusted: &Adjusted) -> v1::RoutedAdjusted {
    let outcome = match adjusted {
        Adjusted::Paused { until } => Outcome::PausedUntilNanos(until.as_nanos()),
        Adjusted::Reconciled { charge, refunded, owed } => Outcome::Reconciled(v1::RoutedReconciled {
            charged_at_nanos: charge.stamp.as_nanos(),
            delivery: Some(to_span(charge.delivery)),
            refunded: Some(from_cost(*refunded)),
            owed: Some(from_cost(*owed)),
        }),
        Adjusted::Resumed => Outcome::Resumed(v1::RoutedEnd {}),
        Adjusted::Released { request, charge, refunded } => Outcome::Released(v1::RoutedReleased {
            request_id: request_id_bytes(*request),
            charged_at_nanos: charge.stamp.as_nanos(),
            delivery: Some(to_span(charge.delivery)),
            refunded: Some(from_cost(*refunded)),
        }),
        Adjusted::Known => Outcome::Known(v1::RoutedEnd {}),
        Adjusted::Unknown => Outcome::Unknown(v1::RoutedEnd {}),
    };
    v1::RoutedAdjusted { outcome: Some(outcome) }
}

/// Parses what became of an adjustment.
///
/// # Errors
/// The first field that breaks its rule.
pub(super) fn adjusted(message: v1::RoutedAdjusted) -> Result<Adjusted, BadField> {
    Ok(match message.outcome.ok_or_else(|| BadField::missing("outcome"))? {
        Outcome::PausedUntilNanos(until) => Adjusted::Paused { until: LedgerTime::from_nanos(until) },
        Outcome::Reconciled(reconciled) => Adjusted::Reconciled {
            charge: charge(reconciled.charged_at_nanos, reconciled.delivery)?,
            refunded: cost("refunded", reconciled.refunded)?,
            owed: cost("owed", reconciled.owed)?,
        },
        Outcome::Resumed(_) => Adjusted::Resumed,
        Outcome::Released(released) => Adjusted::Released {
            request: request_id("request_id", &released.request_id)?,
            charge: charge(released.charged_at_nanos, released.delivery)?,
            refunded: cost("refunded", released.refunded)?,
        },
        Outcome::Known(_) => Adjusted::Known,
        Outcome::Unknown(_) => Adjusted::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::cost::Cost;
    use crate::engine::grant::{Charge, RequestId};
    use crate::engine::ledger::Release;

    #[test]
    fn an_adjustment_and_what_became_of_it_come_back_as_they_went() {
        let charge = Charge { stamp: LedgerTime::from_nanos(7), delivery: Duration::from_millis(8) };
        let permit = PermitId { tenure: Tenure::new(3), release: ReleaseNumber::from_wire(4) };
        let (estimate, actual) = (Cost::ONE.with_tokens_apart(60, 30), Cost::ONE.with_tokens(9));
        let reconcile = Reconcile { permit, charge, estimate, actual };
        let (paused, reconciled) = (
            Adjusted::Paused { until: LedgerTime::from_nanos(5) },
            Adjusted::Reconciled { charge, refunded: estimate, owed: actual },
        );
        let request = RequestId::new(11);
        let release = Adjustment::Release(Release { permit, request, charge, cost: estimate });
        let penalty = Adjustment::Penalize(Duration::from_secs(1));
        for adjustment in [penalty, Adjustment::Pause, Adjustment::Resume, Adjustment::Reconcile(reconcile), release] {
            let routed = RoutedAdjustment { key: ConnectionKey::new("a", "b").expect("a key"), epoch: epoch(6), adjustment };
            assert_eq!(super::adjustment(from_adjustment(&routed)), Ok(routed));
        }
        let released = Adjusted::Released { request, charge, refunded: estimate };
        for outcome in [paused, Adjusted::Resumed, reconciled, released, Adjusted::Known, Adjusted::Unknown] {
            assert_eq!(adjusted(from_adjusted(&outcome)), Ok(outcome));
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let empty = v1::RoutedAdjustment { key: None, epoch: 1, adjustment: None };
        assert_eq!(
            adjustment(empty).map_err(|error| error.to_string()),
            Err("adjustment: is not set: it is required".to_owned())
        );
        let reconcile =
            Routed::Reconcile(v1::RoutedReconcile { delivery: Some(to_span(Duration::ZERO)), ..v1::RoutedReconcile::default() });
        let without = v1::RoutedAdjustment { key: None, epoch: 1, adjustment: Some(reconcile) };
        assert_eq!(
            adjustment(without).map_err(|error| error.to_string()),
            Err("estimate: is not set: it is required".to_owned())
        );
    }
}
