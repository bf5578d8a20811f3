//! One call, with everything that can be said about it.

use std::future::Future;
use std::time::Duration;

use super::{AcquireError, Connection, Permit, Throttler};
use crate::engine::cost::Cost;
use crate::engine::grant::RequestId;
use crate::engine::invalid::InvalidInput;
use crate::engine::rate::Niceness;
use crate::engine::throttle::Patience;
use crate::engine::time::Timestamp;
use crate::router;

/// What a call that doesn't wait does when the cluster is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnreachable {
    /// It does not run, as if there were no slot.
    #[default]
    Closed,
    /// It runs, unthrottled.
    Open,
}

/// A call to be made through a [`Throttler`]. Nothing happens before one of its last methods is awaited.
///
/// ```no_run
/// # use std::time::Duration;
/// # use turnstile::{AcquireError, Connection, Throttler};
/// # async fn example(throttler: Throttler, connection: Connection) -> Result<(), AcquireError> {
/// let pages = throttler
///     .request(&connection)
///     .cost(3)
///     .max_wait(Duration::from_secs(10))
///     .throttle(|| async { "three pages" })
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a request does nothing before it is awaited"]
pub struct Request<'a> {
    throttler: &'a Throttler,
    connection: &'a Connection,
    niceness: Niceness,
    cost: Cost,
    timeout: Option<Duration>,
    deadline: Option<std::time::Instant>,
    max_wait: Option<Duration>,
    id: Option<RequestId>,
    waited: Duration,
    on_unreachable: OnUnreachable,
}

impl<'a> Request<'a> {
    pub(super) const fn new(throttler: &'a Throttler, connection: &'a Connection) -> Self {
        Self {
            throttler,
            connection,
            niceness: connection.niceness(),
            cost: Cost::ONE,
            timeout: None,
            deadline: None,
            max_wait: None,
            id: None,
            waited: Duration::ZERO,
            on_unreachable: OnUnreachable::Closed,
        }
    }

    /// How far it steps back for others; the connection's niceness by default.
    pub const fn niceness(mut self, niceness: Niceness) -> Self {
        self.niceness = niceness;
        self
    }

    /// How many units it takes, at least 1; 1 by default.
    pub const fn cost(mut self, units: u32) -> Self {
        // `From` is not const.
        self.cost.units = units as u64;
        self
    }

    /// How many tokens it is estimated to take, for limits that count them: what goes in and the most that may come out. 1 by default. Say afterwards what it
    /// was: [`Permit::reconcile`].
    pub const fn tokens(mut self, tokens: u32) -> Self {
        self.cost = self.cost.with_tokens(tokens as u64);
        self
    }

    /// The same, where those that go in and those that come out are counted apart.
    pub const fn tokens_apart(mut self, input: u32, output: u32) -> Self {
        self.cost = self.cost.with_tokens_apart(input as u64, output as u64);
        self
    }

    /// The same request under an id of its own.
    pub(super) const fn without_id(mut self) -> Self {
        self.id = None;
        self
    }

    /// The whole of what it takes.
    #[cfg(feature = "cli")]
    pub(crate) const fn taking(mut self, cost: Cost) -> Self {
        self.cost = cost;
        self
    }

    /// How long it may wait before it ends with [`AcquireError::DeadlineExceeded`]; for ever by default.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Until when it may wait before it ends with [`AcquireError::DeadlineExceeded`]; the earlier of this and the timeout counts.
    pub const fn deadline(mut self, deadline: std::time::Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How long the caller is willing to wait: ends with [`AcquireError::NotNow`] at once when the wait is known to be longer,
    /// and when it has become so long. Zero takes a slot only if there is one now.
    pub const fn max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = Some(max_wait);
        self
    }

    /// Makes a retry the same request: it takes its former self's place in the queue, and is charged once by a living owner.
    pub const fn request_id(mut self, id: RequestId) -> Self {
        self.id = Some(id);
        self
    }

    /// How long it has waited already, through another node: its place is by its age then.
    #[cfg(feature = "cli")]
    pub(crate) const fn waited(mut self, waited: Duration) -> Self {
        self.waited = waited;
        self
    }

