//! Limits for the callers of one process, without a cluster: [`LocalLimiter`], and [`KeyedLimiter`] for many of them.
//!
//! Promises: whoever waits, thread or task, is served in the order in which it came, so that a large request in front holds back small ones; a wait that ends by its
//! timeout, or whose future is dropped, leaves no charge. The algorithms are the plain ones, without the margins of a cluster.
//! Must not: read a clock anywhere but in [`LocalLimiter::now`], or spin.

#[cfg(feature = "local-async")]
mod asynchronous;
mod granted;
mod keyed;
mod state;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

pub use self::granted::Granted;
pub use self::keyed::{KeyedLimiter, TooManyKeys};
use self::state::{State, Turn, Wake};
use crate::engine::cost::Cost;
use crate::engine::invalid::InvalidInput;
use crate::engine::rate::{Limits, RateLimit};
use crate::engine::time::Timestamp;

/// Why a request of a [`LocalLimiter`] was not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LocalError {
    /// It takes more than a limit ever has.
    #[error("amount is {amount}: it takes at most the capacity of {capacity}")]
    OverCapacity {
        /// What was asked for.
        amount: u64,
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

/// Limits that the threads and tasks of one process share. Put it into an `Arc`, or a `static`'s `LazyLock`.
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
    limits: Limits,
    /// Where its time line begins.
    started: Instant,
    state: Mutex<State>,
}

impl LocalLimiter {
    /// A limiter to which nothing was charged. The limit's margins don't count.
    #[must_use]
    pub fn new(limit: RateLimit) -> Self {
        Self::of(&Limits::from(limit))
    }

    /// The same with several limits: all must have room, and all are charged together.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "without the shell, this is where the clock is read")]
    pub fn of(limits: &Limits) -> Self {
        Self { limits: limits.clone(), started: Instant::now(), state: Mutex::new(State::new(limits)) }
    }

    /// A limiter with one more limit, to which nothing was charged.
    ///
    /// # Errors
    /// [`InvalidInput::LimitCount`] when it has 8 already.
    pub fn and_limit(self, limit: RateLimit) -> Result<Self, InvalidInput> {
        Ok(Self::of(&self.limits.union(&Limits::from(limit))?))
    }

    /// Waits until `amount` units (0 to the capacity) are there and everybody who came before has been served. Nothing is granted at once.
    ///
    /// # Errors
    /// [`LocalError::OverCapacity`].
    pub fn acquire(&self, amount: u32) -> Result<Granted<'_>, LocalError> {
        self.wait(Cost::of(amount.into()), None)
    }

    /// The same for `timeout` at most; then nothing is charged.
    ///
    /// # Errors
    /// [`LocalError::OverCapacity`], [`LocalError::TimedOut`].
    pub fn acquire_within(&self, amount: u32, timeout: Duration) -> Result<Granted<'_>, LocalError> {
        self.wait(Cost::of(amount.into()), Some(timeout))
    }

    /// Waits for requests and tokens together, for `timeout` at most if there is one: an estimate, of which [`Granted::reconcile`] says later what it was. 1 token where none is
    /// estimated and a limit counts them.
    ///
    /// # Errors
    /// [`LocalError::OverCapacity`], [`LocalError::TimedOut`].
    pub fn acquire_all(&self, cost: Cost, timeout: Option<Duration>) -> Result<Granted<'_>, LocalError> {
        self.wait(cost, timeout)
    }

    /// Takes `amount` units if they are there now and nobody waits.
    ///
    /// # Errors
    /// [`LocalError::OverCapacity`], [`LocalError::NotNow`].
    pub fn try_acquire(&self, amount: u32) -> Result<Granted<'_>, LocalError> {
        self.try_acquire_all(Cost::of(amount.into()))
    }

    /// Takes requests and tokens together if they are there now and nobody waits.
    ///
    /// # Errors
    /// [`LocalError::OverCapacity`], [`LocalError::NotNow`].
    pub fn try_acquire_all(&self, cost: Cost) -> Result<Granted<'_>, LocalError> {
        let cost = self.estimated(cost)?;
        let (mut state, now) = (self.lock(), self.now());
        if state.takes_at_once(now, cost) {
            return Ok(self.grant(&mut state, now, cost));
        }
        Err(LocalError::NotNow { retry_after: state.earliest(now, cost).saturating_since(now) })
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
        state.is_as_new(now)
    }

    /// The cost with what is estimated at 1, if every limit ever has so much.
    fn estimated(&self, cost: Cost) -> Result<Cost, LocalError> {
        let cost = if cost == Cost::ZERO { cost } else { self.limits.estimate(cost) };
        match self.limits.iter().find(|limit| limit.is_exceeded_by(cost)) {
            Some(limit) => {
                let (amount, capacity) = (cost.along(limit.dimension()), limit.request_count().get());
                Err(LocalError::OverCapacity { amount, capacity })
            }
            None => Ok(cost),
        }
    }

    fn wait(&self, cost: Cost, timeout: Option<Duration>) -> Result<Granted<'_>, LocalError> {
        let cost = self.estimated(cost)?;
        let (mut state, mut now) = (self.lock(), self.now());
        if cost == Cost::ZERO {
            return Ok(self.grant(&mut state, now, cost));
        }
        let deadline = timeout.map(|timeout| (timeout, now + timeout));
        let ticket = state.enter(cost, Wake::Thread(thread::current()));
        loop {
            let turn = state.turn(ticket, now, cost);
            if turn == Turn::Now {
                state.leave(ticket);
                return Ok(self.grant(&mut state, now, cost));
            }
            let mut until = turn.at();
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

    fn grant(&self, state: &mut State, now: Timestamp, cost: Cost) -> Granted<'_> {
        state.charge(now, cost);
        Granted::new(self, cost, now)
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

#[cfg(test)]
mod tests;
