//! A token bucket: tokens come back at a steady rate, up to the capacity, and a unit takes one.
//!
//! tokens ← min(C, tokens + Δt · rate); a request for `a` waits (a − tokens) / rate; tokens ← tokens − a. It starts full.
//! Must not: round. A token is kept as as many shares as the period has nanoseconds, of which `capacity` come back each nanosecond.

use serde::{Deserialize, Serialize};

use super::pace::{Pace, Parts};
use crate::engine::time::{Moment, TimeLine};

/// The tokens of one limit. Fewer than none when more was charged than the limit has, as by a limit that has become smaller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct TokenBucket<L: TimeLine> {
    shares: Parts,
    refilled_at: Moment<L>,
}

impl<L: TimeLine> TokenBucket<L> {
    /// A full bucket.
    pub(super) fn new(pace: Pace) -> Self {
        Self { shares: pace.of_capacity(), refilled_at: Moment::ZERO }
    }

    /// When there are `amount` tokens. Before the last refill there were fewer, by as many as have come since.
    pub(super) fn conforms_at(&self, pace: Pace, amount: u64) -> Parts {
        let missing = pace.of(amount).saturating_sub(self.shares);
        pace.at(self.refilled_at).saturating_add(missing)
    }

    /// Refills it until `from` and takes `amount` tokens.
    pub(super) fn charge(&mut self, pace: Pace, from: Moment<L>, amount: u64) {
        let come = pace.between(self.refilled_at, from);
        self.shares = self.shares.saturating_add(come).min(pace.of_capacity()).saturating_sub(pace.of(amount));
        self.refilled_at = self.refilled_at.max(from);
    }

    /// Puts `amount` tokens back, of those that were taken since it was last full.
    pub(super) fn give_back(&mut self, pace: Pace, amount: u64) {
        self.shares = self.shares.saturating_add(pace.of(amount)).min(pace.of_capacity());
    }
}
