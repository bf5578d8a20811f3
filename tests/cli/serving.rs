//! A node as a process, and a client in another language's place: the generated one, over the network.

use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;
use tonic::Code;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use turnstile::api::v1;
use turnstile::api::v1::session_request::Message;
use turnstile::api::v1::session_response::Message as Said;
use turnstile::api::v1::throttle_service_client::ThrottleServiceClient;

use crate::support::{Running, turnstile};

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("an answer within 20 s")
}

/// A request for one of two slots an hour.
fn acquire(number: u128) -> v1::Acquire {
    let key = v1::ConnectionKey { platform: "test".to_owned(), connection: "served".to_owned() };
    let window = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
    let limit = v1::RateLimit { request_count: 2, window, ..v1::RateLimit::default() };
    v1::Acquire { request_id: number.to_be_bytes().to_vec(), key: Some(key), limits: vec![limit], ..v1::Acquire::default() }
}

#[tokio::test]
async fn a_node_serves_calls_and_sessions_until_it_is_asked_to_end() {
    let mut node = Running::start(&mut turnstile(&["node", "--memory", "--listen", "127.0.0.1:0"]));
    let endpoint = Endpoint::from_shared(format!("http://{}", node.address)).unwrap();
    let mut client = ThrottleServiceClient::new(soon(endpoint.connect()).await.unwrap());
    let unary = soon(client.acquire(v1::AcquireRequest { acquire: Some(acquire(1)) })).await.unwrap().into_inner();
    assert_eq!(unary.outcome(), v1::Outcome::Granted);
    let first = unary.grant.unwrap();

    let (requests, outgoing) = mpsc::channel(2);
    let mut answers = soon(client.session(ReceiverStream::new(outgoing))).await.unwrap().into_inner();
    for number in [2, 3] {
        requests.send(v1::SessionRequest { stamp_nanos: None, message: Some(Message::Acquire(acquire(number))) }).await.unwrap();
    }
    let answer = soon(answers.message()).await.unwrap().unwrap();
    let Some(Said::Granted(granted)) = answer.message else { panic!("a grant: {answer:?}") };
    let second = granted.grant.unwrap();
    assert_eq!(second.request_id, 2_u128.to_be_bytes());
    assert!(second.release > first.release, "{first:?} {second:?}");

    // One holds a slot and one waits in the session: neither keeps the node from ending, and the client is told.
    node.signal("TERM");
    assert_eq!(soon(answers.message()).await.unwrap_err().code(), Code::Unavailable);
    let said = node.wait();
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""), "{}", said.stderr);
    assert!(!said.stderr.contains("are cut"), "{}", said.stderr);
}
