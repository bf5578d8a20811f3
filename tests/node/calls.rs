//! `throttle` and `acquire`: turns, results, order, pauses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use turnstile::{AcquireError, InvalidInput, Niceness, RequestId};

use crate::support::{connection, eventually, node, soon};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn the_result_of_the_function_is_the_callers() {
    let (node, connection) = (node().await, connection("results", 2, SECOND));
    let throttler = node.throttler();
    let told = throttler.throttle(&connection, || async { Ok::<_, String>(42) }).await.unwrap();
    assert_eq!(told, Ok(42));
    node.shutdown().await;
}

#[tokio::test]
async fn a_function_that_fails_runs_once_and_keeps_its_slot() {
    let (node, connection) = (node().await, connection("fails", 1, Duration::from_millis(400)));
    let (throttler, runs) = (node.throttler(), Arc::new(AtomicU32::new(0)));
    let began = Instant::now();
    let counted = Arc::clone(&runs);
    let failed = throttler.throttle(&connection, || async move {
        counted.fetch_add(1, Ordering::SeqCst);
        Err::<(), _>("the platform said no")
    });
    assert_eq!(failed.await.unwrap(), Err("the platform said no"));
    throttler.throttle(&connection, || async {}).await.unwrap();
    assert!(
        began.elapsed() >= Duration::from_millis(399),
        "the slot of the failed call was given away after {:?}",
        began.elapsed()
    );
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    node.shutdown().await;
}

#[tokio::test]
async fn the_urgent_go_first_and_equals_in_the_order_of_their_calls() {
    let node = node().await;
    let throttler = node.throttler();
    let base = connection("order", 1, Duration::from_millis(100));
    drop(throttler.acquire(&base).await.unwrap());
    let mut calls = JoinSet::new();
    for (name, niceness) in [("gc 1", 20), ("gc 2", 20), ("fresh 1", 0), ("usual", 5), ("fresh 2", 0)] {
        let (worker, own) = (throttler.clone(), base.clone().with_niceness(Niceness::new(niceness)));
        calls.spawn(async move { (worker.acquire(&own).await.unwrap().release(), name) });
        let waiting = calls.len();
        eventually("the call waits", SECOND, || async { throttler.report().await.waiters == waiting }).await;
    }
    let mut order = soon(calls.join_all()).await;
    order.sort_unstable();
    let names: Vec<&str> = order.into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["fresh 1", "fresh 2", "usual", "gc 1", "gc 2"]);
    node.shutdown().await;
}

#[tokio::test]
async fn a_connection_at_its_limit_delays_no_other_and_holds_no_worker() {
    let node = node().await;
    let throttler = node.throttler();
    let full = connection("full", 1, Duration::from_secs(3600));
    drop(throttler.acquire(&full).await.unwrap());
    let mut stuck = JoinSet::new();
    for _ in 0..500 {
        let (throttler, full) = (throttler.clone(), full.clone());
        stuck.spawn(async move { throttler.acquire(&full).await.map(drop) });
    }
    eventually("all wait", Duration::from_secs(5), || async { throttler.report().await.waiters == 500 }).await;
    for call in 0..100 {
        let other = connection(&format!("other {call}"), 1, SECOND);
        drop(soon(throttler.acquire(&other)).await.unwrap());
    }
    stuck.shutdown().await;
    eventually("all have left", Duration::from_secs(5), || async { throttler.report().await.waiters == 0 }).await;
    node.shutdown().await;
}

#[tokio::test]
async fn dropping_the_future_leaves_the_queue_and_costs_no_slot() {
    let node = node().await;
    let throttler = node.throttler();
    let connection = connection("dropped", 1, Duration::from_millis(300));
    let began = Instant::now();
    drop(throttler.acquire(&connection).await.unwrap());
    for _ in 0..50 {
        let impatient = tokio::time::timeout(Duration::from_millis(2), throttler.acquire(&connection)).await;
        assert!(impatient.is_err(), "the window is full");
    }
    drop(soon(throttler.acquire(&connection)).await.unwrap());
    assert!(began.elapsed() < Duration::from_millis(600), "those who left took a slot: {:?}", began.elapsed());
    node.shutdown().await;
}

