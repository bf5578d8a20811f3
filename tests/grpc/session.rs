//! Sessions: many acquires over one stream.

use std::collections::HashSet;

use tonic::{Code, Status};
use tonic_types::StatusExt;
use turnstile::api::v1::session_request::Message;
use turnstile::api::v1::session_response::Message as Said;
use turnstile::api::{Bounds, v1};

use crate::support::{HOUR, SECOND, Server, Talk, acquire, asking, id, soon, span, time, under};

/// What a unary call would have ended with.
fn failure(said: Said) -> Status {
    let Said::Failed(failed) = said else { panic!("a failure: {said:?}") };
    let status = Status::with_details(Code::from_i32(failed.code), failed.message, failed.status_details.into());
    assert!(status.get_details_error_info().is_some(), "{status}");
    status
}

fn grant(said: Said) -> v1::Granted {
    let Said::Granted(granted) = said else { panic!("a grant: {said:?}") };
    granted
}

fn cancel(number: u128) -> Message {
    Message::Cancel(v1::Cancel { request_id: id(number) })
}

fn done(number: u128) -> Message {
    Message::Done(v1::Done { request_id: id(number) })
}

fn give_back(number: u128) -> Message {
    Message::GiveBack(v1::GiveBack { request_id: id(number) })
}

const ENDED: Said = Said::Ended(v1::Ended {});

#[tokio::test]
async fn what_is_given_back_goes_to_the_next_and_what_is_done_does_not() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut talk = Talk::begin(&mut client).await;
    let full = |number| Message::Acquire(under(number, acquire("full", 1, HOUR)));
    talk.say(full(1)).await;
    let (first, granted) = talk.hear().await;
    let granted = grant(granted).grant.unwrap();
    assert_eq!((&first, &granted.request_id), (&id(1), &id(1)));
    talk.say(full(2)).await;
    server.until_waiting(1).await;
    talk.say(give_back(1)).await;
    assert_eq!(talk.hear().await, (id(1), ENDED));
    let (second, next) = talk.hear().await;
    assert!(second == id(2) && grant(next).grant.unwrap().release > granted.release, "the next has the slot");
    // Not answered: the next that is heard is the try's.
    talk.say(done(2)).await;
    talk.say(Message::TryAcquire(under(3, acquire("full", 1, HOUR)))).await;
    let (third, throttled) = talk.hear().await;
    let Said::Throttled(throttled) = throttled else { panic!("nothing is free: {throttled:?}") };
    assert!(third == id(3) && time(throttled.retry_after) > HOUR - 60 * SECOND);
    server.stop().await;
}

#[tokio::test]
async fn who_has_waited_elsewhere_comes_before_those_who_came_after_it() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut talk = Talk::begin(&mut client).await;
    let full = |number, waited| Message::Acquire(v1::Acquire { waited, ..under(number, acquire("full", 1, HOUR)) });
    talk.say(full(1, None)).await;
    let first = grant(talk.hear().await.1).grant.unwrap();
    talk.say(full(2, None)).await;
    server.until_waiting(1).await;
    // In the order in which they began to wait.
    for (number, waited) in [(3, 90), (4, 80)] {
        talk.say(full(number, Some(span(waited * SECOND)))).await;
    }
    server.until_waiting(3).await;
    for (gives_back, next) in [(1, 3), (3, 4), (4, 2)] {
        talk.say(give_back(gives_back)).await;
        assert_eq!(talk.hear().await, (id(gives_back), ENDED));
        let (who, said) = talk.hear().await;
        let granted = grant(said).grant.unwrap();
        assert_eq!(who, id(next));
        assert!(granted.tenure == first.tenure && granted.release > first.release, "one owner numbers them all");
        assert_eq!(time(granted.waited) > 70 * SECOND, next > 2);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_grant_echoes_the_newest_stamp_and_its_age() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut talk = Talk::begin(&mut client).await;
    let roomy = |number| Some(Message::Acquire(under(number, acquire("roomy", 9, SECOND))));
    talk.stamp(None, roomy(1)).await;
    assert_eq!(grant(talk.hear().await.1).stamp_nanos, None);
    talk.stamp(Some(500), None).await;
    talk.stamp(Some(400), None).await;
    talk.stamp(None, roomy(2)).await;
    let granted = grant(talk.hear().await.1);
    assert_eq!(granted.stamp_nanos, Some(500));
    assert!(time(granted.age) < 20 * SECOND && !time(granted.age).is_zero(), "{granted:?}");
    talk.stamp(Some(600), roomy(3)).await;
    assert_eq!(grant(talk.hear().await.1).stamp_nanos, Some(600));
    server.stop().await;
}

