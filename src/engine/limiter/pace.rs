//! The exact arithmetic of buckets: times in parts of 1/capacity nanoseconds.
//!
//! One unit takes period / capacity, which is no whole number of nanoseconds: 3 per second rounded up drift 665 ns in 1,000 units. In parts of
//! 1/capacity ns a unit takes exactly as many parts as the period has nanoseconds, and a nanosecond has `capacity` parts, so nothing is ever
//! rounded but the moments that are handed out: up, by less than 1 ns.
//!
//! Moments take up to 96 bits, and what any one request takes up to 114; sums that pass 127 bits stay at the end, which is later than any moment.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::time::{Moment, TimeLine, nanos_of};

/// A moment, or a span, in parts of 1/capacity ns; a moment is counted from the origin of its time line.
pub(super) type Parts = i128;

/// How fast a bucket goes: `capacity` units per period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pace {
    capacity: NonZeroU32,
    period_nanos: u64,
}

impl Pace {
    /// A period of less than a nanosecond counts as one.
    pub(super) fn new(capacity: NonZeroU32, period: Duration) -> Self {
        Self { capacity, period_nanos: nanos_of(period).max(1) }
    }

    /// The most units that may go at once.
    pub(super) fn capacity(self) -> u64 {
        u64::from(self.capacity.get())
    }

    /// How long `amount` units take, one after another.
    pub(super) fn of(self, amount: u64) -> Parts {
        Parts::from(self.period_nanos) * Parts::from(amount)
    }

    /// How long all of the capacity takes.
    pub(super) fn of_capacity(self) -> Parts {
        self.of(self.capacity())
    }

    /// How many whole units take at most `span`, from 0 to `u64::MAX`.
    pub(super) fn units_within(self, span: Parts) -> u64 {
        match u128::try_from(span) {
            Ok(span) => u64::try_from(span / u128::from(self.period_nanos)).unwrap_or(u64::MAX),
            Err(_) => 0,
        }
    }

    /// How many units take at least `span`, from 0 to `u64::MAX`.
    pub(super) fn units_over(self, span: Parts) -> u64 {
        match u128::try_from(span) {
            Ok(span) => u64::try_from(span.div_ceil(u128::from(self.period_nanos))).unwrap_or(u64::MAX),
            Err(_) => 0,
        }
    }

    /// A moment in parts.
    pub(super) fn at<L: TimeLine>(self, moment: Moment<L>) -> Parts {
        Parts::from(self.capacity.get()) * Parts::from(moment.as_nanos())
    }

    /// How long it is from `earlier` to `later`, in parts; 0 when it isn't later.
    pub(super) fn between<L: TimeLine>(self, earlier: Moment<L>, later: Moment<L>) -> Parts {
        Parts::from(self.capacity.get()) * Parts::from(later.as_nanos().saturating_sub(earlier.as_nanos()))
    }

    /// The first whole nanosecond that is not before `at`; `None` when the time line ends before.
    pub(super) fn moment<L: TimeLine>(self, at: Parts) -> Option<Moment<L>> {
        let at = u128::try_from(at).unwrap_or(0);
        u64::try_from(at.div_ceil(u128::from(self.capacity.get()))).ok().map(Moment::from_nanos)
    }
}
