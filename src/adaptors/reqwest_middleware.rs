//! A middleware of reqwest clients.

use std::fmt;

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Error, Middleware, Next};

use crate::client::{Connection, Throttler};

/// Makes the requests of a client wait for the turn of their connection: each has its permit until its answer's head is there.
///
/// `connection_of` says which connection a request belongs to; one that belongs to none goes at once. Put it behind a middleware that sends requests again, so that each try takes
/// a turn of its own. A request that gets no slot fails with [`Error::Middleware`], which holds an [`AcquireError`](crate::AcquireError).
pub struct ThrottleMiddleware<C> {
    throttler: Throttler,
    connection_of: C,
}

impl<C> ThrottleMiddleware<C>
where
    C: Fn(&Request) -> Option<Connection> + Send + Sync + 'static,
{
    /// A middleware over this node's throttler.
    pub const fn new(throttler: Throttler, connection_of: C) -> Self {
        Self { throttler, connection_of }
    }
}

#[tonic::async_trait]
impl<C> Middleware for ThrottleMiddleware<C>
where
    C: Fn(&Request) -> Option<Connection> + Send + Sync + 'static,
{
    async fn handle(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response, Error> {
        let _permit = match (self.connection_of)(&request) {
            Some(connection) => Some(self.throttler.acquire(&connection).await.map_err(Error::middleware)?),
            None => None,
        };
        next.run(request, extensions).await
    }
}

impl<C> fmt::Debug for ThrottleMiddleware<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrottleMiddleware").field("throttler", &self.throttler).finish_non_exhaustive()
    }
}