    /// What [`Request::try_throttle`] does when the cluster is out of reach; nothing, by default.
    pub const fn on_unreachable(mut self, on_unreachable: OnUnreachable) -> Self {
        self.on_unreachable = on_unreachable;
        self
    }

    /// Waits for a slot. Dropping the future leaves the queue and costs nothing.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub async fn acquire(self) -> Result<Permit, AcquireError> {
        let patience = self.patience()?;
        self.route(patience).await
    }

    /// Takes a slot if there is one: `None` at once if there is none.
    ///
    /// # Errors
    /// [`AcquireError`]; never [`AcquireError::NotNow`].
    pub async fn try_acquire(self) -> Result<Option<Permit>, AcquireError> {
        match self.acquire_now().await {
            Ok(permit) => Ok(Some(permit)),
            Err(AcquireError::NotNow { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes a slot if there is one: [`AcquireError::NotNow`], which says when there may be, at once if there is none.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub(crate) async fn acquire_now(self) -> Result<Permit, AcquireError> {
        self.route(Patience::Never).await
    }

    /// Waits for a slot and runs `call` once. What it returns is returned; an error of its own doesn't give the slot back.
    ///
    /// # Errors
    /// [`AcquireError`], and `call` has not run.
    pub async fn throttle<F, C>(self, call: C) -> Result<F::Output, AcquireError>
    where
        C: FnOnce() -> F,
        F: Future,
    {
        let _permit = self.acquire().await?;
        Ok(call().await)
    }

    /// Runs `call` once if there is a slot: `None` at once if there is none, and by default also if the cluster is out of reach.
    ///
    /// # Errors
    /// [`AcquireError`], and `call` has not run; never [`AcquireError::NotNow`], [`AcquireError::Unavailable`] or
    /// [`AcquireError::Stopped`].
    pub async fn try_throttle<F, C>(self, call: C) -> Result<Option<F::Output>, AcquireError>
    where
        C: FnOnce() -> F,
        F: Future,
    {
        let on_unreachable = self.on_unreachable;
        match self.try_acquire().await {
            Ok(Some(_permit)) => Ok(Some(call().await)),
            Ok(None) => Ok(None),
            Err(AcquireError::Unavailable { .. } | AcquireError::Stopped { .. }) => match on_unreachable {
                OnUnreachable::Closed => Ok(None),
                OnUnreachable::Open => Ok(Some(call().await)),
            },
            Err(error) => Err(error),
        }
    }

    async fn route(&self, patience: Patience) -> Result<Permit, AcquireError> {
        if self.cost.units == 0 {
            return Err(InvalidInput::ZeroCost.into());
        }
        let limits = self.connection.limits().clone();
        let cost = limits.estimate(self.cost);
        let request = router::Request {
            key: self.connection.key().clone(),
            id: self.id.unwrap_or_else(|| RequestId::new(rand::random())),
            retryable: self.id.is_some(),
            niceness: self.niceness,
            cost,
            limits,
            patience,
            waited: self.waited,
        };
        let router = self.throttler.router();
        let routed = router.acquire(&request).await?;
        Ok(Permit::new(routed, router))
    }

    /// The first of deadline, timeout and longest wait.
    fn patience(&self) -> Result<Patience, InvalidInput> {
        if (self.deadline, self.timeout, self.max_wait) == (None, None, None) {
            return Ok(Patience::Endless);
        }
        let clock = self.throttler.router().clock();
        let now = clock.now();
        let until = self.deadline.map(|deadline| clock.at(deadline));
        if let Some(past) = until.filter(|until| *until <= now) {
            return Err(InvalidInput::DeadlineInThePast { ago: now.saturating_since(past) });
        }
        if self.max_wait.is_some_and(|span| span.is_zero()) {
            return Ok(Patience::Never);
        }
        let deadline: Option<Timestamp> = [until, self.timeout.map(|span| now + span)].into_iter().flatten().min();
        let max_wait = self.max_wait.map(|span| now + span);
        Ok(match (deadline, max_wait) {
            (None, None) => Patience::Endless,
            (Some(deadline), Some(max_wait)) if max_wait < deadline => Patience::MaxWait(max_wait),
            (Some(deadline), _) => Patience::Deadline(deadline),
            (None, Some(max_wait)) => Patience::MaxWait(max_wait),
        })
    }
}
