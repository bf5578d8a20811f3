//! What the tests of a node share.

use std::future::Future;
use std::time::{Duration, Instant};

use turnstile::{Connection, Node, NodeConfig, RateLimit};

/// A limit without margins, so that a test's arithmetic is its own.
pub(crate) fn bare_limit(count: u32, window: Duration) -> RateLimit {
    let limit = RateLimit::new(count, window).unwrap();
    limit.with_delivery_bound(Duration::ZERO).unwrap().with_guard(Duration::ZERO).unwrap()
}

/// A connection of that limit.
pub(crate) fn connection(name: &str, count: u32, window: Duration) -> Connection {
    Connection::new("test", name, bare_limit(count, window)).unwrap()
}

/// A node whose log is in memory.
pub(crate) async fn node() -> Node {
    Node::start(NodeConfig::in_memory()).await.unwrap()
}

/// Waits until `condition` holds, looking every 5 ms; fails after `limit`.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, limit: Duration, mut condition: impl FnMut() -> F) {
    let began = Instant::now();
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    while !condition().await {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        looks.tick().await;
    }
}

/// Fails when `future` takes longer than 20 s: no acquire may hang.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("an answer within 20 s")
}
