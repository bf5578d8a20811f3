//! Slots: waiting, trying, giving back, reconciling, explaining.

use serde_json::json;
use tokio::io::AsyncReadExt as _;

use crate::support::{SECOND, Server, ask, begin, finish, hourly, post, soon, with};

const JSON: &str = "Content-Type: application/json";

#[tokio::test]
async fn a_grant_says_everything_about_its_slot() {
    let server = Server::start().await;
    let original = json!({
        "platform": "slack", "connection": "acme", "niceness": 0,
        "rateLimit": { "requestCount": 3, "windowSeconds": 60 },
        "cost": 1, "requestId": "00000000-0000-0000-0000-0000000000ff", "timeoutSeconds": 30,
    });
    let granted = server.post("/v1/acquire", &original).await.granted();
    assert_eq!(granted["requestId"], format!("{:032x}", 255));
    assert!(granted["arrival"].as_u64() < granted["release"].as_u64());
    let within = granted["startWithinSeconds"].as_f64().unwrap();
    assert!(within > 0.0 && within <= 0.1, "{within}");
    assert!(granted["waitedSeconds"].as_f64().unwrap() < 20.0);
    assert!(granted["permit"].as_str().unwrap().len() > 20 && granted["tenure"].as_str().unwrap().len() == 16);

    let bare = server.post("/v1/acquire", &hourly("bare", 1)).await.granted();
    assert_eq!(bare["startWithinSeconds"], json!(null), "any jitter is accepted");
    server.stop().await;
}

#[tokio::test]
async fn not_now_is_a_429_that_says_when_to_come_back() {
    let server = Server::start().await;
    server.post("/v1/try", &hourly("full", 1)).await.granted();
    let refusals = [
        server.post("/v1/try", &hourly("full", 1)).await,
        server.post("/v1/acquire", &with(hourly("full", 1), &json!({ "maxWaitSeconds": 1.5 }))).await,
    ];
    for refused in refusals {
        assert_eq!(refused.problem(), (429, "NOT_NOW".to_owned(), String::new()));
        let body = refused.json();
        assert_eq!(body["granted"], false);
        let seconds = body["retryAfterSeconds"].as_f64().unwrap();
        assert!(seconds > 3500.0 && seconds <= 3600.0, "{seconds}");
        let whole: f64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!(whole >= seconds && whole < seconds + 1.0, "{whole} is the next whole second after {seconds}");
        assert_eq!(refused.header("ratelimit-policy"), Some("\"limit-1\";q=1;qu=\"requests\";w=3600"));
        assert_eq!(refused.header("ratelimit"), Some(format!("\"limit-1\";r=0;t={whole}").as_str()));
    }
    let late = server.post("/v1/acquire", &with(hourly("full", 1), &json!({ "timeoutSeconds": 0.05 }))).await;
    assert_eq!(late.problem(), (504, "DEADLINE_EXCEEDED".to_owned(), String::new()));
    server.stop().await;
}

#[tokio::test]
async fn the_urgent_come_first_and_a_slot_that_is_given_back_goes_to_the_next() {
    let server = Server::start().await;
    let mut permit = server.post("/v1/acquire", &hourly("full", 1)).await.granted()["permit"].clone();
    let mut waiting = tokio::task::JoinSet::new();
    for (count, niceness) in [(1, 5), (2, 5), (3, 0)] {
        let (address, body) = (server.address, with(hourly("full", 1), &json!({ "niceness": niceness })));
        waiting.spawn(async move { (count, post(address, "/v1/acquire", &body).await.granted()) });
        server.until_waiting(count).await;
    }
    let mut order = Vec::new();
    while !waiting.is_empty() {
        for _ in 0..2 {
            // Said twice, it comes back once.
            assert_eq!(server.post("/v1/release", &json!({ "permit": permit })).await.status, 204);
        }
        let (number, granted) = soon(waiting.join_next()).await.unwrap().unwrap();
        (permit, order) = (granted["permit"].clone(), [order, vec![number]].concat());
    }
    assert_eq!(order, [3, 1, 2]);
    server.stop().await;
}

