//! A tower service whose requests wait for their turn: any HTTP or gRPC client that is a service can be throttled like this one.
#![allow(clippy::disallowed_methods, reason = "an example shows when its calls ran")]

use std::time::{Duration, Instant};

use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use turnstile::adaptors::ThrottleLayer;
use turnstile::{Connection, Node, NodeConfig, RateLimit};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::start(NodeConfig::in_memory()).await?;
    let limit = RateLimit::new(2, Duration::from_secs(1))?;
    let began = Instant::now();
    // The client of a platform: a request is the path that it gets.
    let client = service_fn(move |path: String| async move {
        println!("{:>5.2?} GET {path}", began.elapsed());
        Ok::<_, std::convert::Infallible>(200)
    });
    // Everything but /health belongs to one connection.
    let notion = Connection::new("notion", "acme", limit)?;
    let connection_of = move |path: &String| (path != "/health").then(|| notion.clone());
    let throttled = ServiceBuilder::new().layer(ThrottleLayer::new(node.throttler(), connection_of)).service(client);
    let mut requests = tokio::task::JoinSet::new();
    for path in ["/pages/1", "/pages/2", "/pages/3", "/pages/4", "/health"] {
        requests.spawn(throttled.clone().oneshot(path.to_owned()));
    }
    while let Some(answered) = requests.join_next().await {
        assert_eq!(answered??, 200);
    }
    node.shutdown().await;
    Ok(())
}
