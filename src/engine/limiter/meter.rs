//! What one limit counts with: a window or a bucket, asked in the same words.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Flow};
use super::gcra::{ContinuousBucket, VirtualScheduling};
use super::leaky_bucket::LeakyBucket;
use super::pace::Pace;
use super::room::Room;
use super::sliding_window::SlidingWindow;
use super::token_bucket::TokenBucket;
use crate::engine::algorithm::Algorithm;
use crate::engine::rate::RateLimit;
use crate::engine::time::{Moment, TimeLine};

/// What was charged to one limit, by the limit's algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub enum Meter<L: TimeLine> {
    /// By the charges of one rolling window.
    Window(SlidingWindow<L>),
    /// By a rate and a burst.
    Bucket(Bucket<L>),
}

impl<L: TimeLine> Meter<L> {
    /// A meter for `limit` to which nothing was charged.
    #[must_use]
    pub fn new(limit: &RateLimit) -> Self {
        Self::with(limit, limit.period(), limit.span().saturating_sub(limit.period()))
    }

    /// A meter for `limit` without margins.
    #[must_use]
    pub fn plain(limit: &RateLimit) -> Self {
        Self::with(limit, limit.window(), Duration::ZERO)
    }

    fn with(limit: &RateLimit, period: Duration, guard: Duration) -> Self {
        let pace = Pace::new(limit.request_count(), period);
        let flow = match limit.algorithm() {
            Algorithm::SlidingWindow => {
                return Self::Window(SlidingWindow::new(limit.request_count().get(), period + guard));
            }
            Algorithm::TokenBucket => Flow::Token(TokenBucket::new(pace)),
            Algorithm::LeakyBucket => Flow::Leaky(LeakyBucket::new()),
            Algorithm::GcraVirtual => Flow::Virtual(VirtualScheduling::new()),
            Algorithm::GcraContinuous => Flow::Continuous(ContinuousBucket::new()),
        };
        Self::Bucket(Bucket::new(pace, guard, flow))
    }

    /// Counts what `former`, of the same charges by another limit, holds at `now`, unless that is less than what this one holds already. Takes
    /// windows before buckets.
    ///
    /// A window takes over a window's charges, and from a bucket as many as may have been charged in the last of its spans, all from the
    /// last charge on. A bucket counts a window's charges as they were made, and a bucket's as described in [`super::bucket`]. So whatever
    /// `former` remembers counts at least as long as if it had been charged here, and what it has forgotten does not count.
    pub(super) fn inherit(&mut self, limit: &RateLimit, former: &Self, now: Moment<L>) {
        match (&mut *self, former) {
            (Self::Window(window), Self::Window(former)) => {
                let mut resized = former.resized(limit.request_count().get(), limit.span());
                resized.room(now);
                if resized.held() > window.held() {
                    *window = resized;
                }
            }
            (Self::Window(window), Self::Bucket(former)) => {
                let charged = former.charged_since(now.saturating_sub(limit.span()));
                let beside = u32::try_from(charged.saturating_sub(window.held())).unwrap_or(u32::MAX);
                window.charge_unnamed(now, former.counts_from(), beside);
            }
            (Self::Bucket(bucket), former) => {
                let Self::Bucket(fresh) = Self::new(limit) else { return };
                bucket.join(match former {
                    Self::Window(former) => fresh.replaying_window(former),
                    Self::Bucket(former) => fresh.replaying_bucket(former),
                });
            }
        }
    }

    /// The units that may be charged at `now`; forgets what has left.
    pub fn room(&mut self, now: Moment<L>) -> u64 {
        match self {
            Self::Window(window) => window.room(now),
            Self::Bucket(bucket) => bucket.room(now),
        }
    }

    /// Whether `amount` may be charged at `now`, and else when.
    #[must_use]
    pub fn check(&self, now: Moment<L>, amount: u64) -> Room<Moment<L>> {
        match self {
            Self::Window(window) => window.check(now, amount),
            Self::Bucket(bucket) => bucket.check(now, amount),
        }
    }

    /// A moment before which a request for `amount` with `ahead` units in front of it can't be charged. `None` when `amount` is more than
    /// the whole limit.
    #[must_use]
    pub fn earliest(&self, now: Moment<L>, ahead: u64, amount: u64) -> Option<Moment<L>> {
        match self {
            Self::Window(window) => window.earliest(now, ahead, amount),
            Self::Bucket(bucket) => bucket.earliest(now, ahead, amount),
        }
    }

    /// Counts `amount` from `from` on, the end of its way to its worker, which may lie ahead of `now`. The caller has checked that there is room.
    pub fn charge(&mut self, now: Moment<L>, from: Moment<L>, amount: u32) {
        match self {
            Self::Window(window) => window.charge(now, from, amount),
            Self::Bucket(bucket) => bucket.charge(now, from, amount),
        }
    }

    /// Counts `amount` from `now` on that was taken without asking. It can't be given back.
    pub fn owe(&mut self, now: Moment<L>, amount: u32) {
        match self {
            Self::Window(window) => window.charge_unnamed(now, now, amount),
            Self::Bucket(bucket) => bucket.charge_unnamed(now, amount),
        }
    }

    /// Gives back up to `amount` of what was charged at exactly `charged_at` to count from `from` on, and says how much.
    pub fn refund(&mut self, charged_at: Moment<L>, from: Moment<L>, amount: u32) -> u32 {
        match self {
            Self::Window(window) => window.refund(charged_at, from, amount),
            Self::Bucket(bucket) => bucket.refund(charged_at, from, amount),
        }
    }

    /// When nothing counts any more; the origin when there is nothing.
    #[must_use]
    pub fn empty_at(&self) -> Moment<L> {
        match self {
            Self::Window(window) => window.empty_at(),
            Self::Bucket(bucket) => bucket.empty_at(),
        }
    }

    /// Whether more than `count` counts right after a charge: by a bucket, at the moment from which that charge counts.
    #[must_use]
    pub fn is_over(&self, count: u64) -> bool {
        match self {
            Self::Window(window) => window.held() > count,
            Self::Bucket(bucket) => bucket.charged_since(bucket.counts_from()) > count,
        }
    }

    /// The units that count at `now`.
    #[must_use]
    pub fn held(&self, now: Moment<L>) -> u64 {
        match self {
            Self::Window(window) => window.held_at(now),
            Self::Bucket(bucket) => bucket.held(now),
        }
    }
}