#[tokio::test]
async fn tokens_are_estimated_and_reconciled() {
    let server = Server::start().await;
    let limit = json!({ "requestCount": 100, "windowSeconds": 3600, "dimension": "tokens" });
    let model = |tokens: u32| json!({ "platform": "test", "connection": "model", "rateLimits": [limit], "tokens": tokens });
    let permit = server.post("/v1/acquire", &model(80)).await.granted()["permit"].clone();
    assert_eq!(server.post("/v1/try", &model(21)).await.status, 429);
    let reconciled = server.post("/v1/reconcile", &json!({ "permit": permit, "tokens": 30 })).await;
    assert_eq!(reconciled.status, 200);
    let none = json!({ "tokens": 0, "inputTokens": 0, "outputTokens": 0 });
    assert_eq!(reconciled.json(), json!({ "refunded": { "tokens": 50, "inputTokens": 0, "outputTokens": 0 }, "owed": none }));
    server.post("/v1/try", &model(70)).await.granted();
    let used = server.post("/v1/release", &json!({ "permit": permit })).await;
    assert_eq!(used.problem(), (404, "NOT_OPEN".to_owned(), String::new()));
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_waits_is_explained() {
    let server = Server::start().await;
    server.post("/v1/acquire", &hourly("full", 1)).await.granted();
    let id = "a".repeat(32);
    let body = with(hourly("full", 1), &json!({ "requestId": id })).to_string();
    let waits = begin(server.address, "POST", "/v1/acquire", &[JSON], body.as_bytes()).await;
    server.until_waiting(1).await;
    let path = format!("/v1/explain?platform=test&connection=full&requestId={id}");
    let explained = server.get(&path).await.json();
    assert_eq!((&explained["position"], &explained["ahead"]), (&json!(1), &json!([])));
    assert!(explained["estimatedWaitSeconds"].as_f64().unwrap() > 3500.0);
    drop(waits);
    server.until_waiting(0).await;
    assert_eq!(server.get(&path).await.problem(), (404, "NOT_WAITING".to_owned(), String::new()));
    server.stop().await;
}

#[tokio::test]
async fn a_stream_of_events_begins_at_once_and_ends_with_the_slot() {
    let server = Server::start().await;
    let permit = server.post("/v1/acquire", &hourly("full", 1)).await.granted()["permit"].clone();
    let body = hourly("full", 1).to_string();
    let mut events = begin(server.address, "POST", "/v1/acquire", &[JSON, "Accept: text/event-stream"], body.as_bytes()).await;
    server.until_waiting(1).await;
    // The head comes before the slot: who is between knows that something goes on.
    let mut head = [0; 15];
    soon(events.read_exact(&mut head)).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    server.post("/v1/release", &json!({ "permit": permit })).await;
    let mut rest = Vec::new();
    soon(events.read_to_end(&mut rest)).await.unwrap();
    let rest = String::from_utf8(rest).unwrap();
    assert!(
        rest.contains("content-type: text/event-stream") && rest.contains("event: granted\ndata: {\"granted\":true"),
        "{rest}"
    );

    let late = with(hourly("full", 1), &json!({ "timeoutSeconds": 0.05 })).to_string();
    let refused = ask(server.address, "POST", "/v1/acquire", &[JSON, "Accept: text/event-stream"], late.as_bytes()).await;
    assert_eq!(refused.status, 200);
    assert!(refused.body.contains("event: problem") && refused.body.contains("\"reason\":\"DEADLINE_EXCEEDED\""), "{refused:?}");
    server.stop().await;
}

#[tokio::test]
async fn who_waits_when_the_server_stops_is_told_so() {
    let server = Server::start().await;
    server.post("/v1/acquire", &hourly("full", 1)).await.granted();
    let waits = begin(server.address, "POST", "/v1/acquire", &[JSON], hourly("full", 1).to_string().as_bytes()).await;
    server.until_waiting(1).await;
    let (told, ()) = tokio::join!(finish(waits), server.stop());
    assert_eq!(told.problem(), (503, "SERVER_STOPPING".to_owned(), String::new()));
    assert_eq!(told.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn one_connection_carries_one_request_after_the_other() {
    use tokio::io::AsyncWriteExt as _;
    let server = Server::start().await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let body = hourly("roomy", 9).to_string();
    for _ in 0..3 {
        let head = format!("POST /v1/try HTTP/1.1\r\nHost: node\r\n{JSON}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            assert!(soon(tokio::time::timeout(20 * SECOND, stream.read_buf(&mut answer))).await.unwrap().unwrap() > 0);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
    }
    server.stop().await;
}
