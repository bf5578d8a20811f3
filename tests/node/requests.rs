//! What a caller says of one request: patience, cost, id, limits.

use std::time::{Duration, Instant};

use turnstile::{AcquireError, Connection, Cost, InvalidInput, Niceness, Node, NodeConfig, RateLimit, RequestId};

use crate::support::{bare_limit, connection, eventually, node, soon};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_timeout_ends_the_wait_and_costs_no_slot() {
    let node = node().await;
    let throttler = node.throttler();
    let connection = connection("timeout", 1, SECOND);
    let began = Instant::now();
    drop(throttler.acquire(&connection).await.unwrap());
    let ended = throttler.request(&connection).timeout(Duration::from_millis(100)).acquire().await.map(drop);
    assert!(matches!(ended, Err(AcquireError::DeadlineExceeded { waited }) if waited >= Duration::from_millis(100)), "{ended:?}");
    drop(soon(throttler.acquire(&connection)).await.unwrap());
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    node.shutdown().await;
}

#[tokio::test]
async fn a_deadline_in_the_past_is_refused_with_how_long_ago_it_was() {
    let node = node().await;
    let (throttler, connection) = (node.throttler(), connection("past", 1, SECOND));
    let past = Instant::now();
    let refused = throttler.request(&connection).deadline(past).acquire().await.map(drop);
    assert!(matches!(refused, Err(AcquireError::Invalid(InvalidInput::DeadlineInThePast { .. }))), "{refused:?}");
    let future = Instant::now() + SECOND;
    drop(soon(throttler.request(&connection).deadline(future).acquire()).await.unwrap());
    node.shutdown().await;
}

#[tokio::test]
async fn a_longest_wait_refuses_at_once_what_is_known_to_take_longer() {
    let node = node().await;
    let throttler = node.throttler();
    let connection = connection("max wait", 1, Duration::from_secs(3600));
    drop(throttler.acquire(&connection).await.unwrap());
    let began = Instant::now();
    let refused = throttler.request(&connection).max_wait(Duration::from_secs(60)).acquire().await.map(drop);
    let Err(AcquireError::NotNow { retry_after }) = refused else { unreachable!("{refused:?}") };
    assert!(retry_after > Duration::from_secs(3590) && retry_after <= Duration::from_secs(3600), "{retry_after:?}");
    assert!(began.elapsed() < SECOND);
    node.shutdown().await;
}

#[tokio::test]
async fn a_longest_wait_of_zero_takes_a_slot_if_there_is_one_now() {
    let node = node().await;
    let throttler = node.throttler();
    let connection = connection("no wait", 1, Duration::from_secs(3600));
    let now = || throttler.request(&connection).max_wait(Duration::ZERO).acquire();
    drop(soon(now()).await.unwrap());
    let refused = soon(now()).await.map(drop);
    assert!(matches!(refused, Err(AcquireError::NotNow { retry_after }) if !retry_after.is_zero()), "{refused:?}");
    node.shutdown().await;
}

#[tokio::test]
async fn a_cost_outside_the_limit_is_refused_with_both() {
    let node = node().await;
    let (throttler, connection) = (node.throttler(), connection("cost", 3, SECOND));
    let zero = throttler.request(&connection).cost(0).acquire().await.unwrap_err();
    assert_eq!(zero.to_string(), "cost is 0: a request takes at least 1 unit");
    let over = throttler.request(&connection).cost(4).acquire().await.unwrap_err();
    assert_eq!(over, AcquireError::CostOverLimit { cost: Cost::of(4), limit: bare_limit(3, SECOND) });
    assert_eq!(over.to_string(), "cost of 4 units and 0 tokens is over the limit of 3 per 1s");
    drop(soon(throttler.request(&connection).cost(3).acquire()).await.unwrap());
    node.shutdown().await;
}

#[tokio::test]
async fn niceness_at_both_ends_is_served() {
    let node = node().await;
    let (throttler, connection) = (node.throttler(), connection("ends", 2, SECOND));
    for niceness in [0, u32::MAX] {
        drop(soon(throttler.request(&connection).niceness(Niceness::new(niceness)).acquire()).await.unwrap());
    }
    node.shutdown().await;
}

#[tokio::test]
async fn a_request_id_is_charged_once_and_never_stands_for_another_request() {
    let node = node().await;
    let throttler = node.throttler();
    let connection = connection("ids", 2, Duration::from_secs(5));
    let id = RequestId::new(7);
    drop(soon(throttler.request(&connection).request_id(id).acquire()).await.unwrap());
    let again = throttler.request(&connection).request_id(id).acquire().await.map(drop);
    assert_eq!(again, Err(AcquireError::AlreadyGranted));
    let other = throttler.request(&connection).request_id(id).cost(2).acquire().await.map(drop);
    assert_eq!(other, Err(AcquireError::RequestIdReused));
    // Neither took the second slot.
    assert!(throttler.request(&connection).try_acquire().await.unwrap().is_some());
    node.shutdown().await;
}

