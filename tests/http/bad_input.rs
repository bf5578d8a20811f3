//! Everything that can be wrong with a request: a 4xx that names the field, and never a 500.

use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Answer, SECOND, Server, ask, hourly, soon, with};

const JSON: &str = "Content-Type: application/json";

/// What is said of a field by an acquire that has it: the name, and a part of the rule.
fn broken() -> Vec<(Value, &'static str, &'static str)> {
    let limit = |count: Value, window: Value| json!({ "rateLimit": { "requestCount": count, "windowSeconds": window } });
    vec![
        (json!({ "platform": "" }), "platform", "platform is empty: it takes 1 to 256 bytes"),
        (json!({ "platform": "p".repeat(257) }), "platform", "platform has 257 bytes"),
        (json!({ "platform": 7 }), "platform", "invalid type: integer `7`, expected a string"),
        (json!({ "platform": null }), "platform", "invalid type: null"),
        (json!({ "connection": "" }), "connection", "connection is empty"),
        (json!({ "connection": "a\u{0}" }), "connection", "holds a NUL byte"),
        (json!({ "connection": ["acme"] }), "connection", "invalid type: sequence"),
        (json!({ "niceness": -1 }), "niceness", "expected a whole number from 0 to 4294967295"),
        (json!({ "niceness": 0.5 }), "niceness", "expected a whole number"),
        (json!({ "niceness": 4_294_967_296_u64 }), "niceness", "expected a whole number"),
        (json!({ "niceness": "0" }), "niceness", "expected a whole number"),
        (json!({ "cost": 0 }), "cost", "cost is 0: a request takes at least 1 unit"),
        (json!({ "cost": 10 }), "cost", "cost of 10 units and 0 tokens is over the limit of 9 per 3600s"),
        (json!({ "cost": null }), "cost", "null"),
        (json!({ "tokens": 1e300 }), "tokens", "expected a whole number"),
        (json!({ "inputTokens": true }), "inputTokens", "expected a whole number"),
        (json!({ "outputTokens": {} }), "outputTokens", "expected a whole number"),
        (json!({ "requestId": "" }), "requestId", "is \"\": it takes 32 hexadecimal digits, or a UUID"),
        (json!({ "requestId": "é".repeat(16) }), "requestId", "it takes 32 hexadecimal digits"),
        (json!({ "requestId": "+".repeat(32) }), "requestId", "it takes 32 hexadecimal digits"),
        (json!({ "timeoutSeconds": 0 }), "timeoutSeconds", "is 0: it takes more than 0, at most 30 days"),
        (json!({ "timeoutSeconds": -1 }), "timeoutSeconds", "is -1: it takes seconds from 0 to 2592000"),
        (json!({ "timeoutSeconds": 2_592_001 }), "timeoutSeconds", "is 2592001: it takes seconds from 0 to 2592000"),
        (json!({ "maxWaitSeconds": "1" }), "maxWaitSeconds", "invalid type: string"),
        (json!({ "rateLimit": null }), "rateLimit", "null"),
        (json!({ "rateLimits": [] }), "rateLimits", "is set beside rateLimit"),
        (limit(json!(0), json!(1)), "rateLimit.requestCount", "request count is 0"),
        (limit(json!(1.5), json!(1)), "rateLimit.requestCount", "expected a whole number"),
        (limit(json!(1), json!(0)), "rateLimit.windowSeconds", "window is 0ns: it takes 1ms to 7 days"),
        (limit(json!(1), json!(604_801)), "rateLimit.windowSeconds", "it takes 1ms to 7 days"),
        (limit(json!(1), json!(-1)), "rateLimit.windowSeconds", "is -1: it takes seconds"),
        (json!({ "rateLimit": { "requestCount": 1 } }), "rateLimit.windowSeconds", "missing field"),
        (
            json!({ "rateLimit": with(limit(json!(1), json!(1))["rateLimit"].clone(), &json!({ "algorithm": "magic" })) }),
            "rateLimit.algorithm",
            "magic",
        ),
        (
            json!({ "rateLimit": with(limit(json!(1), json!(1))["rateLimit"].clone(), &json!({ "dimension": "bytes" })) }),
            "rateLimit.dimension",
            "it takes units, tokens, input_tokens, output_tokens",
        ),
        (
            json!({ "rateLimit": with(limit(json!(1), json!(1))["rateLimit"].clone(), &json!({ "guardSeconds": 61 })) }),
            "rateLimit.guardSeconds",
            "guard is 61s: it takes 0s to 60s",
        ),
        (
            json!({ "rateLimit": with(limit(json!(1), json!(1))["rateLimit"].clone(), &json!({ "burst": 1 })) }),
            "rateLimit.burst",
            "unknown field",
        ),
        (json!({ "ratelimit": 1 }), "ratelimit", "unknown field"),
    ]
}

