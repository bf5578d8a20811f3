//! What a call has taken, said afterwards.

use thiserror::Error;

use super::{AcquireError, Permit};
use crate::engine::cost::{Cost, Dimension};

/// What came of a [`Permit::reconcile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconciled {
    /// What does not count any more: at most what was estimated too much, less where part of that has left its bucket already.
    pub refunded: Cost,
    /// What counts beside the estimate from now on, whether there was room or not: later calls wait for it.
    pub owed: Cost,
}

/// Why a [`Permit::reconcile`] changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReconcileError {
    /// There is no estimate any more.
    #[error("the permit is not open: its connection has no limit on tokens, or the estimate's window has passed")]
    NotOpen,
    /// The ledger could not be told.
    #[error(transparent)]
    NotTold(#[from] AcquireError),
}

impl Permit {
    /// Ends the request, and says how many tokens it has taken. Fewer than estimated: the difference is free again. More: the difference counts from now on, for the call
    /// has succeeded already; nothing fails or waits for that but later calls. It counts once, however often it is on its way, and also when the future is dropped after
    /// it was polled. A request that ends without counts as estimated until its window has passed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use turnstile::{Connection, Dimension, Node, NodeConfig, RateLimit};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let node = Node::start(NodeConfig::in_memory()).await?;
    /// # let throttler = node.throttler();
    /// let minute = Duration::from_secs(60);
    /// let model = Connection::new("openai", "acme/gpt", RateLimit::new(500, minute)?)?
    ///     .and_limit(RateLimit::new(30_000, minute)?.counting(Dimension::Tokens))?;
    /// // 2,000 go in, and at most 1,000 come out.
    /// let permit = throttler.request(&model).tokens(3_000).acquire().await?;
    /// // … the call …
    /// let reconciled = permit.reconcile(2_150).await?;
    /// assert_eq!(reconciled.refunded.tokens, 850);
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub async fn reconcile(self, tokens: u32) -> Result<Reconciled, ReconcileError> {
        let actual = self.estimate().with(Dimension::Tokens, tokens.into());
        self.reconcile_to(actual).await
    }

    /// The same, where those that go in and those that come out are counted apart.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub async fn reconcile_apart(self, input: u32, output: u32) -> Result<Reconciled, ReconcileError> {
        let actual = self.estimate().with_tokens_apart(input.into(), output.into());
        self.reconcile_to(actual).await
    }

    /// What was charged for it.
    fn estimate(&self) -> Cost {
        self.parts().0.grant().cost
    }

    async fn reconcile_to(self, actual: Cost) -> Result<Reconciled, ReconcileError> {
        let (_, router) = self.parts();
        self.claim().reconcile(router, actual).await
    }
}
