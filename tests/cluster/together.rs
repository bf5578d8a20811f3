//! Formation and forwarding.

use std::time::Duration;

use crate::support::{connection, free_addresses, soon, start};

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_form_one_cluster_and_every_node_grants_for_every_connection() {
    let home = tempfile::tempdir().unwrap();
    let nodes = start(home.path(), &free_addresses(3)).await;
    let mut owners = Vec::new();
    for name in 0..30 {
        let connection = connection(&format!("connection {name}"), 3, Duration::from_secs(10));
        for node in &nodes {
            drop(soon(node.throttler().acquire(&connection)).await.unwrap());
        }
        // Nobody has a limit of their own.
        for node in &nodes {
            assert_eq!(soon(node.throttler().try_throttle(&connection, || async {})).await.unwrap(), None);
        }
        owners.push(nodes[0].admin().owner(connection.key()).unwrap().0);
    }
    for node in &nodes {
        // A follower applies what is committed a heartbeat later.
        let applied = async {
            while node.admin().status().await.tracked < 30 {
                tokio::task::yield_now().await;
            }
        };
        soon(applied).await;
        let status = node.admin().status().await;
        assert_eq!((status.voters.len(), status.members.len(), status.tracked), (3, 3, 30), "{status:?}");
        assert_eq!(status.cluster, nodes[0].admin().status().await.cluster);
        assert!(owners.contains(&node.id()), "{} owns nothing", node.id());
    }
    for node in nodes {
        soon(node.shutdown()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_given_back_on_one_node_is_granted_on_another() {
    let home = tempfile::tempdir().unwrap();
    let nodes = start(home.path(), &free_addresses(3)).await;
    for name in 0..6 {
        let hourly = connection(&format!("hourly {name}"), 1, Duration::from_secs(3600));
        for node in nodes.iter().chain(&nodes) {
            soon(node.throttler().acquire(&hourly)).await.unwrap().give_back();
        }
    }
    for node in nodes {
        soon(node.shutdown()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_on_all_nodes_whoever_asks_for_it() {
    let home = tempfile::tempdir().unwrap();
    let nodes = start(home.path(), &free_addresses(3)).await;
    for (name, node) in nodes.iter().enumerate() {
        let connection = connection(&format!("paused {name}"), 100, Duration::from_secs(1));
        soon(node.throttler().penalize(&connection, Duration::from_secs(60))).await.unwrap();
        for node in &nodes {
            assert_eq!(soon(node.throttler().try_throttle(&connection, || async {})).await.unwrap(), None);
        }
    }
    for node in nodes {
        soon(node.shutdown()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_the_queue_at_an_owner_on_another_node() {
    let home = tempfile::tempdir().unwrap();
    let nodes = start(home.path(), &free_addresses(3)).await;
    for name in 0..6 {
        let hourly = connection(&format!("left {name}"), 1, Duration::from_secs(3600));
        let held = soon(nodes[0].throttler().acquire(&hourly)).await.unwrap();
        for node in &nodes {
            let waits = tokio::time::timeout(Duration::from_millis(20), node.throttler().acquire(&hourly)).await;
            assert!(waits.is_err(), "there is no slot");
        }
        held.give_back();
        // Nobody is before this one any more.
        drop(soon(nodes[1].throttler().acquire(&hourly)).await.unwrap());
    }
    for node in nodes {
        soon(node.shutdown()).await;
    }
}
