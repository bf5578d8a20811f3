//! How nodes without a cluster become one, and never two.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use turnstile::{Node, NodeConfig, PeerSource};

use crate::name_server::{NameServer, at};
use crate::support::{config, connection, free_addresses, soon};

/// How often all nodes are started together in a test, unless the environment says otherwise.
const RUNS: u32 = 3;

/// The node at `addresses[index]`, which looks at these only, and founds with so many.
fn knowing(home: &Path, addresses: &[SocketAddr], index: usize, known: &[usize], expect: usize) -> NodeConfig {
    let mut config = config(home, addresses, index);
    if let Some(cluster) = &mut config.cluster {
        cluster.peers = known.iter().map(|known| PeerSource::Address(addresses[*known].to_string())).collect();
        cluster.expect = NonZeroUsize::new(expect).unwrap();
    }
    config
}

async fn clusters(nodes: &[Node]) -> BTreeSet<String> {
    let mut clusters = BTreeSet::new();
    for node in nodes {
        clusters.insert(node.admin().status().await.cluster);
    }
    clusters
}

async fn end(nodes: Vec<Node>) {
    for node in nodes.into_iter().map(|node| tokio::spawn(node.shutdown())).collect::<Vec<_>>() {
        node.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_within_a_moment_are_one_cluster_each_time() {
    let runs = std::env::var("TURNSTILE_TEST_RUNS").map_or(RUNS, |runs| runs.parse().expect("a number"));
    for run in 0..runs {
        let (home, addresses) = (tempfile::tempdir().unwrap(), free_addresses(5));
        let starts = (0..5).map(|index| {
            let config = knowing(home.path(), &addresses, index, &[0, 1, 2, 3, 4], 3);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(rand::random_range(0..100))).await;
                Node::start(config).await
            })
        });
        let mut nodes = Vec::new();
        for start in starts.collect::<Vec<_>>() {
            nodes.push(soon(start).await.unwrap().unwrap());
        }
        assert_eq!(clusters(&nodes).await.len(), 1, "run {run}");
        end(nodes).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_one_by_one_and_know_little_of_each_other_are_one_cluster() {
    let (home, addresses) = (tempfile::tempdir().unwrap(), free_addresses(4));
    // Each knows the one before it only.
    let mut starts = Vec::new();
    for index in 0..4usize {
        let config = knowing(home.path(), &addresses, index, &[index.saturating_sub(1)], 3);
        starts.push(tokio::spawn(Node::start(config)));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut nodes = Vec::new();
    for start in starts {
        nodes.push(soon(start).await.unwrap().unwrap());
    }
    assert_eq!(clusters(&nodes).await.len(), 1);
    end(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_halves_that_do_not_see_each_other_one_forms_and_grants() {
    let (home, addresses) = (tempfile::tempdir().unwrap(), free_addresses(5));
    let few: Vec<_> =
        (0..2).map(|index| tokio::spawn(Node::start(knowing(home.path(), &addresses, index, &[0, 1], 3)))).collect();
    let many = (2..5).map(|index| tokio::spawn(Node::start(knowing(home.path(), &addresses, index, &[2, 3, 4], 3))));
    let mut nodes = Vec::new();
    for start in many.collect::<Vec<_>>() {
        nodes.push(soon(start).await.unwrap().unwrap());
    }
    drop(soon(nodes[0].throttler().acquire(&connection("half", 1, Duration::from_secs(1)))).await.unwrap());
    assert!(few.iter().all(|start| !start.is_finished()), "two of five are no cluster");
    few.iter().for_each(tokio::task::JoinHandle::abort);
    end(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_know_nothing_but_a_name_find_each_other_however_late_it_has_them_and_so_does_one_that_comes_later() {
    let (home, server) = (tempfile::tempdir().unwrap(), NameServer::start());
    let port = free_addresses(1)[0].port();
    let hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"];
    let addresses: Vec<SocketAddr> = hosts.iter().map(|host| SocketAddr::new(host.parse().unwrap(), port)).collect();
    let named = |index: usize| {
        let mut config = config(home.path(), &addresses, index);
        if let Some(cluster) = &mut config.cluster {
            cluster.peers = vec![format!("dns:workers.example:{port}").parse().unwrap()];
            cluster.nameserver = Some(server.address());
            cluster.expect = NonZeroUsize::new(3).unwrap();
        }
        config
    };
    // At first the name does not exist, then it has two of them.
    let starts: Vec<_> = (0..3).map(|index| tokio::spawn(Node::start(named(index)))).collect();
    server.say("workers.example", at(&hosts[..2]));
    server.say("workers.example", at(&hosts[1..3]));
    let mut nodes = Vec::new();
    for start in starts {
        nodes.push(soon(start).await.unwrap().unwrap());
    }
    // The name has none of its own address, nor it any of those who are gone from it.
    server.say("workers.example", at(&hosts[..1]));
    nodes.push(soon(Node::start(named(3))).await.unwrap());
    assert_eq!(clusters(&nodes).await.len(), 1);
    drop(soon(nodes[3].throttler().acquire(&connection("named", 1, Duration::from_secs(1)))).await.unwrap());
    end(nodes).await;
}
