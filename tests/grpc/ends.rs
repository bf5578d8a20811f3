//! Callers that go away, and servers and nodes that stop.

use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt;
use turnstile::api::v1::session_request::Message;

use crate::relay::Relay;
use crate::support::{Client, HOUR, SECOND, Server, Talk, acquire, asking, connect, soon, under};

#[tokio::test]
async fn a_client_whose_own_deadline_passes_leaves_the_queue() {
    let server = Server::start().await;
    let mut client = server.client().await;
    soon(client.acquire(asking(acquire("full", 1, HOUR)))).await.unwrap();
    let mut late = tonic::Request::new(asking(acquire("full", 1, HOUR)));
    late.set_timeout(SECOND / 10);
    let error = soon(client.acquire(late)).await.unwrap_err();
    assert!(matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled), "{error}");
    server.until_waiting(0).await;
    server.stop().await;
}

#[tokio::test]
async fn five_hundred_calls_dropped_at_once_leave_the_queue_and_disturb_nobody() {
    let server = Server::start().await;
    let mut client = server.client().await;
    soon(client.acquire(asking(acquire("full", 1, HOUR)))).await.unwrap();
    let mut same_connection = Talk::begin(&mut client).await;
    let mut other_connection = server.client().await;
    let mut waiting = JoinSet::new();
    for _ in 0..500 {
        let mut client = client.clone();
        waiting.spawn(async move { client.acquire(asking(acquire("full", 1, HOUR))).await });
    }
    server.until_waiting(500).await;
    waiting.abort_all();
    server.until_waiting(0).await;
    same_connection.say(Message::Acquire(under(1, acquire("roomy", 9, HOUR)))).await;
    drop(same_connection.hear().await);
    for client in [&mut client, &mut other_connection] {
        soon(client.acquire(asking(acquire("roomy", 9, HOUR)))).await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn calls_cancelled_before_the_server_has_seen_them_do_not_end_the_connection() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut talk = Talk::begin(&mut client).await;
    soon(client.acquire(asking(acquire("full", 1, HOUR)))).await.unwrap();
    // Client and server share a thread: how often it goes round decides how far the calls come before they are cancelled.
    for rounds in 0..20 {
        let mut calls = JoinSet::new();
        for _ in 0..200 {
            let mut client = client.clone();
            calls.spawn(async move { client.acquire(asking(acquire("full", 1, HOUR))).await });
        }
        for _ in 0..rounds {
            tokio::task::yield_now().await;
        }
        soon(calls.shutdown()).await;
    }
    server.until_waiting(0).await;
    talk.say(Message::Acquire(under(1, acquire("roomy", 9, HOUR)))).await;
    drop(talk.hear().await);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_is_cut_off_without_a_word_leaves_the_queue() {
    let server = Server::start().await;
    let mut client = server.client().await;
    soon(client.acquire(asking(acquire("full", 1, HOUR)))).await.unwrap();
    let relay = Relay::to(server.address).await;
    let talk = Talk::begin(&mut Client::new(connect(relay.address).await)).await;
    talk.say(Message::Acquire(under(1, acquire("full", 1, HOUR)))).await;
    server.until_waiting(1).await;
    let _cut = relay.cut();
    server.until_waiting(0).await;
    server.stop().await;
}

#[tokio::test]
async fn when_the_node_stops_everybody_who_waits_is_told_unavailable_and_why() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut talk = Talk::begin(&mut client).await;
    soon(client.acquire(asking(acquire("full", 1, HOUR)))).await.unwrap();
    let unary = {
        let mut client = client.clone();
        tokio::spawn(async move { client.acquire(asking(acquire("full", 1, HOUR))).await })
    };
    talk.say(Message::Acquire(under(1, acquire("full", 1, HOUR)))).await;
    server.until_waiting(2).await;
    soon(server.node.shutdown()).await;
    let error = soon(unary).await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Unavailable, "the node has stopped: it was shut down"));
    assert_eq!(error.get_details_error_info().unwrap().reason, "NODE_STOPPED");
    assert!(error.get_details_retry_info().is_some());
    let (_, said) = talk.hear().await;
    assert!(format!("{said:?}").contains("the node has stopped"), "{said:?}");
    let later = soon(client.acquire(asking(acquire("full", 1, HOUR)))).await.unwrap_err();
    assert_eq!(later.code(), Code::Unavailable);
}

#[tokio::test]
async fn when_the_server_stops_calls_and_sessions_end_with_unavailable_and_the_queue_is_empty() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut talk = Talk::begin(&mut client).await;
    let throttler = server.throttler.clone();
    soon(client.acquire(asking(acquire("full", 1, HOUR)))).await.unwrap();
    let unary = tokio::spawn(async move { client.acquire(asking(acquire("full", 1, HOUR))).await });
    talk.say(Message::Acquire(under(1, acquire("full", 1, HOUR)))).await;
    server.until_waiting(2).await;
    let node = server.stop_serving().await;
    let error = soon(unary).await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Unavailable, "the server is stopping"));
    let ended = talk.end().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable);
    crate::support::eventually("nobody waits", || async { throttler.report().await.waiters == 0 }).await;
    soon(node.shutdown()).await;
}
