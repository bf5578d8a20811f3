//! What workers use: [`Throttler`], and what goes in and comes out.

mod blocking;
mod claim;
mod connection;
mod error;
mod many;
mod permit;
mod reconcile;
mod request;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use self::blocking::BlockingThrottler;
#[cfg(feature = "cli")]
pub(crate) use self::claim::Claim;
pub use self::connection::Connection;
pub use self::error::AcquireError;
pub use self::many::Permits;
pub use self::permit::{Margin, Permit};
pub use self::reconcile::{ReconcileError, Reconciled};
pub use self::request::{OnUnreachable, Request};
use crate::engine::grant::RequestId;
use crate::engine::invalid::InvalidInput;
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::Adjustment;
use crate::engine::throttle::Explanation;
use crate::owner::ShardReport;
use crate::router::Router;

/// The longest pause of a connection.
const MAX_PENALTY: Duration = Duration::from_secs(7 * 24 * 3600);

/// The way for this process's workers to share limits. Clone it freely.
///
/// Urgency is strict: while calls of a lower niceness keep coming, those of a higher one wait, for ever if need be.
#[derive(Debug, Clone)]
pub struct Throttler {
    router: Arc<Router>,
}

impl Throttler {
    pub(crate) const fn new(router: Arc<Router>) -> Self {
        Self { router }
    }

    /// Waits for `connection`'s turn and runs `call` once. What it returns is returned; an error of its own doesn't give the slot
    /// back, for the request may have reached the platform. Dropping the future before `call` runs leaves the queue.
    ///
    /// # Errors
    /// [`AcquireError`], and `call` has not run.
    pub async fn throttle<F, C>(&self, connection: &Connection, call: C) -> Result<F::Output, AcquireError>
    where
        C: FnOnce() -> F,
        F: Future,
    {
        self.request(connection).throttle(call).await
    }

    /// Runs `call` once if there is a slot now: `None` at once if there is none, and within a second if the connection's owner is out of
    /// reach.
    ///
    /// # Errors
    /// [`AcquireError`], and `call` has not run.
    pub async fn try_throttle<F, C>(&self, connection: &Connection, call: C) -> Result<Option<F::Output>, AcquireError>
    where
        C: FnOnce() -> F,
        F: Future,
    {
        self.request(connection).try_throttle(call).await
    }

    /// Waits for `connection`'s turn; the request is the caller's to make while it holds the permit.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub async fn acquire(&self, connection: &Connection) -> Result<Permit, AcquireError> {
        self.request(connection).acquire().await
    }

    /// A call of which more is to be said: cost, timeout, longest wait, request id.
    pub const fn request<'a>(&'a self, connection: &'a Connection) -> Request<'a> {
        Request::new(self, connection)
    }

    /// Lets nothing through for `connection`, for all workers, from now on for `pause` (at most 7 days): what to do with a platform's own
    /// `Retry-After`. Waiters keep their order; a longer pause is never shortened.
    ///
    /// # Errors
    /// [`AcquireError::Invalid`] for a pause outside its range, [`AcquireError::BoundReached`] as for an acquire,
    /// [`AcquireError::Stopped`].
    pub async fn penalize(&self, connection: &Connection, pause: Duration) -> Result<(), AcquireError> {
        self.penalize_key(connection.key(), pause).await
    }

    /// The same by the connection's key.
    pub(crate) async fn penalize_key(&self, key: &ConnectionKey, pause: Duration) -> Result<(), AcquireError> {
        if pause.is_zero() || pause > MAX_PENALTY {
            return Err(InvalidInput::PenaltyOutOfRange { pause }.into());
        }
        self.router.adjust(key, Adjustment::Penalize(pause)).await?;
        Ok(())
    }

    /// Lets nothing through for a connection, for all workers, until somebody [resumes](Throttler::resume) it. Waiters keep their order.
    ///
    /// # Errors
    /// [`AcquireError::BoundReached`] as for an acquire, [`AcquireError::Stopped`].
    pub async fn pause(&self, key: &ConnectionKey) -> Result<(), AcquireError> {
        self.router.adjust(key, Adjustment::Pause).await?;
        Ok(())
    }

    /// Ends every pause of a connection.
    ///
    /// # Errors
    /// As for [`Throttler::pause`].
    pub async fn resume(&self, key: &ConnectionKey) -> Result<(), AcquireError> {
        self.router.adjust(key, Adjustment::Resume).await?;
        Ok(())
    }

    /// The same for threads that may block, such as those of a thread pool.
    #[must_use]
    pub fn blocking(&self) -> BlockingThrottler {
        BlockingThrottler::new(self.clone(), self.router.runtime().clone())
    }

    /// How a request stands that waits for `connection`, at whichever node: its place, who is ahead of it, and how long it waits at least. `None` when it does not wait: it
    /// was never made, has its slot, or has ended.
    ///
    /// # Errors
    /// [`AcquireError::Unavailable`] when the connection's owner does not answer within a second, [`AcquireError::BoundReached`], [`AcquireError::Stopped`].
    pub async fn explain(&self, connection: &Connection, request: RequestId) -> Result<Option<Explanation>, AcquireError> {
        self.explain_key(connection.key(), request).await
    }

    /// The same by the connection's key.
    pub(crate) async fn explain_key(&self, key: &ConnectionKey, request: RequestId) -> Result<Option<Explanation>, AcquireError> {
        Ok(self.router.explain(key, request).await?)
    }

    /// What this node's owners have in memory.
    pub async fn report(&self) -> ShardReport {
        self.router.owners().report().await
    }

    /// Returns when the node serves no more. Cancel-safe.
    #[cfg(feature = "cli")]
    pub(crate) async fn stopped(&self) {
        self.router.stopped().await;
    }

    const fn router(&self) -> &Arc<Router> {
        &self.router
    }
}
