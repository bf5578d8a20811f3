//! Acquire, TryAcquire and Release.

use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt;
use turnstile::api::v1;

use crate::support::{HOUR, SECOND, Server, acquire, asking, id, soon, span, time, trying, under};

#[tokio::test]
async fn a_grant_says_everything_about_its_slot() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut with_margins = under(7, acquire("margins", 5, 10 * SECOND));
    with_margins.limits[0].delivery_bound = Some(span(SECOND));
    with_margins.limits[0].guard = Some(span(SECOND / 2));
    let answer = soon(client.acquire(asking(with_margins))).await.unwrap().into_inner();
    assert_eq!((answer.outcome(), answer.retry_after), (v1::Outcome::Granted, None));
    let grant = answer.grant.unwrap();
    assert_eq!(grant.request_id, id(7));
    assert!(grant.arrival >= 1 && grant.release > grant.arrival, "{grant:?}");
    assert!(time(grant.waited) < 10 * SECOND);
    let margin = grant.margin.unwrap();
    assert_eq!((time(margin.delivery), time(margin.guard)), (SECOND, SECOND / 2));
    let start_within = time(grant.start_within);
    assert!(!start_within.is_zero() && start_within < SECOND, "{start_within:?}");

    let bare = soon(client.acquire(asking(acquire("bare", 5, SECOND)))).await.unwrap().into_inner().grant.unwrap();
    assert_eq!((bare.start_within, bare.request_id.len()), (None, 16));
    server.stop().await;
}

#[tokio::test]
async fn the_urgent_are_granted_first_and_equals_in_the_order_of_their_calls() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let full = |number, niceness| asking(v1::Acquire { niceness, ..under(number, acquire("full", 1, HOUR)) });
    let first = soon(client.acquire(full(0, 0))).await.unwrap().into_inner().grant.unwrap();
    let mut waiting = JoinSet::new();
    for (count, number, niceness) in [(1, 1, 5), (2, 2, 5), (3, 3, 0)] {
        let (mut client, request) = (client.clone(), full(number, niceness));
        waiting.spawn(async move { client.acquire(request).await.unwrap().into_inner().grant.unwrap() });
        server.until_waiting(count).await;
    }
    let (mut order, mut permit) = (Vec::new(), first.permit);
    while !waiting.is_empty() {
        soon(client.release(v1::ReleaseRequest { permit })).await.unwrap();
        let next = soon(waiting.join_next()).await.unwrap().unwrap();
        (order, permit) = ([order, vec![next.request_id]].concat(), next.permit);
    }
    assert_eq!(order, [id(3), id(1), id(2)]);
    server.stop().await;
}

#[tokio::test]
async fn a_try_is_answered_at_once_and_not_now_is_data() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let granted = soon(client.try_acquire(trying(acquire("tried", 1, HOUR)))).await.unwrap().into_inner();
    assert_eq!((granted.outcome(), granted.retry_after), (v1::Outcome::Granted, None));
    let throttled = soon(client.try_acquire(trying(acquire("tried", 1, HOUR)))).await.unwrap().into_inner();
    assert_eq!((throttled.outcome(), throttled.grant), (v1::Outcome::Throttled, None));
    let retry_after = time(throttled.retry_after);
    assert!(retry_after > HOUR - 60 * SECOND && retry_after <= HOUR, "{retry_after:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_wait_that_is_known_to_be_too_long_is_not_begun() {
    let server = Server::start().await;
    let mut client = server.client().await;
    soon(client.acquire(asking(acquire("full", 1, HOUR)))).await.unwrap();
    let impatient = v1::Acquire { max_wait: Some(span(60 * SECOND)), ..acquire("full", 1, HOUR) };
    let answer = soon(client.acquire(asking(impatient))).await.unwrap().into_inner();
    assert_eq!((answer.outcome(), answer.grant), (v1::Outcome::Throttled, None));
    assert!(time(answer.retry_after) > 60 * SECOND);
    server.stop().await;
}

#[tokio::test]
async fn a_release_gives_the_slot_to_the_next_and_only_once() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let full = || acquire("full", 2, HOUR);
    let mut permits = Vec::new();
    for number in [1, 2] {
        let granted = soon(client.acquire(asking(under(number, full())))).await.unwrap().into_inner();
        permits.push(granted.grant.unwrap().permit);
    }
    for _ in 0..3 {
        soon(client.release(v1::ReleaseRequest { permit: permits[0].clone() })).await.unwrap();
    }
    soon(client.acquire(asking(under(4, full())))).await.unwrap();
    let late = v1::Acquire { timeout: Some(span(SECOND / 5)), ..under(5, full()) };
    let second = soon(client.acquire(asking(late))).await.unwrap_err();
    assert_eq!(second.code(), Code::DeadlineExceeded);
    server.stop().await;
}

#[tokio::test]
async fn a_retry_of_a_granted_request_is_told_so_and_after_a_release_is_granted_again() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let request = || asking(under(1, acquire("retried", 5, HOUR)));
    let granted = soon(client.acquire(request())).await.unwrap().into_inner().grant.unwrap();
    let again = soon(client.acquire(request())).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    assert_eq!(again.get_details_error_info().unwrap().reason, "ALREADY_GRANTED");
    soon(client.release(v1::ReleaseRequest { permit: granted.permit })).await.unwrap();
    soon(client.acquire(request())).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn the_deadline_of_the_call_and_the_timeout_of_the_acquire_both_end_the_wait() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let full = || acquire("full", 1, HOUR);
    soon(client.acquire(asking(full()))).await.unwrap();
    let timed = v1::Acquire { timeout: Some(span(SECOND / 20)), ..full() };
    let error = soon(client.acquire(asking(timed))).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(error.get_details_error_info().unwrap().reason, "DEADLINE_EXCEEDED");
    server.until_waiting(0).await;

    // Only the header: the client's own timer is not armed, so the answer is the server's.
    let mut late = tonic::Request::new(asking(full()));
    late.metadata_mut().insert("grpc-timeout", "50m".parse().unwrap());
    let error = soon(client.acquire(late)).await.unwrap_err();
    assert!(matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled), "{error}");
    server.until_waiting(0).await;
    server.stop().await;
}
