//! Ten workers share a platform that allows 3 requests a second; the urgent ones go first.
#![allow(clippy::disallowed_methods, reason = "an example shows when its calls ran")]

use std::time::{Duration, Instant};

use turnstile::{Connection, Niceness, Node, NodeConfig, RateLimit};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::start(NodeConfig::in_memory()).await?;
    let throttler = node.throttler();
    let limit = RateLimit::new(3, Duration::from_secs(1))?;
    let began = Instant::now();

    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..10 {
        let niceness = if worker % 2 == 0 { Niceness::URGENT } else { Niceness::new(10) };
        let connection = Connection::new("slack", "acme", limit)?.with_niceness(niceness);
        let throttler = throttler.clone();
        workers.spawn(async move {
            let call = || async move { println!("{:>5.2?} worker {worker}", began.elapsed()) };
            throttler.throttle(&connection, call).await
        });
    }
    while let Some(finished) = workers.join_next().await {
        finished??;
    }
    node.shutdown().await;
    Ok(())
}
