//! The same limits for tasks: they wait in one queue with the threads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::state::{Turn, Wake};
use super::{Granted, LocalError, LocalLimiter};
use crate::engine::cost::Cost;

/// The place of a task in the queue, which it leaves when its future is dropped.
struct Place<'a> {
    limiter: &'a LocalLimiter,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.limiter.lock().leave(self.ticket);
    }
}

impl LocalLimiter {
    /// As [`LocalLimiter::acquire`], for tasks of a tokio runtime with a timer. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`LocalError::OverCapacity`].
    pub async fn acquire_async(&self, amount: u32) -> Result<Granted<'_>, LocalError> {
        self.wait_async(Cost::of(amount.into())).await
    }

    /// As [`LocalLimiter::acquire_all`]: for `timeout` at most if there is one.
    ///
    /// # Errors
    /// [`LocalError::OverCapacity`], [`LocalError::TimedOut`].
    pub async fn acquire_all_async(&self, cost: Cost, timeout: Option<Duration>) -> Result<Granted<'_>, LocalError> {
        match timeout {
            Some(timeout) => {
                // Dropping the wait leaves the queue.
                let waited = tokio::time::timeout(timeout, self.wait_async(cost)).await;
                waited.unwrap_or(Err(LocalError::TimedOut { timeout }))
            }
            None => self.wait_async(cost).await,
        }
    }

    async fn wait_async(&self, cost: Cost) -> Result<Granted<'_>, LocalError> {
        let cost = self.estimated(cost)?;
        let woken = Arc::new(Notify::new());
        let place = {
            let (mut state, now) = (self.lock(), self.now());
            if state.takes_at_once(now, cost) {
                return Ok(self.grant(&mut state, now, cost));
            }
            Place { limiter: self, ticket: state.enter(cost, Wake::Task(Arc::clone(&woken))) }
        };
        loop {
            let wait = {
                let (mut state, now) = (self.lock(), self.now());
                match state.turn(place.ticket, now, cost) {
                    Turn::Now => {
                        let granted = self.grant(&mut state, now, cost);
                        // Its place is left, and the next one woken, when the lock is free again.
                        drop(state);
                        return Ok(granted);
                    }
                    Turn::At(at) => Some(at.saturating_since(now)),
                    Turn::Unknown => None,
                }
            };
            match wait {
                // Woken earlier, it looks again.
                Some(wait) => drop(tokio::time::timeout(wait, woken.notified()).await),
                None => woken.notified().await,
            }
        }
    }
}
