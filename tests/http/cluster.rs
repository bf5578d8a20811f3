//! Three nodes: any of them answers for all, and the death of one is a pause.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};

use crate::nodes::{Process, cluster};
use crate::support::{ask, begin, eventually, finish, hourly, post, with};

const JSON: &str = "Content-Type: application/json";

async fn get(address: SocketAddr, path: &str) -> Value {
    ask(address, "GET", path, &[], b"").await.json()
}

/// The id of the node that owns this connection.
async fn owner(at: &Process, connection: &str) -> String {
    get(at.address, &format!("/v1/connections/test/{connection}")).await["owner"].as_str().unwrap_or_default().to_owned()
}

/// The names of connections that this node owns, and that it doesn't.
async fn owned_and_not(nodes: &[Process], by: &Process) -> [String; 2] {
    let mut names = [None, None];
    for number in 0..1000 {
        let name = format!("connection{number}");
        let place = usize::from(owner(&nodes[0], &name).await != by.node);
        names[place].get_or_insert(name);
        if let [Some(owned), Some(other)] = &names {
            return [owned.clone(), other.clone()];
        }
    }
    panic!("one node owns all or nothing")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_said_again_to_another_node_after_a_kill_is_answered_once() {
    let home = tempfile::tempdir().unwrap();
    let mut nodes = cluster(home.path(), 3);
    let victim = nodes.pop().unwrap();
    let connections = owned_and_not(&nodes, &victim).await;
    let (mut permits, mut lost, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
    for (number, connection) in connections.iter().enumerate() {
        permits.push(post(nodes[0].address, "/v1/acquire", &hourly(connection, 1)).await.granted()["permit"].clone());
        let body = with(hourly(connection, 1), &json!({ "requestId": format!("{number:032x}") }));
        lost.push(begin(victim.address, "POST", "/v1/acquire", &[JSON], body.to_string().as_bytes()).await);
        bodies.push(body);
    }
    let waiting = async |count: usize| {
        let mut waiting = 0;
        for connection in &connections {
            let seen = get(nodes[0].address, &format!("/v1/connections/test/{connection}")).await;
            waiting += seen["waiting"].as_array().map_or(0, Vec::len);
        }
        waiting == count
    };
    eventually("both wait", || waiting(2)).await;
    drop(victim);
    let mut again = Vec::new();
    for body in &bodies {
        again.push(begin(nodes[1].address, "POST", "/v1/acquire", &[JSON], body.to_string().as_bytes()).await);
    }
    eventually("both wait again, once each", || waiting(2)).await;
    for permit in permits {
        // At a node that has granted nothing, also for the owner that is gone.
        assert_eq!(post(nodes[1].address, "/v1/release", &json!({ "permit": permit })).await.status, 204);
    }
    for (stream, body) in again.into_iter().zip(&bodies) {
        assert_eq!(finish(stream).await.granted()["requestId"], body["requestId"]);
        let connection = body["connection"].as_str().unwrap();
        let seen = get(nodes[0].address, &format!("/v1/connections/test/{connection}")).await;
        assert_eq!((&seen["limits"][0]["used"], &seen["waiting"]), (&json!(1), &json!([])), "charged once: {seen}");
        // The same once more is told so.
        assert_eq!(post(nodes[0].address, "/v1/acquire", body).await.problem().1, "ALREADY_GRANTED");
    }
    drop(lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_knows_the_limits_that_were_set_at_one_and_they_outlive_it() {
    let home = tempfile::tempdir().unwrap();
    let mut nodes = cluster(home.path(), 3);
    let leader = get(nodes[0].address, "/v1/cluster").await["leader"].clone();
    let place = nodes.iter().position(|node| leader == node.node.as_str()).unwrap();
    let leading = nodes.remove(place);
    let limit = json!({ "rateLimit": { "requestCount": 2, "windowSeconds": 3600 } });
    let set = ask(leading.address, "PUT", "/v1/limits/test/*", &[JSON], limit.to_string().as_bytes()).await;
    assert_eq!(set.status, 200);
    for node in &nodes {
        eventually("it knows the limits", async || {
            get(node.address, "/v1/limits/test/any").await["rateLimits"][0]["requestCount"] == 2
        })
        .await;
    }
    drop(leading);
    let mut granted = 0;
    for node in nodes.iter().cycle().take(6) {
        let answer = post(node.address, "/v1/acquire", &with(hourly("ruled", 9), &json!({ "maxWaitSeconds": 5 }))).await;
        granted += u32::from(answer.status == 200);
    }
    assert_eq!(granted, 2, "whatever callers say, and whoever leads");
    let paused = ask(nodes[0].address, "POST", "/v1/connections/test/paused/pause", &[], b"").await;
    assert_eq!(paused.status, 204);
    assert_eq!(post(nodes[1].address, "/v1/try", &hourly("paused", 9)).await.status, 429);
    // Nothing here may have waited for its connections to go to others.
    eventually("who is gone owns nothing any more", async || {
        get(nodes[0].address, "/v1/connections").await["missing"] == json!([])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_what_operators_say_is_refused_in_time_and_what_is_known_is_told() {
    let home = tempfile::tempdir().unwrap();
    let mut nodes = cluster(home.path(), 3);
    nodes.truncate(1);
    let limit = json!({ "rateLimit": { "requestCount": 2, "windowSeconds": 3600 } }).to_string();
    let refused = ask(nodes[0].address, "PUT", "/v1/limits/test/*", &[JSON], limit.as_bytes()).await;
    assert_eq!(refused.problem().1, "NO_QUORUM");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    let cluster = get(nodes[0].address, "/v1/cluster").await;
    assert_eq!(cluster["peers"].as_array().map(Vec::len), Some(2));
    let tried = post(nodes[0].address, "/v1/try", &hourly("any", 9)).await;
    assert_eq!(tried.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_is_all_that_a_shell_needs() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("SKIPPED: there is no curl");
        return;
    }
    let node = Process::alone();
    let body = hourly("curled", 1).to_string();
    let url = format!("http://{}/v1/try", node.address);
    let curl = |more: &[&str]| {
        let said = Command::new("curl").args(["-s", "-m", "20", "--json", &body]).args(more).arg(&url).output().unwrap();
        (said.status.code().unwrap(), String::from_utf8(said.stdout).unwrap())
    };
    let (code, granted) = curl(&["--fail-with-body"]);
    assert_eq!((code, serde_json::from_str::<Value>(&granted).unwrap()["granted"].clone()), (0, json!(true)));
    let (code, refused) = curl(&["--fail-with-body"]);
    assert_eq!((code, serde_json::from_str::<Value>(&refused).unwrap()["reason"].clone()), (22, json!("NOT_NOW")));
    let (_, by_http2) = curl(&["--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"]);
    assert_eq!(by_http2, "2 429");
}
