//! Turnstile lets many workers share rate-limited APIs: `throttle(connection, fn)` waits its turn, strictly by priority, first come first
//! served within a priority, and never lets more than N requests into any rolling window of W, or by a bucket more than a burst and a rate.
//!
//! Nothing stands beside the workers: each embeds a [`Node`]. Every grant is committed to the node's log before it is released, so a crash costs
//! a pause, never a grant too many.
//!
//! ```
//! use std::time::Duration;
//! use turnstile::{Connection, Niceness, Node, NodeConfig, RateLimit};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // One node, in this process; `NodeConfig::on_disk("data")` survives a crash.
//! let node = Node::start(NodeConfig::in_memory()).await?;
//! let throttler = node.throttler();
//!
//! // Slack allows 20 calls of this method per minute; fresh data goes before garbage collection.
//! let slack = Connection::new("slack", "acme", RateLimit::new(20, Duration::from_secs(60))?)?;
//! let garbage_collection = slack.clone().with_niceness(Niceness::new(10));
//!
//! let messages = throttler.throttle(&slack, || async { "the platform's answer" }).await?;
//! assert_eq!(messages, "the platform's answer");
//!
//! // The call that doesn't wait: `None` when there is no slot now.
//! let swept = throttler.try_throttle(&garbage_collection, || async { "swept" }).await?;
//! assert_eq!(swept, Some("swept"));
//! node.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # The floors
//!
//! A file imports its own floor and those below, never up.
//!
//! ```text
//! assembly     node, main
//! surfaces     client, api, cli
//! ownership    router, owner, peers, drain, admin
//! adapters     consensus, wire, discovery, clock, config, telemetry
//! engine       throttle, ledger, queue, ring, founding, membership   pure
//! vocabulary   engine::{key, time, rate, grant, invalid}              pure
//! ```
//!
//! # One acquire
//!
//! [`Throttler`] hands a [`Request`] to the router, which keeps it in the caller's own task and finds the owner by the ring. The owner, an actor,
//! puts it into the connection's [`throttle`](engine::throttle); as soon as that thinks there is room it asks the [`ledger`](engine::ledger) for
//! slots. The proposer gathers what all owners ask for while a batch is in flight, the committer stamps it with ledger time and writes it to the log,
//! and the ledger, which has the last word, charges it or says when. On the answer to its own proposal the owner gives each slot to whoever is first
//! *at that moment*, and the caller gets its [`Permit`], unless it came later than the slot's delivery bound: then it waits again, at its old place.
//!
//! # Features
//!
//! `node` (default) is everything above. Without it only the pure [`engine`] is built. `cli` adds the `turnstile` binary and the gRPC [`api`].

pub mod engine;

#[cfg(any(feature = "tower", feature = "reqwest-middleware"))]
pub mod adaptors;
#[cfg(feature = "node")]
mod admin;
#[cfg(feature = "cli")]
pub mod api;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "node")]
mod client;
#[cfg(feature = "node")]
mod clock;
#[cfg(feature = "node")]
mod config;
#[cfg(feature = "node")]
mod consensus;
#[cfg(feature = "node")]
mod discovery;
#[cfg(feature = "node")]
mod drain;
#[cfg(feature = "local")]
mod local;
#[cfg(feature = "node")]
mod node;
#[cfg(feature = "node")]
mod owner;
#[cfg(feature = "node")]
mod peers;
#[cfg(feature = "node")]
mod port;
#[cfg(feature = "node")]
mod router;
#[cfg(feature = "node")]
mod telemetry;
#[cfg(feature = "node")]
mod wire;

#[cfg(feature = "node")]
pub use admin::{Admin, AdminError, Busiest, NoPeers, NotReady, Status};
#[cfg(feature = "node")]
pub use client::{
    AcquireError, BlockingThrottler, Connection, Margin, OnUnreachable, Permit, Permits, ReconcileError, Reconciled, Request,
    Throttler,
};
#[cfg(feature = "node")]
pub use config::{ClusterConfig, NodeConfig, Storage};
#[cfg(feature = "node")]
pub use discovery::{Discovery, Found, InvalidPeerSource, PeerSource, Trouble};
#[cfg(feature = "node")]
pub use drain::DrainError;
pub use engine::algorithm::Algorithm;
pub use engine::cost::{Cost, Dimension};
pub use engine::grant::{ArrivalNumber, NodeId, ReleaseNumber, RequestId, Tenure};
pub use engine::invalid::InvalidInput;
pub use engine::key::ConnectionKey;
#[cfg(feature = "node")]
pub use engine::membership::Role;
pub use engine::pattern::LimitPattern;
pub use engine::rate::{Limits, Niceness, RateLimit};
#[cfg(feature = "node")]
pub use engine::shard::{ConnectionReport, Pause};
#[cfg(feature = "node")]
pub use engine::throttle::Explanation;
#[cfg(feature = "local")]
pub use local::{Granted, KeyedLimiter, LocalError, LocalLimiter, TooManyKeys};
#[cfg(feature = "node")]
pub use node::{Node, StartError};
#[cfg(feature = "node")]
pub use owner::ShardReport;
#[cfg(feature = "node")]
pub use peers::{BindError, PeerReport};
#[cfg(feature = "node")]
pub use telemetry::{METRICS, Metric, MetricKind, MetricLabel};
