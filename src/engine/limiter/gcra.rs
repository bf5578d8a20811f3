//! The generic cell rate algorithm, both ways of ITU-T I.371, annex A: equal in what they let through, different in what they keep.
//!
//! A request for `a` units conforms when it comes no earlier than its tolerance τ = (C − a) · T before the theoretical arrival time (TAT), at which
//! all that was charged has gone by, one unit each T = period / capacity. A request that conforms moves the TAT on by a · T.
//! Must not: round.

use serde::{Deserialize, Serialize};

use super::pace::{Pace, Parts};
use crate::engine::time::{Moment, TimeLine};

/// How much before the theoretical arrival time a request for `amount` conforms; negative for more than the capacity.
fn tolerance(pace: Pace, amount: u64) -> Parts {
    pace.of_capacity().saturating_sub(pace.of(amount))
}

/// Virtual scheduling: the theoretical arrival time alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VirtualScheduling {
    arrival: Parts,
}

impl VirtualScheduling {
    /// Nothing has been charged.
    pub(super) const fn new() -> Self {
        Self { arrival: 0 }
    }

    /// TAT − τ.
    pub(super) fn conforms_at(&self, pace: Pace, amount: u64) -> Parts {
        self.arrival.saturating_sub(tolerance(pace, amount))
    }

    /// TAT ← max(from, TAT) + a · T.
    pub(super) fn charge<L: TimeLine>(&mut self, pace: Pace, from: Moment<L>, amount: u64) {
        self.arrival = self.arrival.max(pace.at(from)).saturating_add(pace.of(amount));
    }

    /// TAT ← TAT − a · T, for units that have not gone by.
    pub(super) fn give_back(&mut self, pace: Pace, amount: u64) {
        self.arrival = self.arrival.saturating_sub(pace.of(amount));
    }
}

/// The continuous-state leaky bucket: a level in time, as it was when a request last conformed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct ContinuousBucket<L: TimeLine> {
    level: Parts,
    conformed_at: Moment<L>,
}

impl<L: TimeLine> ContinuousBucket<L> {
    /// Nothing has been charged.
    pub(super) const fn new() -> Self {
        Self { level: 0, conformed_at: Moment::ZERO }
    }

    /// When X − (t − LCT) is no more than τ.
    pub(super) fn conforms_at(&self, pace: Pace, amount: u64) -> Parts {
        let wait = self.level.saturating_sub(tolerance(pace, amount));
        pace.at(self.conformed_at).saturating_add(wait)
    }

    /// X ← max(0, X − (from − LCT)) + a · T; LCT ← from.
    pub(super) fn charge(&mut self, pace: Pace, from: Moment<L>, amount: u64) {
        let passed = pace.between(self.conformed_at, from);
        self.level = self.level.saturating_sub(passed).max(0).saturating_add(pace.of(amount));
        self.conformed_at = self.conformed_at.max(from);
    }

    /// X ← X − a · T, for units that have not gone by.
    pub(super) fn give_back(&mut self, pace: Pace, amount: u64) {
        self.level = self.level.saturating_sub(pace.of(amount)).max(0);
    }
}
