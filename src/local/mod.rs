//! Limits for the callers of one process, without a cluster: [`LocalLimiter`], and [`KeyedLimiter`] for many of them.
//!
//! Promises: whoever waits is served in the order in which it came, so that a large request in front holds back small ones; a wait that ends by its
//! timeout leaves no charge. The algorithms are the plain ones, without the margins of a cluster.
//! Must not: read a clock anywhere but in [`LocalLimiter::now`], or spin.

mod keyed;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use thiserror::Error;

pub use self::keyed::{KeyedLimiter, TooManyKeys};
use crate::engine::limiter::{Meter, Room};
use crate::engine::rate::RateLimit;
use crate::engine::time::{Local, Timestamp};

/// Why a request of a [`LocalLimiter`] was not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LocalError {
    /// It takes more than the limit ever has.
    #[error("amount is {amount}: it takes at most the capacity of {capacity}")]
    OverCapacity {
        /// What was asked for.
        amount: u32,
        /// What the limit has.
        capacity: u32,
    },
    /// There is no room now, or somebody waits for it already.
    #[error("no room now; not before {retry_after:?} from now")]
    NotNow {
        /// A lower bound.
        retry_after: Duration,
    },
    /// The timeout passed while it waited.
    #[error("no room within {timeout:?}")]
    TimedOut {
        /// The timeout.
        timeout: Duration,
    },
}

/// A limit that the threads of one process share. Put it into an `Arc`, or a `static`'s `LazyLock`.
///
/// ```
/// use std::time::Duration;
/// use turnstile::{Algorithm, LocalLimiter, RateLimit};
///
/// let limit = RateLimit::new(3, Duration::from_secs(60)).unwrap().by(Algorithm::TokenBucket);
/// let limiter = LocalLimiter::new(limit);
/// limiter.acquire(2).unwrap();
/// assert!(limiter.try_acquire(2).is_err(), "one is left");
/// assert_eq!(limiter.call(1, || "the answer"), Ok("the answer"));
/// ```
#[derive(Debug)]
pub struct LocalLimiter {
    limit: RateLimit,
    /// Where its time line begins.
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    meter: Meter<Local>,
    /// Those who wait, in the order in which they came.
    waiters: VecDeque<Waiter>,
    waited: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    amount: u32,
    thread: Thread,
}

/// Units that were granted. They stay used when it is dropped.
#[derive(Debug)]
pub struct Granted<'a> {
    limiter: &'a LocalLimiter,
    amount: u32,
    charged_at: Timestamp,
}

impl Granted<'_> {
    /// Gives the units back, with which nothing was done: as many of them as the limit still counts.
    pub fn give_back(self) {
        let mut state = self.limiter.lock();
        state.meter.refund(self.charged_at, self.charged_at, self.amount);
        state.wake_first();
    }
}

impl LocalLimiter {
    /// A limiter to which nothing was charged. The limit's margins don't count.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "without the shell, this is where the clock is read")]
    pub fn new(limit: RateLimit) -> Self {
        let state = State { meter: Meter::plain(&limit), waiters: VecDeque::new(), waited: 0 };
        Self { limit, started: Instant::now(), state: Mutex::new(state) }
    }