#[tokio::test]
async fn every_field_that_breaks_its_rule_is_named_with_its_value() {
    let server = Server::start().await;
    for (more, field, rule) in broken() {
        for path in ["/v1/acquire", "/v1/try"] {
            let refused = server.post(path, &with(hourly("roomy", 9), &more)).await;
            assert_eq!((refused.problem().0, refused.problem().2.as_str()), (400, field), "{more}: {refused:?}");
            assert!(refused.json()["rule"].as_str().unwrap().contains(rule), "{more}: {}", refused.body);
        }
    }
    for name in ["timeoutSeconds", "maxWaitSeconds"] {
        let refused = server.post("/v1/try", &with(hourly("roomy", 9), &json!({ name: 1 }))).await;
        assert_eq!((refused.problem().2.as_str(), refused.json()["rule"].as_str()), (name, Some("is 1: a try takes none")));
    }
    let without = json!({ "platform": "test", "connection": "x" });
    assert_eq!(server.post("/v1/acquire", &without).await.problem().2, "rateLimit");
    let nine = with(without, &json!({ "rateLimits": vec![json!({ "requestCount": 1, "windowSeconds": 1 }); 9] }));
    assert_eq!(server.post("/v1/acquire", &nine).await.problem().2, "rateLimits");
    server.post("/v1/acquire", &hourly("roomy", 9)).await.granted();
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_json_of_a_bounded_size_is_refused_for_that() {
    let server = Server::start().await;
    let ask =
        |headers: &'static [&'static str], body: Vec<u8>| ask(server.address, "POST", "/v1/acquire", headers, Vec::leak(body));
    let body = || hourly("roomy", 9).to_string().into_bytes();
    for (headers, body, status, field) in [
        ([JSON].as_slice(), Vec::new(), 400, "body"),
        (&[JSON], b"[]".to_vec(), 400, "body"),
        (&[JSON], b"{\"platform\":\"".to_vec(), 400, "platform"),
        (&[JSON], b"{\"platform\":\"\xff\xfe\"}".to_vec(), 400, "platform"),
        (&[JSON], "[".repeat(30_000).into_bytes(), 400, "body"),
        (&[JSON], format!("{{\"platform\":{}", "[".repeat(30_000)).into_bytes(), 400, "platform"),
        (&[JSON], [body(), b" {}".to_vec()].concat(), 400, "body"),
        (&[JSON], b"{\"platform\":\"a\",\"platform\":\"b\"}".to_vec(), 400, "platform"),
        (&[JSON], [body(), vec![b' '; 65_536]].concat(), 413, ""),
        (&[], body(), 415, "Content-Type"),
        (&["Content-Type: text/plain"], body(), 415, "Content-Type"),
        (&["Content-Type: application/x-www-form-urlencoded"], b"platform=test".to_vec(), 415, "Content-Type"),
    ] {
        let refused = ask(headers, body).await;
        assert_eq!((refused.problem().0, refused.problem().2.as_str()), (status, field), "{refused:?}");
    }
    let accepted = ask(&["Content-Type: application/json; charset=utf-8"], body()).await;
    accepted.granted();
    server.stop().await;
}

