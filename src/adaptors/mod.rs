//! Throttling what other libraries send: a layer for [tower](https://docs.rs/tower) services, so that any HTTP or gRPC client that is one takes its turns, and a
//! middleware for [reqwest](https://docs.rs/reqwest) clients. Each behind a feature of its name.

#[cfg(feature = "reqwest-middleware")]
mod reqwest_middleware;
#[cfg(feature = "tower")]
mod tower;

#[cfg(feature = "reqwest-middleware")]
pub use self::reqwest_middleware::ThrottleMiddleware;
#[cfg(feature = "tower")]
pub use self::tower::{ThrottleLayer, Throttled, ThrottledError};
