//! A tower layer.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use crate::client::{AcquireError, Connection, Throttler};

/// Makes the requests of a service wait for their turn. See [`Throttled`].
#[derive(Clone)]
pub struct ThrottleLayer<C> {
    throttler: Throttler,
    connection_of: C,
}

/// A service whose requests wait for the turn of their connection: each has its permit while it is being answered.
///
/// `connection_of` says which connection a request belongs to; one that belongs to none goes at once. A request holds a place in the inner service, which is ready, while it
/// waits. Dropping the answer's future before leaves the queue.
#[derive(Clone)]
pub struct Throttled<S, C> {
    inner: S,
    throttler: Throttler,
    connection_of: C,
}

/// What a [`Throttled`] service fails with.
#[derive(Debug)]
pub enum ThrottledError<E> {
    /// There was no slot, and the request was not made.
    NotGranted(AcquireError),
    /// The inner service's own.
    Service(E),
}

impl<C> ThrottleLayer<C> {
    /// A layer over this node's throttler. `connection_of` takes a reference to the request, and gives its [`Connection`] if it has one.
    pub const fn new(throttler: Throttler, connection_of: C) -> Self {
        Self { throttler, connection_of }
    }
}

impl<S, C: Clone> Layer<S> for ThrottleLayer<C> {
    type Service = Throttled<S, C>;

    fn layer(&self, inner: S) -> Throttled<S, C> {
        Throttled { inner, throttler: self.throttler.clone(), connection_of: self.connection_of.clone() }
    }
}

impl<S, C, R> Service<R> for Throttled<S, C>
where
    S: Service<R> + Clone + Send + 'static,
    S::Future: Send,
    C: Fn(&R) -> Option<Connection>,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = ThrottledError<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(ThrottledError::Service)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // The clone may not be ready; this one is.
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        let (throttler, connection) = (self.throttler.clone(), (self.connection_of)(&request));
        Box::pin(async move {
            let _permit = match connection {
                Some(connection) => Some(throttler.acquire(&connection).await.map_err(ThrottledError::NotGranted)?),
                None => None,
            };
            ready.call(request).await.map_err(ThrottledError::Service)
        })
    }
}

impl<C> fmt::Debug for ThrottleLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrottleLayer").field("throttler", &self.throttler).finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Throttled<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttled").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<E: fmt::Display> fmt::Display for ThrottledError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGranted(error) => write!(f, "the request was not made: {error}"),
            Self::Service(error) => error.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for ThrottledError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotGranted(error) => Some(error),
            Self::Service(error) => error.source(),
        }
    }
}
