//! Calls from threads that block, and several calls at once.

use std::time::Duration;

use futures_util::FutureExt as _;
use turnstile::{AcquireError, InvalidInput, Node, NodeConfig, RequestId};

use crate::support::{connection, node, soon};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn threads_outside_the_runtime_take_their_turns_like_tasks() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = runtime.block_on(Node::start(NodeConfig::in_memory())).unwrap();
    let (blocking, hourly) = (node.throttler().blocking(), connection("blocking", 2, 3600 * SECOND));
    let threads: Vec<_> = (0..2)
        .map(|number| {
            let (blocking, hourly) = (blocking.clone(), hourly.clone());
            std::thread::spawn(move || blocking.throttle(&hourly, || number).unwrap())
        })
        .collect();
    let mut done: Vec<i32> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    done.sort_unstable();
    assert_eq!(done, [0, 1]);
    assert_eq!(blocking.try_throttle(&hourly, || unreachable!("both slots are used")), Ok(None));
    let throttler = node.throttler();
    let impatient = throttler.request(&hourly).timeout(Duration::from_millis(20)).acquire();
    assert!(matches!(blocking.wait(impatient), Ok(Err(AcquireError::DeadlineExceeded { .. }))));
    let inside = runtime.block_on(async { blocking.throttle(&hourly, || ()) });
    assert_eq!(inside, Err(AcquireError::Invalid(InvalidInput::InsideRuntime)));
    runtime.block_on(node.shutdown());
}

#[tokio::test]
async fn a_batch_queues_together_and_its_permits_come_one_by_one() {
    let node = node().await;
    let (throttler, per_second) = (node.throttler(), connection("batch", 2, SECOND / 5));
    let mut permits = throttler.request(&per_second).request_id(RequestId::new(1)).acquire_many(5);
    assert_eq!(permits.waiting(), 5);
    let mut arrivals = Vec::new();
    while let Some(permit) = soon(permits.next()).await {
        arrivals.push(permit.unwrap().arrival().get());
    }
    assert_eq!(arrivals.len(), 5);
    assert!(arrivals.is_sorted(), "{arrivals:?}");
    assert!(throttler.request(&per_second).acquire_many(0).next().await.is_none());
    node.shutdown().await;
}

#[tokio::test]
async fn who_comes_behind_a_large_batch_stands_behind_all_of_it() {
    let node = node().await;
    let (throttler, hourly) = (node.throttler(), connection("behind", 1, 3600 * SECOND));
    drop(throttler.acquire(&hourly).await.unwrap());
    // More than a task may do in one turn of tokio's.
    let mut batch = throttler.request(&hourly).acquire_many(1000);
    assert!(batch.next().now_or_never().is_none(), "the hour has one slot");
    let mut behind = Box::pin(throttler.request(&hourly).request_id(RequestId::new(1)).acquire());
    assert!((&mut behind).now_or_never().is_none(), "the hour has one slot");
    let explained = soon(throttler.explain(&hourly, RequestId::new(1))).await.unwrap().expect("it waits");
    assert_eq!(explained.position, 1001);
    drop((batch, behind));
    node.shutdown().await;
}

#[tokio::test]
async fn a_batch_that_is_dropped_leaves_the_queue() {
    let node = node().await;
    let (throttler, hourly) = (node.throttler(), connection("dropped", 1, 3600 * SECOND));
    let mut permits = throttler.request(&hourly).acquire_many(50);
    drop(soon(permits.next()).await.unwrap().unwrap());
    assert!(tokio::time::timeout(SECOND / 20, permits.next()).await.is_err(), "the hour has one slot");
    assert_eq!((permits.waiting(), throttler.report().await.waiters), (49, 49));
    drop(permits);
    crate::support::eventually("nobody waits", 10 * SECOND, || async { throttler.report().await.waiters == 0 }).await;
    node.shutdown().await;
}
