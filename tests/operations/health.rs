//! `/livez`, `/startz` and `/readyz`: while a node starts, serves, loses its quorum, and stops.

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::Code;
use turnstile::api::v1::admin_service_client::AdminServiceClient;
use turnstile::api::{self, Served, v1};
use turnstile::{Node, NodeConfig};

use crate::client::{HOUR, SECOND, acquire, ask, channel, client, eventually, get, reason, soon, trying};
use crate::process::{Cluster, is_up};

#[tokio::test]
async fn a_node_that_waits_for_its_cluster_lives_has_not_started_and_says_so_to_every_protocol() {
    let mut cluster = Cluster::of(3);
    let first = cluster.addresses[0];
    cluster.start(0);
    eventually("the node listens", || is_up(first)).await;
    let lives = get(first, "/livez").await;
    assert_eq!((lives.status, lives.json()), (200, json!({ "status": "ok" })));
    for path in ["/startz", "/readyz", "/metrics", "/anything"] {
        let answer = get(first, path).await;
        assert_eq!(reason(&answer, 503), "STARTING");
        assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
    }
    let mut waits = client(first).await;
    let told = soon(waits.try_acquire(trying(acquire("early", 1, HOUR)))).await.unwrap_err();
    assert_eq!((told.code(), told.message()), (Code::Unavailable, "the node is starting"));

    cluster.start(1);
    cluster.start(2);
    cluster.until_all_are_in().await;
    assert_eq!(get(first, "/startz").await.json(), json!({ "status": "ok" }));
    // The same client, whose connection was made while the node was starting.
    let mut granted = None;
    while granted.is_none() {
        granted = soon(waits.try_acquire(trying(acquire("early", 1, HOUR)))).await.ok();
    }
    assert_eq!(granted.unwrap().into_inner().outcome(), v1::Outcome::Granted);
}

#[tokio::test]
async fn a_node_without_a_quorum_lives_and_is_not_ready_until_one_is_back() {
    let mut cluster = Cluster::started(3).await;
    let first = cluster.addresses[0];
    let head = ask(first, "HEAD", "/readyz").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    // One may go: nobody but it is less ready for it.
    cluster.kill(1);
    for _ in 0..200 {
        assert_eq!(get(first, "/readyz").await.status, 200, "after the death of one of three");
    }

    cluster.kill(2);
    eventually("it is not ready", || async { get(first, "/readyz").await.status == 503 }).await;
    assert_eq!(reason(&get(first, "/readyz").await, 503), "NO_QUORUM");
    assert_eq!(ask(first, "HEAD", "/readyz").await.status, 503);
    for path in ["/livez", "/startz", "/metrics"] {
        assert_eq!(get(first, path).await.status, 200, "{path}");
    }

    // It can't go either, and says so while it tries.
    let mut admin = AdminServiceClient::new(channel(first).await);
    let within = Some((20 * SECOND).try_into().unwrap());
    let drained = tokio::spawn(async move { admin.drain(v1::DrainRequest { within }).await });
    eventually("it is being drained", || async { reason(&get(first, "/readyz").await, 503) == "DRAINING" }).await;
    assert_eq!(soon(drained).await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert_eq!(reason(&get(first, "/readyz").await, 503), "NO_QUORUM");

    cluster.start(1);
    eventually("it is ready again", || async { get(first, "/readyz").await.status == 200 }).await;
}

#[tokio::test]
async fn a_program_that_embeds_a_node_serves_health_and_no_metrics_that_are_not_its_own() {
    let node = Node::start(NodeConfig::in_memory()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = Served::new(node.throttler(), node.admin());
    let serving = tokio::spawn(api::serve(served, listener, async { drop(stopped.await) }));
    for path in ["/livez", "/startz", "/readyz"] {
        assert_eq!(get(address, path).await.json(), json!({ "status": "ok" }), "{path}");
    }
    assert_eq!(reason(&get(address, "/metrics").await, 404), "NO_METRICS");
    assert_eq!(ask(address, "POST", "/readyz").await.status, 405);
    assert_eq!(node.admin().ready(), Ok(()));

    soon(node.shutdown()).await;
    assert_eq!(reason(&get(address, "/readyz").await, 503), "NODE_STOPPED");
    assert_eq!(get(address, "/livez").await.status, 200);
    drop(stop);
    soon(serving).await.unwrap();
}