    /// Waits until `amount` units (0 to the capacity) are there and everybody who came before has been served. Nothing is granted at once.
    ///
    /// # Errors
    /// [`LocalError::OverCapacity`].
    pub fn acquire(&self, amount: u32) -> Result<Granted<'_>, LocalError> {
        self.wait(amount, None)
    }

    /// The same for `timeout` at most; then nothing is charged.
    ///
    /// # Errors
    /// [`LocalError::OverCapacity`], [`LocalError::TimedOut`].
    pub fn acquire_within(&self, amount: u32, timeout: Duration) -> Result<Granted<'_>, LocalError> {
        self.wait(amount, Some(timeout))
    }

    /// Takes `amount` units if they are there now and nobody waits.
    ///
    /// # Errors
    /// [`LocalError::OverCapacity`], [`LocalError::NotNow`].
    pub fn try_acquire(&self, amount: u32) -> Result<Granted<'_>, LocalError> {
        self.check_amount(amount)?;
        let (mut state, now) = (self.lock(), self.now());
        if amount == 0 || state.waiters.is_empty() && state.meter.check(now, amount.into()) == Room::Ready {
            return Ok(self.grant(&mut state, now, amount));
        }
        let ahead = state.waiters.iter().map(|waiter| u64::from(waiter.amount)).sum();
        let ready = state.meter.earliest(now, ahead, amount.into()).unwrap_or(now);
        Err(LocalError::NotNow { retry_after: ready.saturating_since(now) })
    }

    /// Waits for `amount` units and makes the call.
    ///
    /// # Errors
    /// [`LocalError::OverCapacity`]; the call was not made then.
    pub fn call<T>(&self, amount: u32, call: impl FnOnce() -> T) -> Result<T, LocalError> {
        let _granted = self.acquire(amount)?;
        Ok(call())
    }

    /// Whether nobody waits and nothing that was charged counts any more.
    fn is_as_new(&self) -> bool {
        let (state, now) = (self.lock(), self.now());
        state.waiters.is_empty() && state.meter.empty_at() <= now
    }

    fn check_amount(&self, amount: u32) -> Result<(), LocalError> {
        let capacity = self.limit.request_count().get();
        if amount > capacity { Err(LocalError::OverCapacity { amount, capacity }) } else { Ok(()) }
    }

    fn wait(&self, amount: u32, timeout: Option<Duration>) -> Result<Granted<'_>, LocalError> {
        self.check_amount(amount)?;
        let (mut state, mut now) = (self.lock(), self.now());
        if amount == 0 {
            return Ok(self.grant(&mut state, now, amount));
        }
        let deadline = timeout.map(|timeout| (timeout, now + timeout));
        let ticket = state.enter(amount);
        loop {
            // Only the first knows when its turn is; the others are woken by whoever leaves before them.
            let mut until = None;
            if state.is_first(ticket) {
                match state.meter.check(now, amount.into()) {
                    Room::Ready => {
                        state.leave(ticket);
                        return Ok(self.grant(&mut state, now, amount));
                    }
                    Room::NotBefore(at) => until = Some(at),
                    // 584 years after the limiter was made.
                    Room::Never => {}
                }
            }
            if let Some((timeout, deadline)) = deadline {
                if deadline <= now {
                    state.leave(ticket);
                    return Err(LocalError::TimedOut { timeout });
                }
                until = Some(until.map_or(deadline, |at| at.min(deadline)));
            }
            drop(state);
            match until {
                Some(at) => thread::park_timeout(at.saturating_since(now)),
                None => thread::park(),
            }
            (state, now) = (self.lock(), self.now());
        }
    }

    fn grant(&self, state: &mut State, now: Timestamp, amount: u32) -> Granted<'_> {
        state.meter.charge(now, now, amount);
        Granted { limiter: self, amount, charged_at: now }
    }

    /// Read under the lock, so that charges are made in the order of their moments.
    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.started.elapsed()
    }

    /// Nothing that is done under the lock leaves it half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, amount: u32) -> u64 {
        self.waited += 1;
        self.waiters.push_back(Waiter { ticket: self.waited, amount, thread: thread::current() });
        self.waited
    }

    fn is_first(&self, ticket: u64) -> bool {
        self.waiters.front().is_some_and(|first| first.ticket == ticket)
    }

    /// Takes one out of the queue and wakes who is first then.
    fn leave(&mut self, ticket: u64) {
        self.waiters.retain(|waiter| waiter.ticket != ticket);
        self.wake_first();
    }

    fn wake_first(&self) {
        if let Some(first) = self.waiters.front() {
            first.thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests;
