//! The busiest of many connections.

use std::num::NonZeroU16;
use std::time::Duration;

use turnstile::{Node, NodeConfig};

use crate::support::{connection, eventually, soon};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn of_more_connections_than_one_look_shows_the_busiest_are_found_in_order() {
    let mut config = NodeConfig::in_memory();
    config.shards = NonZeroU16::MIN;
    let node = Node::start(config).await.unwrap();
    let throttler = node.throttler();
    // More than a shard is asked about at once, and full from 1 of 1000 to 1000 of 1000.
    for number in 1..=1000 {
        let request_of = connection(&format!("{number:04}"), 1000, HOUR);
        drop(soon(throttler.request(&request_of).cost(number).acquire()).await.unwrap());
    }
    // The one that is filled least of all has a waiter.
    let first = connection("0001", 1000, HOUR);
    let waiting = tokio::spawn({
        let throttler = throttler.clone();
        async move { throttler.request(&first).cost(1000).acquire().await }
    });
    eventually("it waits", HOUR, || async { throttler.report().await.waiters == 1 }).await;
    let busiest = soon(node.admin().busiest(4)).await;
    let names: Vec<_> = busiest.connections.iter().map(|(_, report)| report.key.connection()).collect();
    assert_eq!(names, ["0001", "1000", "0999", "0998"]);
    assert!(busiest.missing.is_empty());
    waiting.abort();
    node.shutdown().await;
}
