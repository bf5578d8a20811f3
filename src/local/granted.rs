//! What was granted to a caller of one process.

use super::LocalLimiter;
use crate::engine::cost::{Cost, Dimension};
use crate::engine::time::Timestamp;

/// What was granted. It stays used when this is dropped.
#[derive(Debug)]
pub struct Granted<'a> {
    limiter: &'a LocalLimiter,
    cost: Cost,
    charged_at: Timestamp,
}

impl<'a> Granted<'a> {
    pub(super) const fn new(limiter: &'a LocalLimiter, cost: Cost, charged_at: Timestamp) -> Self {
        Self { limiter, cost, charged_at }
    }

    /// Gives it back, with which nothing was done: as much of it as the limits still count.
    pub fn give_back(self) {
        self.settle(Cost::ZERO);
    }

    /// Says how many tokens a call has taken. Fewer than estimated: the difference is free again, as far as the limits still count it. More: the difference counts from now
    /// on, and who comes later waits for it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use turnstile::{Cost, Dimension, LocalLimiter, RateLimit};
    ///
    /// let minute = Duration::from_secs(60);
    /// let limiter = LocalLimiter::new(RateLimit::new(500, minute).unwrap())
    ///     .and_limit(RateLimit::new(30_000, minute).unwrap().counting(Dimension::Tokens))
    ///     .unwrap();
    /// let granted = limiter.acquire_all(Cost::ONE.with_tokens(30_000), None).unwrap();
    /// assert!(limiter.try_acquire(1).is_err(), "all tokens are spoken for");
    /// granted.reconcile(2_150);
    /// assert!(limiter.try_acquire(1).is_ok());
    /// ```
    pub fn reconcile(self, tokens: u32) {
        let actual = self.cost.with(Dimension::Tokens, tokens.into());
        self.settle(actual);
    }

    /// The same, where those that go in and those that come out are counted apart.
    pub fn reconcile_apart(self, input: u32, output: u32) {
        let actual = self.cost.with_tokens_apart(input.into(), output.into());
        self.settle(actual);
    }

    fn settle(self, actual: Cost) {
        let mut state = self.limiter.lock();
        let now = self.limiter.now();
        state.refund(self.charged_at, self.cost.minus(actual));
        state.owe(now, actual.minus(self.cost));
        state.wake_first();
    }
}
