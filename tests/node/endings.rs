//! How a node ends: what it leaves running, and when its directory is free.

use std::time::Duration;

use tokio::runtime::Handle;
use turnstile::{AcquireError, Node, NodeConfig};

use crate::support::{connection, eventually, soon};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_dropped_tells_those_who_wait_ends_all_it_runs_and_frees_its_directory() {
    let parent = tempfile::tempdir().unwrap();
    let config = NodeConfig::on_disk(parent.path().join("data"));
    let before = tasks();
    let node = Node::start(config.clone()).await.unwrap();
    let (throttler, hourly) = (node.throttler(), connection("hourly", 1, HOUR));
    drop(throttler.acquire(&hourly).await.unwrap());
    let (worker, own) = (throttler.clone(), hourly.clone());
    let waiting = tokio::spawn(async move { worker.acquire(&own).await.map(drop) });
    eventually("it waits", SECOND, || async { throttler.report().await.waiters == 1 }).await;
    drop(node);
    let told = soon(waiting).await.unwrap();
    assert_eq!(told, Err(AcquireError::Stopped { reason: "its node was dropped".to_owned() }));
    eventually("nothing runs", 10 * SECOND, || async { tasks() == before }).await;
    let again = Node::start(config).await.unwrap();
    assert!(again.throttler().request(&hourly).try_acquire().await.unwrap().is_none(), "it remembers the hour");
    again.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_a_node_has_shut_down_its_directory_is_free_at_once() {
    let parent = tempfile::tempdir().unwrap();
    let config = NodeConfig::on_disk(parent.path().join("data"));
    let before = tasks();
    for round in 0..40 {
        let node = Node::start(config.clone()).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        let (throttler, busy) = (node.throttler(), connection("busy", 1000, HOUR));
        for _ in 0..3 {
            drop(throttler.acquire(&busy).await.unwrap());
        }
        node.shutdown().await;
    }
    eventually("nothing runs", 10 * SECOND, || async { tasks() == before }).await;
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_nothing_behind() {
    let parent = tempfile::tempdir().unwrap();
    let config = NodeConfig::on_disk(parent.path().join("data"));
    let before = tasks();
    for millis in [0, 1, 2, 5, 10, 20, 50, 100, 200] {
        let given_up = tokio::time::timeout(Duration::from_millis(millis), Node::start(config.clone())).await;
        drop(given_up);
        eventually("nothing runs", 10 * SECOND, || async { tasks() == before }).await;
        eventually("nothing writes", 10 * SECOND, || async { Node::start(config.clone()).await.is_ok() }).await;
    }
    eventually("nothing runs", 10 * SECOND, || async { tasks() == before }).await;
}

#[tokio::test]
async fn a_node_stops_though_its_throttlers_live_on() {
    let parent = tempfile::tempdir().unwrap();
    let node = Node::start(NodeConfig::on_disk(parent.path().join("data"))).await.unwrap();
    let throttler = node.throttler();
    node.shutdown().await;
    assert_eq!(tasks(), 0);
    let report = soon(throttler.report()).await;
    assert_eq!((report.connections, report.waiters), (0, 0));
}
