//! How a request stands, asked at another node than that of its caller, and than its owner.

use std::time::Duration;

use turnstile::{Connection, Niceness, RateLimit, RequestId};

use crate::support::{free_addresses, soon, start};

#[tokio::test(flavor = "multi_thread")]
async fn every_node_says_how_a_request_stands_that_waits_anywhere() {
    let home = tempfile::tempdir().unwrap();
    let nodes = start(home.path(), &free_addresses(3)).await;
    let hourly = Connection::new("test", "explained", RateLimit::new(1, Duration::from_secs(3600)).unwrap()).unwrap();
    drop(soon(nodes[0].throttler().acquire(&hourly)).await.unwrap());
    let request = RequestId::new(9);
    let (throttler, connection) = (nodes[2].throttler(), hourly.clone());
    let waiting = tokio::spawn(async move {
        let request = throttler.request(&connection).request_id(request).niceness(Niceness::new(4));
        request.acquire().await
    });
    for node in &nodes {
        let explained = soon(async {
            loop {
                if let Some(explained) = node.throttler().explain(&hourly, request).await.unwrap() {
                    return explained;
                }
            }
        })
        .await;
        assert_eq!((explained.position, explained.ahead.len()), (1, 0));
        assert!(explained.estimated_wait.unwrap() > Duration::from_secs(3500));
    }
    waiting.abort();
    for node in nodes {
        soon(node.shutdown()).await;
    }
}