#[tokio::test]
async fn of_a_thousand_that_wait_those_cancelled_leave_and_the_one_left_is_granted() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut talk = Talk::begin(&mut client).await;
    let full = |number| Message::Acquire(under(number, acquire("full", 1, HOUR)));
    talk.say(full(0)).await;
    drop(grant(talk.hear().await.1));
    for number in 1..=1000 {
        talk.say(full(number)).await;
    }
    server.until_waiting(1000).await;
    let mut ended = HashSet::new();
    for number in (1..=1000).filter(|number| *number != 500) {
        talk.say(cancel(number)).await;
        let (who, said) = talk.hear().await;
        assert_eq!(said, ENDED);
        ended.insert(who);
    }
    assert_eq!(ended.len(), 999);
    server.until_waiting(1).await;
    talk.say(give_back(0)).await;
    assert_eq!(talk.hear().await, (id(0), ENDED));
    let (who, said) = talk.hear().await;
    assert_eq!((who, grant(said).grant.unwrap().request_id), (id(500), id(500)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_said_in_one_go_arrive_in_their_order() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut talk = Talk::begin(&mut client).await;
    for number in 0..1000 {
        talk.say(Message::Acquire(under(number, acquire("roomy", 1000, HOUR)))).await;
    }
    let mut arrivals = Vec::new();
    for _ in 0..1000 {
        let (who, said) = talk.hear().await;
        arrivals.push((grant(said).grant.unwrap().arrival, who));
    }
    arrivals.sort_unstable();
    let order: Vec<_> = arrivals.into_iter().map(|(_, who)| who).collect();
    assert_eq!(order, (0..1000).map(id).collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test]
async fn a_cancel_that_crosses_a_grant_gives_it_back() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut talk = Talk::begin(&mut client).await;
    let full = |number| Message::Acquire(under(number, acquire("full", 1, HOUR)));
    talk.say(full(1)).await;
    drop(grant(talk.hear().await.1));
    talk.say(cancel(1)).await;
    assert_eq!(talk.hear().await, (id(1), ENDED));
    talk.say(full(2)).await;
    assert_eq!(talk.hear().await.0, id(2));
    server.stop().await;
}

#[tokio::test]
async fn a_dropped_session_leaves_nothing_in_the_queue() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut talk = Talk::begin(&mut client).await;
    for number in 0..100 {
        talk.say(Message::Acquire(under(number, acquire("full", 1, HOUR)))).await;
    }
    drop(grant(talk.hear().await.1));
    server.until_waiting(99).await;
    drop(talk);
    server.until_waiting(0).await;
    server.stop().await;
}

