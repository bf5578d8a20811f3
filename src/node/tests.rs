//! Nodes that stop by themselves.

use tokio::task::JoinHandle;

use super::*;
use crate::clock;
use crate::{AcquireError, Connection, RateLimit};

async fn soon<F: Future>(future: F) -> F::Output {
    clock::timeout(Duration::from_secs(20), future).await.unwrap()
}

/// A node, and a call that waits an hour there.
async fn waiting_node() -> (Node, JoinHandle<Result<(), AcquireError>>) {
    let node = Node::start(NodeConfig::in_memory()).await.unwrap();
    let connection = Connection::new("test", "full", RateLimit::new(1, Duration::from_secs(3600)).unwrap()).unwrap();
    drop(node.throttler().acquire(&connection).await.unwrap());
    let throttler = node.throttler();
    let call = tokio::spawn(async move { throttler.acquire(&connection).await.map(drop) });
    while node.throttler().report().await.waiters == 0 {
        tokio::task::yield_now().await;
    }
    (node, call)
}

#[tokio::test]
async fn consensus_that_ends_while_nobody_proposes_stops_the_node_and_tells_those_who_wait() {
    let (node, call) = waiting_node().await;
    node.consensus.shutdown().await;
    let reason = soon(node.stopped()).await;
    assert!(reason.contains("raft stopped"), "{reason}");
    assert_eq!(soon(call).await.unwrap(), Err(AcquireError::Stopped { reason: reason.clone() }));
    let connection = Connection::new("test", "other", RateLimit::new(1, Duration::from_secs(1)).unwrap()).unwrap();
    let paused = soon(node.throttler().penalize(&connection, Duration::from_secs(1))).await;
    assert_eq!(paused, Err(AcquireError::Stopped { reason }));
    node.shutdown().await;
}

#[tokio::test]
async fn owners_that_end_stop_the_node_and_tell_those_who_wait() {
    let (node, call) = waiting_node().await;
    let shard = node.owners.as_ref().unwrap().handle().shard(crate::engine::grant::ShardId { node: node.id, index: 0 });
    shard.unwrap().try_get_supervisor().unwrap().kill();
    assert_eq!(soon(node.stopped()).await, "its owners have ended");
    assert_eq!(soon(call).await.unwrap(), Err(AcquireError::Stopped { reason: "its owners have ended".to_owned() }));
    node.shutdown().await;
}

#[tokio::test]
async fn a_shard_that_crashes_again_and_again_stops_the_node_and_tells_those_who_wait() {
    let (node, call) = waiting_node().await;
    let owners = node.owners.as_ref().unwrap().handle();
    let id = crate::engine::grant::ShardId { node: node.id, index: 0 };
    let mut crashes = 0;
    let crashing = async {
        while let Some(shard) = owners.shard(id) {
            shard.kill();
            crashes += 1;
            if owners.clone().successor(id, &shard).await.is_none() {
                break;
            }
        }
    };
    soon(crashing).await;
    assert!(crashes > 100, "{crashes}: one that crashes now and then is respawned");
    assert_eq!(soon(node.stopped()).await, "its owners have ended");
    assert_eq!(soon(call).await.unwrap(), Err(AcquireError::Stopped { reason: "its owners have ended".to_owned() }));
    node.shutdown().await;
}