#[tokio::test]
async fn a_permit_given_back_goes_to_the_next_and_one_dropped_does_not() {
    let node = node().await;
    let (throttler, hourly) = (node.throttler(), connection("given back", 1, Duration::from_secs(3600)));
    let permit = throttler.acquire(&hourly).await.unwrap();
    let waiting = {
        let (throttler, hourly) = (throttler.clone(), hourly.clone());
        tokio::spawn(async move { throttler.acquire(&hourly).await })
    };
    eventually("one waits", SECOND, || async { throttler.report().await.waiters == 1 }).await;
    permit.give_back();
    drop(soon(waiting).await.unwrap().unwrap());
    let refused = throttler.request(&hourly).timeout(Duration::from_millis(50)).acquire().await.map(drop);
    assert!(matches!(refused, Err(AcquireError::DeadlineExceeded { .. })), "{refused:?}");
    node.shutdown().await;
}

#[tokio::test]
async fn a_large_request_holds_back_small_ones_behind_it() {
    let node = node().await;
    let throttler = node.throttler();
    let connection = connection("large", 4, Duration::from_millis(300));
    drop(throttler.request(&connection).cost(1).acquire().await.unwrap());
    let (large, small) = (throttler.clone(), throttler.clone());
    let (one, two) = (connection.clone(), connection.clone());
    let large = tokio::spawn(async move { large.request(&one).cost(4).acquire().await.unwrap().release() });
    eventually("the large one waits", SECOND, || async { throttler.report().await.waiters == 1 }).await;
    let small = tokio::spawn(async move { small.acquire(&two).await.unwrap().release() });
    assert!(soon(large).await.unwrap() < soon(small).await.unwrap());
    node.shutdown().await;
}

#[tokio::test]
async fn a_penalty_pauses_the_connection_for_everyone() {
    let node = node().await;
    let throttler = node.throttler();
    let connection = connection("penalty", 100, SECOND);
    let began = Instant::now();
    throttler.penalize(&connection, Duration::from_millis(300)).await.unwrap();
    assert_eq!(throttler.try_throttle(&connection, || async {}).await.unwrap(), None);
    drop(soon(throttler.acquire(&connection)).await.unwrap());
    assert!(began.elapsed() >= Duration::from_millis(299), "after {:?}", began.elapsed());
    for pause in [Duration::ZERO, Duration::from_secs(604_801)] {
        let refused = throttler.penalize(&connection, pause).await.unwrap_err();
        assert_eq!(refused, AcquireError::Invalid(InvalidInput::PenaltyOutOfRange { pause }));
    }
    node.shutdown().await;
}

#[tokio::test]
async fn everybody_who_waits_when_the_node_ends_is_told() {
    let node = node().await;
    let throttler = node.throttler();
    let connection = connection("ended", 1, Duration::from_secs(3600));
    drop(throttler.acquire(&connection).await.unwrap());
    let mut waiting = JoinSet::new();
    for request in 0..20 {
        let (throttler, connection) = (throttler.clone(), connection.clone());
        waiting
            .spawn(async move { throttler.request(&connection).request_id(RequestId::new(request)).acquire().await.map(drop) });
    }
    eventually("all wait", SECOND, || async { throttler.report().await.waiters == 20 }).await;
    node.shutdown().await;
    for answer in soon(waiting.join_all()).await {
        assert_eq!(answer, Err(AcquireError::Stopped { reason: "it was shut down".to_owned() }));
    }
    // Its owners have ended, too; but that is not why.
    for _ in 0..50 {
        let late = throttler.acquire(&connection).await.map(drop);
        assert_eq!(late, Err(AcquireError::Stopped { reason: "it was shut down".to_owned() }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_on_many_threads_are_released_in_the_order_of_their_arrival_numbers() {
    let node = node().await;
    let connection = connection("threads", 50, Duration::from_millis(20));
    let mut calls = JoinSet::new();
    for _ in 0..3000 {
        let (throttler, connection) = (node.throttler(), connection.clone());
        calls.spawn(async move {
            let permit = throttler.acquire(&connection).await.unwrap();
            (permit.release(), permit.arrival())
        });
    }
    let mut order = soon(calls.join_all()).await;
    order.sort_unstable();
    let overtaken = order.windows(2).find(|pair| pair[0].1 > pair[1].1);
    assert_eq!(overtaken, None, "(release, arrival): the second had arrived before the first");
    node.shutdown().await;
}
