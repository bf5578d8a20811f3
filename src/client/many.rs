//! Several calls for one connection, queued together.

use std::fmt;

use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::{AcquireError, Permit, Request};

type Acquires<'a> = FuturesUnordered<std::pin::Pin<Box<dyn Future<Output = Result<Permit, AcquireError>> + Send + 'a>>>;

/// The permits of [`Request::acquire_many`], each as soon as it is there. Dropping it leaves the queue with those that still wait.
#[must_use = "the requests wait as long as somebody asks for the next permit"]
pub struct Permits<'a> {
    waiting: Acquires<'a>,
}

impl Permits<'_> {
    /// Waits for the next permit: make its call before asking for another one, or at the same time, for a permit that is kept does not wait for its call. `None` when all have
    /// come. Cancel-safe.
    ///
    /// # Errors
    /// [`AcquireError`] of one of them; the others go on.
    pub async fn next(&mut self) -> Option<Result<Permit, AcquireError>> {
        self.waiting.next().await
    }

    /// How many have not come yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

impl fmt::Debug for Permits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl<'a> Request<'a> {
    /// So many calls, each of this cost, that wait at once: the way for a batch, whose places in the queue don't depend on how long one call takes. They
    /// queue, in order, when the first permit is asked for; each is a request of its own, also when a request id was given, which counts for the first.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use turnstile::{Connection, Node, NodeConfig, RateLimit};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let node = Node::start(NodeConfig::in_memory()).await?;
    /// # let throttler = node.throttler();
    /// let slack = Connection::new("slack", "acme", RateLimit::new(100, Duration::from_secs(1))?)?;
    /// let mut permits = throttler.request(&slack).acquire_many(3);
    /// while let Some(permit) = permits.next().await {
    ///     let _permit = permit?;
    ///     // … one call …
    /// }
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn acquire_many(self, count: usize) -> Permits<'a> {
        let first = self.clone();
        let others = std::iter::repeat_with(move || self.clone().without_id());
        let requests = std::iter::once(first).chain(others).take(count);
        Permits { waiting: requests.map(|request| Box::pin(request.acquire()) as _).collect() }
    }
}