#[tokio::test]
async fn a_half_closed_session_answers_what_still_waits_and_ends() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut talk = Talk::begin(&mut client).await;
    for number in 0..3 {
        talk.say(Message::Acquire(under(number, acquire("slow", 1, SECOND / 5)))).await;
    }
    talk.half_close();
    for number in 0..3 {
        assert_eq!(talk.hear().await.0, id(number));
    }
    talk.end().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_refused_message_is_answered_under_its_id_and_the_stream_lives_on() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut talk = Talk::begin(&mut client).await;
    let roomy = |number| under(number, acquire("roomy", 5, HOUR));
    let without_key = Message::Acquire(v1::Acquire { key: None, ..roomy(1) });
    let without_id = Message::Acquire(v1::Acquire { request_id: vec![9], ..roomy(1) });
    let too_much = Message::TryAcquire(v1::Acquire { cost: Some(6), ..roomy(1) });
    let cases = [
        (without_key, id(1), Code::InvalidArgument, "acquire.key"),
        (without_id, vec![9], Code::InvalidArgument, "acquire.request_id"),
        (too_much, id(1), Code::InvalidArgument, "try_acquire.cost"),
        (Message::Cancel(v1::Cancel { request_id: Vec::new() }), Vec::new(), Code::InvalidArgument, "cancel.request_id"),
        (cancel(1), id(1), Code::NotFound, ""),
        (done(1), id(1), Code::NotFound, ""),
        (give_back(1), id(1), Code::NotFound, ""),
    ];
    for (message, whose, code, field) in cases {
        talk.say(message).await;
        let (who, said) = talk.hear().await;
        let status = failure(said);
        assert_eq!((who, status.code()), (whose, code), "{status}");
        let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
        assert_eq!(violations.first().map_or("", |violation| &violation.field), field);
    }
    talk.say(Message::Acquire(roomy(1))).await;
    assert_eq!(grant(talk.hear().await.1).grant.unwrap().request_id, id(1));
    talk.say(Message::Acquire(roomy(1))).await;
    let twice = failure(talk.hear().await.1);
    assert_eq!(twice.get_details_error_info().unwrap().reason, "REQUEST_ID_IN_USE");
    server.stop().await;
}

#[tokio::test]
async fn an_id_as_long_as_a_message_can_be_is_answered_under_itself_and_the_stream_lives_on() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut talk = Talk::begin(&mut client).await;
    let long = vec![7; 65_500];
    talk.say(Message::Cancel(v1::Cancel { request_id: long.clone() })).await;
    let (who, said) = talk.hear().await;
    assert!(who == long && failure(said).message().contains("has 65500 bytes"));
    talk.say(Message::Acquire(under(1, acquire("roomy", 5, HOUR)))).await;
    assert_eq!(talk.hear().await.0, id(1));
    server.stop().await;
}

#[tokio::test]
async fn beyond_the_bound_of_a_session_an_acquire_is_refused_and_the_others_stay() {
    let mut bounds = Bounds::default();
    bounds.max_session_requests = 2;
    let server = Server::within(bounds).await;
    let mut client = server.client().await;
    let mut talk = Talk::begin(&mut client).await;
    let full = |number| Message::Acquire(under(number, acquire("full", 1, HOUR)));
    talk.say(full(1)).await;
    drop(grant(talk.hear().await.1));
    talk.say(full(2)).await;
    talk.say(full(3)).await;
    let (who, said) = talk.hear().await;
    let status = failure(said);
    assert_eq!((who, status.code(), status.message()), (id(3), Code::ResourceExhausted, "max_session_requests is reached: 2"));
    assert_eq!(status.get_details_quota_failure().unwrap().violations[0].subject, "max_session_requests");
    assert!(status.get_details_retry_info().is_some());
    talk.say(give_back(1)).await;
    assert_eq!(talk.hear().await, (id(1), ENDED));
    assert_eq!(talk.hear().await.0, id(2));
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_waits_in_a_session_and_a_unary_call_stand_in_one_queue() {
    let server = Server::start().await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    let mut talk = Talk::begin(&mut client).await;
    talk.say(Message::Acquire(under(1, acquire("shared", 1, HOUR)))).await;
    drop(grant(talk.hear().await.1));
    let unary = tokio::spawn(async move { other.acquire(asking(acquire("shared", 1, HOUR))).await });
    server.until_waiting(1).await;
    talk.say(Message::Acquire(under(2, acquire("shared", 1, HOUR)))).await;
    server.until_waiting(2).await;
    talk.say(give_back(1)).await;
    assert_eq!(talk.hear().await, (id(1), ENDED));
    soon(unary).await.unwrap().unwrap();
    server.until_waiting(1).await;
    server.stop().await;
}
