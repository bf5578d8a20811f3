//! A leaky bucket as a meter: a unit raises the level by one, and the level leaks at a steady rate.
//!
//! level ← max(0, level − Δt · rate); a request for `a` waits (level + a − C) / rate if that is positive; level ← level + a. It starts empty.
//! Must not: round. A unit is kept as as many drops as the period has nanoseconds, of which `capacity` leak each nanosecond.

use serde::{Deserialize, Serialize};

use super::pace::{Pace, Parts};
use crate::engine::time::{Moment, TimeLine};

/// The level of one limit. Over its capacity when more was charged than the limit has, as by a limit that has become smaller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct LeakyBucket<L: TimeLine> {
    drops: Parts,
    leaked_at: Moment<L>,
}

impl<L: TimeLine> LeakyBucket<L> {
    /// An empty bucket.
    pub(super) const fn new() -> Self {
        Self { drops: 0, leaked_at: Moment::ZERO }
    }

    /// When there is room for `amount`. Before the last leak the level was higher, by what has leaked since.
    pub(super) fn conforms_at(&self, pace: Pace, amount: u64) -> Parts {
        let over = self.drops.saturating_add(pace.of(amount)).saturating_sub(pace.of_capacity());
        pace.at(self.leaked_at).saturating_add(over)
    }

    /// Lets it leak until `from` and pours `amount` in.
    pub(super) fn charge(&mut self, pace: Pace, from: Moment<L>, amount: u64) {
        let leaked = pace.between(self.leaked_at, from);
        self.drops = self.drops.saturating_sub(leaked).max(0).saturating_add(pace.of(amount));
        self.leaked_at = self.leaked_at.max(from);
    }

    /// Takes `amount` out again, of what is in it.
    pub(super) fn give_back(&mut self, pace: Pace, amount: u64) {
        self.drops = self.drops.saturating_sub(pace.of(amount)).max(0);
    }
}