#[tokio::test]
async fn a_retry_takes_the_place_of_the_one_that_waits() {
    let node = node().await;
    let throttler = node.throttler();
    let connection = connection("retry", 1, Duration::from_millis(400));
    drop(throttler.acquire(&connection).await.unwrap());
    let id = RequestId::new(8);
    let (worker, own) = (throttler.clone(), connection.clone());
    let first = tokio::spawn(async move { worker.request(&own).request_id(id).acquire().await.map(drop) });
    eventually("it waits", SECOND, || async { throttler.report().await.waiters == 1 }).await;
    let second = soon(throttler.request(&connection).request_id(id).acquire()).await;
    assert!(second.is_ok(), "{second:?}");
    assert_eq!(soon(first).await.unwrap(), Err(AcquireError::Superseded));
    node.shutdown().await;
}

#[tokio::test]
async fn a_retry_waits_as_long_as_it_says_itself() {
    let node = node().await;
    let throttler = node.throttler();
    let connection = connection("patience", 1, Duration::from_millis(600));
    drop(throttler.acquire(&connection).await.unwrap());
    let call = || throttler.request(&connection).request_id(RequestId::new(10));
    let short = || call().timeout(Duration::from_millis(100));
    let (first, second) = tokio::join!(short().acquire(), call().acquire());
    assert_eq!(first.map(drop), Err(AcquireError::Superseded));
    drop(second.unwrap());
    let other = || throttler.request(&connection).request_id(RequestId::new(11));
    let (first, second) = tokio::join!(other().acquire(), other().try_acquire());
    assert_eq!(first.map(drop), Err(AcquireError::Superseded));
    assert!(second.unwrap().is_none(), "it only tries");
    assert_eq!(throttler.report().await.waiters, 0);
    node.shutdown().await;
}

#[tokio::test]
async fn of_differing_limits_the_strictest_rules() {
    let node = node().await;
    let throttler = node.throttler();
    let (lax, strict) = (connection("differ", 5, Duration::from_secs(60)), connection("differ", 2, Duration::from_secs(60)));
    drop(throttler.acquire(&lax).await.unwrap());
    drop(throttler.acquire(&strict).await.unwrap());
    assert!(throttler.request(&lax).try_acquire().await.unwrap().is_none(), "two are allowed, two were taken");
    node.shutdown().await;
}

#[tokio::test]
async fn strict_limits_refuse_a_caller_that_differs() {
    let mut config = NodeConfig::in_memory();
    config.strict_limits = true;
    let node = Node::start(config).await.unwrap();
    let throttler = node.throttler();
    let (first, second) = (connection("strict", 5, SECOND), connection("strict", 2, SECOND));
    drop(throttler.acquire(&first).await.unwrap());
    let refused = throttler.acquire(&second).await.map(drop).unwrap_err();
    assert_eq!(refused, AcquireError::LimitsDiffer { in_force: vec![bare_limit(5, SECOND)] });
    assert_eq!(refused.to_string(), "limits differ from those in force: 5 per 1s");
    node.shutdown().await;
}

#[test]
fn a_bad_connection_is_refused_before_anything_runs() {
    let limit = RateLimit::new(1, SECOND).unwrap();
    let long = "x".repeat(257);
    for (platform, name, message) in [
        ("", "acme", "platform is empty: it takes 1 to 256 bytes of UTF-8"),
        ("slack", &long, "connection has 257 bytes: it takes 1 to 256 bytes of UTF-8"),
        ("slack", "a\0b", "connection \"a\\0b\" holds a NUL byte: names are text without NUL"),
    ] {
        assert_eq!(Connection::new(platform, name, limit).unwrap_err().to_string(), message);
    }
    assert_eq!(RateLimit::new(0, SECOND).unwrap_err().to_string(), "request count is 0: a limit allows at least 1 per window");
    for window in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(604_801)] {
        assert_eq!(RateLimit::new(1, window).unwrap_err(), InvalidInput::WindowOutOfRange { window });
    }
}

#[tokio::test]
async fn a_retry_is_answered_although_the_one_before_it_is_given_up() {
    let node = node().await;
    let throttler = node.throttler();
    let connection = connection("hedged", 1, Duration::from_millis(300));
    drop(throttler.acquire(&connection).await.unwrap());
    let id = RequestId::new(9);
    let moment = Duration::from_millis(5);
    let mut first = Box::pin(throttler.request(&connection).request_id(id).acquire());
    assert!(tokio::time::timeout(moment, &mut first).await.is_err(), "the window is full");
    let mut second = Box::pin(throttler.request(&connection).request_id(id).acquire());
    // The first was told that it is superseded, and is dropped before it has read so.
    assert!(tokio::time::timeout(moment, &mut second).await.is_err(), "the window is full");
    drop(first);
    drop(soon(second).await.unwrap());
    node.shutdown().await;
}
