//! How much, how urgent, how often: costs, niceness, limits and their margins.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::algorithm::Algorithm;
use crate::engine::cost::{Cost, Dimension};
use crate::engine::fault::Fault;
use crate::engine::invalid::InvalidInput;

/// The most limits one connection may carry at once.
pub const MAX_LIMITS: usize = 8;

/// The shortest and the longest window.
const WINDOW_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(7 * 24 * 3600);

/// The longest delivery bound or guard a limit may set.
const MAX_MARGIN: Duration = Duration::from_secs(60);

/// How long a request steps back for others: 0 is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Niceness(u32);

impl Niceness {
    /// The most urgent niceness.
    pub const URGENT: Self = Self(0);

    /// Any `u32` is a niceness; lower ones go first.
    #[must_use]
    pub const fn new(niceness: u32) -> Self {
        Self(niceness)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// At most `request_count` units per window, as its [`Algorithm`] counts them, and the margin kept for the way to the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RateLimit {
    request_count: NonZeroU32,
    window: Duration,
    dimension: Dimension,
    delivery: Option<Duration>,
    guard: Option<Duration>,
    algorithm: Algorithm,
}

impl RateLimit {
    /// At most `request_count` units in any half-open rolling window of `window` (1 ms to 7 days), unless [`RateLimit::by`] says otherwise.
    ///
    /// # Errors
    /// [`InvalidInput`] for a count of 0 or a window outside its range.
    pub fn new(request_count: u32, window: Duration) -> Result<Self, InvalidInput> {
        let request_count = NonZeroU32::new(request_count).ok_or(InvalidInput::ZeroCount)?;
        if !WINDOW_RANGE.contains(&window) {
            return Err(InvalidInput::WindowOutOfRange { window });
        }
        let (dimension, algorithm) = (Dimension::default(), Algorithm::default());
        Ok(Self { request_count, window, dimension, delivery: None, guard: None, algorithm })
    }

    /// The same limit, counted by `algorithm`. To a bucket the count is its capacity, which may go at once, and the window is the time in which
    /// an empty one has all of it again.
    #[must_use]
    pub const fn by(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// The same limit, counting `dimension`.
    #[must_use]
    pub const fn counting(self, dimension: Dimension) -> Self {
        Self { dimension, ..self }
    }

    /// The same limit with its own delivery bound (0 to 60 s): a grant that reaches its worker later is
    /// not started. 0 accepts whatever the delivery takes.
    ///
    /// # Errors
    /// [`InvalidInput::MarginOutOfRange`].
    pub fn with_delivery_bound(self, delivery: Duration) -> Result<Self, InvalidInput> {
        check_margin("delivery bound", delivery)?;
        Ok(Self { delivery: Some(delivery), ..self })
    }

    /// The same limit with its own guard (0 to 60 s) for the way from the worker to the platform.
    ///
    /// # Errors
    /// [`InvalidInput::MarginOutOfRange`].
    pub fn with_guard(self, guard: Duration) -> Result<Self, InvalidInput> {
        check_margin("guard", guard)?;
        Ok(Self { guard: Some(guard), ..self })
    }

    /// The most units in one window; of a bucket, its capacity.
    #[must_use]
    pub const fn request_count(&self) -> NonZeroU32 {
        self.request_count
    }

    /// Whether a request of this cost never fits, however empty the window is.
    #[must_use]
    pub fn is_exceeded_by(&self, cost: Cost) -> bool {
        cost.along(self.dimension) > u64::from(self.request_count.get())
    }

    /// The length of the rolling window; of a bucket, the time in which its capacity comes back.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// How it is counted.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Which component of a cost is counted.
    #[must_use]
    pub const fn dimension(&self) -> Dimension {
        self.dimension
    }

    /// The delivery bound, if it was set.
    #[must_use]
    pub const fn own_delivery_bound(&self) -> Option<Duration> {
        self.delivery
    }

    /// The guard, if it was set.
    #[must_use]
    pub const fn own_guard(&self) -> Option<Duration> {
        self.guard
    }

    /// How late a grant may reach its worker: as set, or 1 % of the window, 20 ms to 100 ms.
    #[must_use]
    pub fn delivery_bound(&self) -> Duration {
        self.delivery.unwrap_or_else(|| (self.window / 100).clamp(Duration::from_millis(20), Duration::from_millis(100)))
    }

    /// What the way to the platform may take: as set, or 0.5 % of the window, 10 ms to 100 ms, and
    /// 1/2000 of the window for clocks that run at different rates.
    #[must_use]
    pub fn guard(&self) -> Duration {
        self.guard.unwrap_or_else(|| {
            (self.window / 200).clamp(Duration::from_millis(10), Duration::from_millis(100)) + self.window / 2000
        })
    }

    /// In how long all of a bucket's capacity comes back: the window, and 1/2000 of it (no more than the guard) for clocks that run at different
    /// rates: their difference adds up for as long as a bucket is busy, where a window's ends with the window. Of a window, its length.
    #[must_use]
    pub fn period(&self) -> Duration {
        if !self.algorithm.is_bucket() || Fault::MarginIgnored.is_planted() {
            return self.window;
        }
        self.window + (self.window / 2000).min(self.guard())
    }

    /// How long a charge counts beyond its delivery, at most: the period and the guard.
    #[must_use]
    pub fn span(&self) -> Duration {
        if Fault::MarginIgnored.is_planted() {
            return self.window;
        }
        self.period() + self.guard()
    }
}

/// `5 per 60s`, and by which algorithm unless it is the default one.
impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} per {:?}", self.request_count, self.dimension, self.window)?;
        if self.algorithm.is_bucket() { write!(f, " by {}", self.algorithm) } else { Ok(()) }
    }
}

