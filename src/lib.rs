//! x
#[cfg(feature = "node")]
pub mod client;
#[cfg(feature = "node")]
mod clock;
#[cfg(feature = "node")]
pub mod config;
#[cfg(feature = "node")]
mod consensus;
pub mod engine;
#[cfg(feature = "node")]
mod node;
#[cfg(feature = "node")]
mod owner;
#[cfg(feature = "node")]
mod router;
#[cfg(feature = "node")]
mod wire;

#[cfg(feature = "node")]
pub use client::{AcquireError, Connection, Margin, OnUnreachable, Permit, Request, Throttler};
#[cfg(feature = "node")]
pub use config::{NodeConfig, Storage};
pub use engine::grant::{ArrivalNumber, NodeId, ReleaseNumber, RequestId};
pub use engine::invalid::InvalidInput;
pub use engine::key::ConnectionKey;
pub use engine::rate::{Cost, Dimension, Niceness, RateLimit};
#[cfg(feature = "node")]
pub use node::{Node, StartError};
#[cfg(feature = "node")]
pub use owner::ShardReport;
