//! Many at once: they come, wait and go, and disturb nobody.

use serde_json::json;
use tokio::net::TcpStream;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use turnstile::api::v1;
use turnstile::api::v1::session_request::Message;
use turnstile::api::v1::throttle_service_client::ThrottleServiceClient;

use crate::support::{Server, begin, finish, hourly, soon};

const JSON: &str = "Content-Type: application/json";

/// One that waits by HTTP, and is not disturbed.
async fn patient(server: &Server) -> TcpStream {
    let waits = begin(server.address, "POST", "/v1/acquire", &[JSON], hourly("full", 1).to_string().as_bytes()).await;
    server.until_waiting(1).await;
    waits
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_waiting_requests_that_disconnect_at_once_leave_the_queue() {
    let server = Server::start().await;
    let permit = server.post("/v1/acquire", &hourly("full", 1)).await.granted()["permit"].clone();
    let patient = patient(&server).await;
    let body = hourly("full", 1).to_string();
    let mut waiting = Vec::new();
    for _ in 0..500 {
        waiting.push(begin(server.address, "POST", "/v1/acquire", &[JSON], body.as_bytes()).await);
    }
    server.until_waiting(501).await;
    drop(waiting);
    server.until_waiting(1).await;
    assert_eq!(server.post("/v1/release", &json!({ "permit": permit })).await.status, 204);
    soon(finish(patient)).await.granted();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_waits_of_one_session_that_ends_leave_the_queue() {
    let server = Server::start().await;
    let permit = server.post("/v1/acquire", &hourly("full", 1)).await.granted()["permit"].clone();
    let patient = patient(&server).await;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let mut client = ThrottleServiceClient::new(soon(endpoint.connect()).await.unwrap());
    let (requests, outgoing) = tokio::sync::mpsc::channel(16);
    let answers = soon(client.session(ReceiverStream::new(outgoing))).await.unwrap();
    let none = Some(prost_types::Duration { seconds: 0, nanos: 0 });
    let limit = v1::RateLimit {
        request_count: 1,
        window: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
        delivery_bound: none,
        guard: none,
        ..v1::RateLimit::default()
    };
    for number in 0..500_u128 {
        let acquire = v1::Acquire {
            request_id: number.to_be_bytes().to_vec(),
            key: Some(v1::ConnectionKey { platform: "test".to_owned(), connection: "full".to_owned() }),
            limits: vec![limit],
            ..v1::Acquire::default()
        };
        let message = Some(Message::Acquire(acquire));
        soon(requests.send(v1::SessionRequest { stamp_nanos: None, message })).await.unwrap();
    }
    server.until_waiting(501).await;
    drop((requests, answers, client));
    server.until_waiting(1).await;
    assert_eq!(server.post("/v1/release", &json!({ "permit": permit })).await.status, 204);
    soon(finish(patient)).await.granted();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_connections_keep_nobody_out() {
    let server = Server::start().await;
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(soon(TcpStream::connect(server.address)).await.unwrap());
    }
    server.post("/v1/acquire", &hourly("roomy", 9)).await.granted();
    drop(idle);
    server.post("/v1/acquire", &hourly("roomy", 9)).await.granted();
    server.stop().await;
}