fn check_margin(name: &'static str, value: Duration) -> Result<(), InvalidInput> {
    if value > MAX_MARGIN { Err(InvalidInput::MarginOutOfRange { name, value }) } else { Ok(()) }
}

/// The limits of one connection: 1 to [`MAX_LIMITS`], sorted, each once. All must have room.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits(Arc<[RateLimit]>);

impl Limits {
    /// Sorts the limits and drops repeated ones.
    ///
    /// # Errors
    /// [`InvalidInput::LimitCount`] for none, or more than [`MAX_LIMITS`] different ones.
    pub fn new(limits: impl IntoIterator<Item = RateLimit>) -> Result<Self, InvalidInput> {
        let mut limits: Vec<_> = limits.into_iter().collect();
        limits.sort_unstable();
        limits.dedup();
        if limits.is_empty() || limits.len() > MAX_LIMITS {
            return Err(InvalidInput::LimitCount { count: limits.len() });
        }
        Ok(Self(limits.into()))
    }

    /// The limits in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, RateLimit> {
        self.0.iter()
    }

    /// The same cost, estimated at 1 where a limit counts what nobody has estimated.
    #[must_use]
    pub fn estimate(&self, cost: Cost) -> Cost {
        let unsaid =
            self.iter().map(RateLimit::dimension).filter(|dimension| dimension.is_estimated() && cost.along(*dimension) == 0);
        unsaid.fold(cost, |cost, dimension| cost.with(dimension, 1))
    }

    /// Whether these are the same limits; at once when they are one and the same list.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self == other
    }

    /// Whether all of `other` are among these; at once when they are one and the same list.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || other.iter().all(|limit| self.0.binary_search(limit).is_ok())
    }

    /// All limits of both.
    ///
    /// # Errors
    /// [`InvalidInput::LimitCount`] when together they are more than [`MAX_LIMITS`].
    pub fn union(&self, other: &Self) -> Result<Self, InvalidInput> {
        Self::new(self.iter().chain(other).copied())
    }
}

impl From<RateLimit> for Limits {
    fn from(limit: RateLimit) -> Self {
        Self(Arc::from([limit]))
    }
}

impl<'a> IntoIterator for &'a Limits {
    type Item = &'a RateLimit;
    type IntoIter = std::slice::Iter<'a, RateLimit>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
