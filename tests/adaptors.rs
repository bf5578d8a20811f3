//! What other libraries send, throttled.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests stop where they find what they did not expect"
)]

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use reqwest_middleware::{ClientBuilder, Error};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use turnstile::adaptors::{ThrottleLayer, ThrottleMiddleware, ThrottledError};
use turnstile::{AcquireError, Connection, Node, NodeConfig, RateLimit};

const WINDOW: Duration = Duration::from_millis(300);

fn connection(name: &str, count: u32, window: Duration) -> Connection {
    Connection::new("test", name, RateLimit::new(count, window).unwrap()).unwrap()
}

#[tokio::test]
async fn requests_of_a_service_take_their_turns_and_those_of_no_connection_go_at_once() {
    let node = Node::start(NodeConfig::in_memory()).await.unwrap();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&starts);
    let inner = service_fn(move |request: u32| {
        seen.lock().unwrap().push((request, Instant::now()));
        async move { Ok::<_, Infallible>(request * 2) }
    });
    let limited = connection("tower", 1, WINDOW);
    let layer = ThrottleLayer::new(node.throttler(), move |request: &u32| (*request < 100).then(|| limited.clone()));
    let service = ServiceBuilder::new().layer(layer).service(inner);
    let requests = [1, 2, 3, 100, 101].map(|request| tokio::spawn(service.clone().oneshot(request)));
    for (request, answer) in [1, 2, 3, 100, 101].into_iter().zip(requests) {
        assert_eq!(answer.await.unwrap().unwrap(), request * 2);
    }
    let starts = starts.lock().unwrap().clone();
    let at: Vec<Instant> = starts.iter().filter(|(request, _)| *request < 100).map(|(_, at)| *at).collect();
    assert_eq!((starts.len(), at.len()), (5, 3));
    assert!(at.windows(2).all(|two| two[1] - two[0] >= WINDOW), "{at:?}");
    assert!(starts.iter().position(|(request, _)| *request == 101).unwrap() < 4, "it waits for nobody");
    node.shutdown().await;
    let refused = service.oneshot(1).await;
    assert!(matches!(refused, Err(ThrottledError::NotGranted(AcquireError::Stopped { .. }))), "{refused:?}");
}

#[tokio::test]
async fn requests_of_an_http_client_take_their_turns_and_are_not_made_without_one() {
    let node = Node::start(NodeConfig::in_memory()).await.unwrap();
    let hits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&hits);
    let app = Router::new().route("/", get(move || async move { counted.fetch_add(1, Ordering::Relaxed).to_string() }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let limited = connection("reqwest", 1, WINDOW);
    let middleware = ThrottleMiddleware::new(node.throttler(), move |_: &reqwest::Request| Some(limited.clone()));
    let client = ClientBuilder::new(reqwest::Client::new()).with(middleware).build();
    let began = Instant::now();
    for number in 0..3 {
        assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), number.to_string());
    }
    assert!(began.elapsed() >= 2 * WINDOW, "{:?}", began.elapsed());
    node.shutdown().await;
    let refused = client.get(&url).send().await.unwrap_err();
    assert!(matches!(&refused, Error::Middleware(cause) if cause.to_string().contains("stopped")), "{refused}");
    assert_eq!(hits.load(Ordering::Relaxed), 3, "what got no slot was not made");
    server.abort();
}
