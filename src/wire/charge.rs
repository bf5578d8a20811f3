//! What requests take, between nodes, as the engine's types.
//!
//! Promises: what a peer sends is parsed here, once; what doesn't parse is named by its field and the rule.

use std::time::Duration;

use super::fields::{BadField, span};
use super::v1;
use crate::engine::cost::Cost;
use crate::engine::grant::Charge;
use crate::engine::time::LedgerTime;

/// A cost as it travels.
pub(super) const fn from_cost(cost: Cost) -> v1::RoutedCost {
    let Cost { units, tokens, input_tokens, output_tokens } = cost;
    v1::RoutedCost { units, tokens, input_tokens, output_tokens }
}

/// Parses a cost, which is required.
///
/// # Errors
/// When it is missing.
pub(super) fn cost(field: &str, message: Option<v1::RoutedCost>) -> Result<Cost, BadField> {
    let v1::RoutedCost { units, tokens, input_tokens, output_tokens } = message.ok_or_else(|| BadField::missing(field))?;
    Ok(Cost { units, tokens, input_tokens, output_tokens })
}

/// Parses a charge.
///
/// # Errors
/// When its delivery bound is missing, or no span.
pub(super) fn charge(stamp_nanos: u64, delivery: Option<prost_types::Duration>) -> Result<Charge, BadField> {
    let delivery: Duration = span("delivery", delivery.ok_or_else(|| BadField::missing("delivery"))?)?;
    Ok(Charge { stamp: LedgerTime::from_nanos(stamp_nanos), delivery })
}
