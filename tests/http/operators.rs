//! What operators see and do.

use serde_json::{Value, json};

use crate::support::{Answer, Server, ask, begin, hourly, with};

const JSON: &str = "Content-Type: application/json";

impl Server {
    async fn put(&self, path: &str, body: &Value) -> Answer {
        ask(self.address, "PUT", path, &[JSON], body.to_string().as_bytes()).await
    }

    async fn delete(&self, path: &str) -> Answer {
        ask(self.address, "DELETE", path, &[], b"").await
    }
}

fn limit(count: u32) -> Value {
    json!({ "requestCount": count, "windowSeconds": 3600.0 })
}

#[tokio::test]
async fn limits_are_set_read_listed_and_deleted_and_rule_over_callers() {
    let server = Server::start().await;
    assert_eq!(server.get("/v1/limits/test/a%2Fb").await.problem().1, "NO_LIMITS");
    assert_eq!(server.put("/v1/limits/test/*", &json!({ "rateLimit": limit(1) })).await.json(), json!({ "hasReplaced": false }));
    let both = json!({ "rateLimits": [limit(2), { "requestCount": 9, "windowSeconds": 60, "algorithm": "token_bucket" }] });
    assert_eq!(server.put("/v1/limits/test/a%2Fb", &both).await.json(), json!({ "hasReplaced": false }));
    assert_eq!(server.put("/v1/limits/test/a%2Fb", &both).await.json(), json!({ "hasReplaced": true }));

    let narrow = server.get("/v1/limits/test/a%2Fb").await.json();
    assert_eq!((&narrow["connection"], narrow["rateLimits"].as_array().unwrap().len()), (&json!("a/b"), 2));
    let wide = json!({ "platform": "test", "connection": "*", "rateLimits": [limit(1)] });
    assert_eq!(server.get("/v1/limits/test/other").await.json(), wide);
    assert_eq!(server.get("/v1/limits").await.json()["limits"], json!([wide, narrow]));
    let page = server.get("/v1/limits?platform=test&pageSize=1").await.json();
    let token = page["nextPageToken"].as_str().unwrap().replace('%', "%25");
    let next = server.get(&format!("/v1/limits?pageSize=1&pageToken={token}")).await.json();
    assert_eq!((&page["limits"], &next["limits"]), (&json!([wide]), &json!([narrow])));

    server.post("/v1/try", &hourly("other", 9)).await.granted();
    assert_eq!(server.post("/v1/try", &hourly("other", 9)).await.status, 429, "one an hour, whatever its caller says");
    assert_eq!(server.delete("/v1/limits/test/*").await.status, 204);
    assert_eq!(server.delete("/v1/limits/test/*").await.problem(), (404, "NO_LIMITS".to_owned(), String::new()));
    server.stop().await;
}

#[tokio::test]
async fn a_connection_is_seen_paused_penalized_and_resumed() {
    let server = Server::start().await;
    let path = |what: &str| format!("/v1/connections/test/busy{what}");
    assert_eq!(server.post(&path("/pause"), &json!({})).await.status, 204);
    assert_eq!(server.get(&path("")).await.json()["isPaused"], true, "also before anybody uses it");
    let waits = begin(server.address, "POST", "/v1/acquire", &[JSON], hourly("busy", 1).to_string().as_bytes()).await;
    server.until_waiting(1).await;
    let seen = server.get(&path("")).await.json();
    assert_eq!((&seen["isPaused"], &seen["pausedForSeconds"]), (&json!(true), &json!(null)));
    assert_eq!(seen["waiting"], json!([{ "niceness": 0, "count": 1 }]));
    assert_eq!(server.post(&path("/resume"), &json!({})).await.status, 204);
    crate::support::finish(waits).await.granted();

    assert_eq!(server.post(&path("/penalize"), &json!({ "seconds": 100 })).await.status, 204);
    let refused = server.post("/v1/try", &hourly("another", 1)).await;
    refused.granted();
    let seen = server.get("/v1/connections?top=1").await.json();
    let busy = &seen["connections"][0];
    assert_eq!(
        (&busy["connection"], &seen["missing"]),
        (&json!("another"), &json!([])),
        "both are full, and it comes first by name"
    );
    let seen = server.get(&path("")).await.json();
    assert!(seen["pausedForSeconds"].as_f64().unwrap() > 50.0, "{seen}");
    assert_eq!(seen["limits"][0]["used"], 1);
    server.stop().await;
}

#[tokio::test]
async fn a_single_node_says_how_it_is_and_describes_itself() {
    let server = Server::start().await;
    let cluster = server.get("/v1/cluster").await.json();
    assert_eq!((&cluster["node"], &cluster["role"]), (&cluster["leader"], &json!("voter")));
    assert_eq!(cluster["members"], json!([cluster["node"]]));
    let described = server.get("/openapi.json").await;
    assert_eq!((described.header("content-type"), &described.json()["openapi"]), (Some("application/json"), &json!("3.1.0")));
    let waits = with(hourly("x", 1), &json!({ "timeoutSeconds": 1 }));
    server.post("/v1/acquire", &waits).await.granted();
    server.stop().await;
}
