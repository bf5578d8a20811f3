//! Every bound of a node: what is refused beyond it, and that it can be reached again.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::JoinSet;
use turnstile::{AcquireError, Connection, Node, NodeConfig, Throttler};

use crate::support::{bare_limit, connection, eventually, soon};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

fn wait_for(waiting: &mut JoinSet<Result<(), AcquireError>>, throttler: &Throttler, connection: &Connection) {
    let (throttler, connection) = (throttler.clone(), connection.clone());
    waiting.spawn(async move { throttler.acquire(&connection).await.map(drop) });
}

#[tokio::test]
async fn a_full_queue_refuses_the_next_and_takes_one_again_when_one_has_left() {
    let mut config = NodeConfig::in_memory();
    config.max_waiters_per_connection = 3;
    let node = Node::start(config).await.unwrap();
    let throttler = node.throttler();
    let (full, mut waiting) = (connection("full", 1, HOUR), JoinSet::new());
    drop(throttler.acquire(&full).await.unwrap());
    for _ in 0..3 {
        wait_for(&mut waiting, &throttler, &full);
    }
    eventually("three wait", SECOND, || async { throttler.report().await.waiters == 3 }).await;
    let refused = throttler.acquire(&full).await.map(drop).unwrap_err();
    assert_eq!(refused, AcquireError::BoundReached { bound: "max_waiters_per_connection", max: 3 });
    assert_eq!(refused.to_string(), "max_waiters_per_connection is reached: 3");
    drop(soon(throttler.acquire(&connection("another", 1, HOUR))).await.unwrap());
    waiting.shutdown().await;
    eventually("nobody waits", SECOND, || async { throttler.report().await.waiters == 0 }).await;
    wait_for(&mut waiting, &throttler, &full);
    eventually("one waits", SECOND, || async { throttler.report().await.waiters == 1 }).await;
    node.shutdown().await;
}

#[tokio::test]
async fn too_many_connections_are_refused_until_one_has_left_memory() {
    let mut config = NodeConfig::in_memory();
    config.max_connections = 2;
    let node = Node::start(config).await.unwrap();
    let throttler = node.throttler();
    let window = Duration::from_millis(300);
    for name in ["a", "b"] {
        drop(throttler.acquire(&connection(name, 5, window)).await.unwrap());
    }
    let third = connection("c", 5, window);
    let refused = throttler.acquire(&third).await.map(drop);
    assert_eq!(refused, Err(AcquireError::BoundReached { bound: "max_connections", max: 2 }));
    drop(throttler.acquire(&connection("a", 5, window)).await.unwrap());
    eventually("both have left", Duration::from_secs(5), || async { throttler.acquire(&third).await.is_ok() }).await;
    node.shutdown().await;
}

#[tokio::test]
async fn acquires_in_flight_are_bounded_waiting_or_held() {
    let mut config = NodeConfig::in_memory();
    config.max_in_flight = 2;
    let node = Node::start(config).await.unwrap();
    let throttler = node.throttler();
    let (roomy, full) = (connection("roomy", 9, SECOND), connection("full", 1, HOUR));
    let held = throttler.acquire(&full).await.unwrap();
    let mut waiting = JoinSet::new();
    wait_for(&mut waiting, &throttler, &full);
    eventually("one waits", SECOND, || async { throttler.report().await.waiters == 1 }).await;
    let refused = throttler.acquire(&roomy).await.map(drop);
    assert_eq!(refused, Err(AcquireError::BoundReached { bound: "max_in_flight", max: 2 }));
    drop(held);
    drop(soon(throttler.acquire(&roomy)).await.unwrap());
    node.shutdown().await;
}

#[tokio::test]
async fn more_than_eight_different_limits_of_one_connection_are_refused() {
    let node = crate::support::node().await;
    let throttler = node.throttler();
    for count in 100..108 {
        drop(throttler.acquire(&connection("limits", count, HOUR)).await.unwrap());
    }
    let ninth = connection("limits", 108, HOUR);
    let refused = throttler.acquire(&ninth).await.map(drop);
    assert_eq!(refused, Err(AcquireError::BoundReached { bound: "limits per connection", max: 8 }));
    let nine = (1..9).try_fold(connection("own", 9, HOUR), |connection, count| connection.and_limit(bare_limit(count, HOUR)));
    assert_eq!(nine.unwrap_err().to_string(), "connection has 9 limits: it takes 1 to 8");
    node.shutdown().await;
}

/// Begins something and gives it up at once, before anybody else can run.
fn begin_and_drop<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn what_was_given_up_counts_until_its_owner_has_read_so() {
    const MOST: usize = 50;
    let refused = AcquireError::BoundReached { bound: "max_in_flight", max: MOST };
    let mut config = NodeConfig::in_memory();
    config.max_in_flight = MOST;
    let node = Node::start(config).await.unwrap();
    let throttler = node.throttler();
    let hourly = connection("hourly", 1, HOUR);
    // One thread: no owner runs before this test waits.
    for _ in 0..MOST {
        assert!(begin_and_drop(throttler.acquire(&hourly)).is_none());
    }
    let next = begin_and_drop(throttler.acquire(&hourly)).expect("an answer at once");
    assert_eq!(next.map(drop), Err(refused.clone()));
    eventually("one can be begun", SECOND, || async { throttler.acquire(&connection("free", 9, SECOND)).await.is_ok() }).await;
    assert!(throttler.request(&hourly).try_acquire().await.unwrap().is_some(), "they have cost nothing");
    for _ in 0..MOST {
        assert!(begin_and_drop(throttler.penalize(&hourly, SECOND)).is_none());
    }
    assert_eq!(begin_and_drop(throttler.penalize(&hourly, SECOND)), Some(Err(refused)));
    eventually("one can be begun", SECOND, || async { throttler.penalize(&hourly, SECOND).await.is_ok() }).await;
    node.shutdown().await;
}
