//! How a request stands that waits.

use std::time::Duration;

use turnstile::{Niceness, RequestId};

use crate::support::{connection, eventually, node, soon};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_waiting_request_is_told_its_place_who_is_ahead_and_how_long_it_waits() {
    let node = node().await;
    let (throttler, hourly) = (node.throttler(), connection("explained", 1, HOUR));
    drop(throttler.acquire(&hourly).await.unwrap());
    let mut waiting = Vec::new();
    for (bits, niceness) in [(1, 5), (2, 5), (3, 0)] {
        let (throttler, hourly) = (node.throttler(), hourly.clone());
        waiting.push(tokio::spawn(async move {
            let request = throttler.request(&hourly).request_id(RequestId::new(bits)).niceness(Niceness::new(niceness));
            request.acquire().await
        }));
        // One after the other, so that their order is known.
        eventually("it waits", HOUR, || async { node.throttler().report().await.waiters == waiting.len() }).await;
    }
    let explained = soon(throttler.explain(&hourly, RequestId::new(2))).await.unwrap().expect("it waits");
    assert_eq!((explained.position, explained.ahead), (3, vec![(Niceness::URGENT, 1), (Niceness::new(5), 1)]));
    let wait = explained.estimated_wait.unwrap();
    assert!(wait <= 3 * HOUR && wait > 3 * HOUR - Duration::from_secs(60), "{wait:?}");
    let first = soon(throttler.explain(&hourly, RequestId::new(3))).await.unwrap().unwrap();
    assert_eq!((first.position, first.ahead), (1, vec![]));
    waiting.remove(1).abort();
    eventually("it does not wait any more", HOUR, || async {
        throttler.explain(&hourly, RequestId::new(2)).await.unwrap().is_none()
    })
    .await;
    assert_eq!(throttler.explain(&connection("other", 1, HOUR), RequestId::new(1)).await, Ok(None));
    waiting.iter().for_each(|waiting| waiting.abort());
    node.shutdown().await;
}
