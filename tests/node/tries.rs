//! The call that doesn't wait.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use turnstile::{AcquireError, OnUnreachable};

use crate::support::{connection, eventually, node, soon};

#[tokio::test]
async fn a_try_without_a_slot_is_none_at_once_and_charges_nothing() {
    let node = node().await;
    let throttler = node.throttler();
    let window = Duration::from_millis(500);
    let connection = connection("try", 1, window);
    let began = Instant::now();
    assert_eq!(throttler.try_throttle(&connection, || async { "ran" }).await.unwrap(), Some("ran"));
    for _ in 0..100 {
        assert_eq!(throttler.try_throttle(&connection, || async { "ran" }).await.unwrap(), None);
    }
    assert!(began.elapsed() < window, "a hundred tries took {:?}", began.elapsed());
    drop(soon(throttler.acquire(&connection)).await.unwrap());
    assert!(began.elapsed() < window + window / 2, "the tries were charged: {:?}", began.elapsed());
    node.shutdown().await;
}

#[tokio::test]
async fn a_try_goes_behind_nobody() {
    let node = node().await;
    let throttler = node.throttler();
    let connection = connection("queue", 2, Duration::from_millis(400));
    drop(throttler.acquire(&connection).await.unwrap());
    let (worker, own) = (throttler.clone(), connection.clone());
    // It needs both slots, so it waits although one is free.
    let waiting = tokio::spawn(async move { worker.request(&own).cost(2).acquire().await.map(drop) });
    eventually("it waits", Duration::from_secs(1), || async { throttler.report().await.waiters == 1 }).await;
    assert_eq!(throttler.try_throttle(&connection, || async {}).await.unwrap(), None);
    assert_eq!(soon(waiting).await.unwrap(), Ok(()));
    node.shutdown().await;
}

#[tokio::test]
async fn tried_at_random_by_four_workers_the_starts_are_a_window_apart_and_no_slot_is_wasted() {
    let node = node().await;
    let window = Duration::from_millis(150);
    let starts = Arc::new(Mutex::new(Vec::new()));
    let mut workers = JoinSet::new();
    let ends = Instant::now() + Duration::from_secs(3);
    for worker in 0..4_u64 {
        let (throttler, starts) = (node.throttler(), Arc::clone(&starts));
        let connection = connection("random", 1, window);
        workers.spawn(async move {
            let mut pause = tokio::time::interval(Duration::from_micros(900 + 130 * worker));
            while Instant::now() < ends {
                throttler.try_throttle(&connection, || async { starts.lock().unwrap().push(Instant::now()) }).await.unwrap();
                pause.tick().await;
            }
        });
    }
    workers.join_all().await;
    let mut starts = starts.lock().unwrap().clone();
    starts.sort_unstable();
    assert!(starts.len() >= 15, "{} starts in 3 s", starts.len());
    for (before, after) in starts.iter().zip(&starts[1..]) {
        let gap = *after - *before;
        // The ledger counts from the charge, a start comes after it: both ends may shift by one delivery.
        assert!(gap + Duration::from_millis(20) >= window, "started {gap:?} after the one before");
        assert!(gap < window * 2, "a slot was wasted: {gap:?}");
    }
    node.shutdown().await;
}

#[tokio::test]
async fn out_of_reach_a_try_stays_closed_or_opens_as_it_was_told() {
    let node = node().await;
    let (throttler, connection) = (node.throttler(), connection("gone", 1, Duration::from_secs(1)));
    node.shutdown().await;
    assert_eq!(throttler.try_throttle(&connection, || async { 1 }).await, Ok(None));
    let open = throttler.request(&connection).on_unreachable(OnUnreachable::Open);
    assert_eq!(open.try_throttle(|| async { 1 }).await, Ok(Some(1)));
    let told = throttler.request(&connection).try_acquire().await.map(drop);
    assert!(matches!(told, Err(AcquireError::Stopped { .. })), "{told:?}");
}