#[tokio::test]
async fn paths_methods_and_parameters_that_are_not_there_are_refused() {
    let server = Server::start().await;
    for (method, path, status, reason, field) in [
        ("GET", "/", 404, "UNKNOWN_PATH", ""),
        ("GET", "/v1/nothing", 404, "UNKNOWN_PATH", ""),
        ("POST", "/v2/acquire", 404, "UNKNOWN_PATH", ""),
        ("GET", "/v1/limits/test", 404, "UNKNOWN_PATH", ""),
        ("GET", "/v1/acquire", 405, "WRONG_METHOD", ""),
        ("DELETE", "/v1/cluster", 405, "WRONG_METHOD", ""),
        ("PATCH", "/v1/limits/test/x", 405, "WRONG_METHOD", ""),
        ("GET", "/v1/cluster?verbose=1", 400, "BAD_INPUT", "verbose"),
        ("GET", "/v1/connections?top=0", 400, "BAD_INPUT", "top"),
        ("GET", "/v1/connections?top=1001", 400, "BAD_INPUT", "top"),
        ("GET", "/v1/connections?top=1&top=2", 400, "BAD_INPUT", "top"),
        ("GET", "/v1/limits?pageSize=x", 400, "BAD_INPUT", "pageSize"),
        ("GET", "/v1/limits?pageToken=x", 400, "BAD_INPUT", "pageToken"),
        ("GET", "/v1/limits/test/%ff", 400, "BAD_INPUT", "connection"),
        ("GET", "/v1/limits/%00/x", 400, "BAD_INPUT", "platform"),
        ("GET", "/v1/explain", 400, "BAD_INPUT", "platform"),
        ("GET", "/v1/explain?platform=a&connection=%FE&requestId=1", 400, "BAD_INPUT", "connection"),
        ("GET", "/v1/explain?platform=a&connection=b&requestId=1", 400, "BAD_INPUT", "requestId"),
    ] {
        let refused = ask(server.address, method, path, &[], b"").await;
        assert_eq!(refused.problem(), (status, reason.to_owned(), field.to_owned()), "{method} {path}");
        if status == 405 {
            assert!(refused.header("allow").is_some_and(|allowed| !allowed.contains(method)), "{refused:?}");
        }
    }
    for (path, body, field) in [
        ("/v1/release", json!({}), "permit"),
        ("/v1/release", json!({ "permit": "" }), "permit"),
        ("/v1/release", json!({ "permit": "a".repeat(5000) }), "permit"),
        ("/v1/release", json!({ "permit": "=?", "key": 1 }), "key"),
        ("/v1/reconcile", json!({ "permit": "AAAA" }), "permit"),
        ("/v1/connections/a/b/penalize", json!({ "seconds": 0 }), "seconds"),
        ("/v1/connections/a/b/penalize", json!({ "seconds": 604_801 }), "seconds"),
    ] {
        let refused = server.post(path, &body).await;
        assert_eq!((refused.problem().0, refused.problem().2.as_str()), (400, field), "{path} {body}: {refused:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn half_a_body_leaves_nothing_behind_and_a_slow_one_is_told_so() {
    let server = Server::start().await;
    let head = format!("POST /v1/acquire HTTP/1.1\r\nHost: node\r\n{JSON}\r\nContent-Length: 1000\r\n\r\n{{\"platform\":");
    let mut broken_off = TcpStream::connect(server.address).await.unwrap();
    broken_off.write_all(head.as_bytes()).await.unwrap();
    drop(broken_off);
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    let mut answer = Vec::new();
    soon(slow.read_buf(&mut answer)).await.unwrap();
    let told_after = began.elapsed();
    drop(soon(slow.read_to_end(&mut answer)).await);
    assert!(told_after >= 9 * SECOND);
    let told = Answer::parse(&answer);
    assert_eq!(told.problem(), (408, "BAD_INPUT".to_owned(), "body".to_owned()));
    assert_eq!(server.throttler.report().await.waiters, 0);
    server.stop().await;
}
