//! The calls of a throttler for threads that may block.

use std::future::Future;

use tokio::runtime::Handle;

use super::{AcquireError, Connection, Permit, Throttler};
use crate::engine::invalid::InvalidInput;

/// A [`Throttler`] for threads outside the async runtime, such as those of a thread pool. Clone it freely.
///
/// The runtime in which the node was started must go on running on threads of its own: one that nobody drives serves nobody.
///
/// ```
/// # use std::time::Duration;
/// # use turnstile::{Connection, Node, NodeConfig, RateLimit};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = tokio::runtime::Runtime::new()?;
/// let node = runtime.block_on(Node::start(NodeConfig::in_memory()))?;
/// let blocking = node.throttler().blocking();
/// let slack = Connection::new("slack", "acme", RateLimit::new(5, Duration::from_secs(1))?)?;
/// let answer = std::thread::spawn(move || blocking.throttle(&slack, || "posted")).join().unwrap()?;
/// assert_eq!(answer, "posted");
/// # runtime.block_on(node.shutdown());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct BlockingThrottler {
    throttler: Throttler,
    runtime: Handle,
}

impl BlockingThrottler {
    pub(super) const fn new(throttler: Throttler, runtime: Handle) -> Self {
        Self { throttler, runtime }
    }

    /// Blocks until it is `connection`'s turn, and runs `call` once.
    ///
    /// # Errors
    /// [`AcquireError`], and `call` has not run: [`InvalidInput::InsideRuntime`] on a thread of an async runtime.
    pub fn throttle<R>(&self, connection: &Connection, call: impl FnOnce() -> R) -> Result<R, AcquireError> {
        let _permit = self.acquire(connection)?;
        Ok(call())
    }

    /// Runs `call` once if there is a slot now: `None` at once if there is none, and within a second if the connection's owner is out of reach.
    ///
    /// # Errors
    /// As [`BlockingThrottler::throttle`].
    pub fn try_throttle<R>(&self, connection: &Connection, call: impl FnOnce() -> R) -> Result<Option<R>, AcquireError> {
        match self.wait(self.throttler.request(connection).try_acquire())? {
            Ok(Some(_permit)) => Ok(Some(call())),
            Ok(None) | Err(AcquireError::Unavailable { .. } | AcquireError::Stopped { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Blocks until it is `connection`'s turn.
    ///
    /// # Errors
    /// As [`BlockingThrottler::throttle`].
    pub fn acquire(&self, connection: &Connection) -> Result<Permit, AcquireError> {
        self.wait(self.throttler.acquire(connection))?
    }

    /// Blocks until anything else of this throttler's is done: a [`Request`](super::Request) with more to say, a [`Permit::reconcile`], the next of several permits.
    ///
    /// # Errors
    /// [`InvalidInput::InsideRuntime`] on a thread of an async runtime, whose tasks it would hold up.
    pub fn wait<F: Future>(&self, work: F) -> Result<F::Output, InvalidInput> {
        if Handle::try_current().is_ok() {
            return Err(InvalidInput::InsideRuntime);
        }
        Ok(self.runtime.block_on(work))
    }
}
