//! Nodes of one cluster, in this process.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use turnstile::{ClusterConfig, Connection, Node, NodeConfig, PeerSource, RateLimit};

/// Addresses that were free a moment ago.
pub(crate) fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let listeners: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap()).collect()
}

/// The configuration of the node at `addresses[index]`, its data under `home`.
pub(crate) fn config(home: &Path, addresses: &[SocketAddr], index: usize) -> NodeConfig {
    let mut config = NodeConfig::on_disk(home.join(format!("node-{index}")));
    config.cluster = Some(ClusterConfig {
        listen: addresses[index],
        advertise: None,
        peers: addresses.iter().map(|address| PeerSource::Address(address.to_string())).collect(),
        nameserver: None,
        expect: NonZeroUsize::new(addresses.len()).unwrap(),
        cold_start_hold: Duration::ZERO,
    });
    config
}

/// Starts all of them together, and waits until each knows of all.
pub(crate) async fn start(home: &Path, addresses: &[SocketAddr]) -> Vec<Node> {
    let starts = (0..addresses.len()).map(|index| tokio::spawn(Node::start(config(home, addresses, index))));
    let mut nodes = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        nodes.push(soon(start).await.unwrap().unwrap());
    }
    // A node serves when it is in; it may not know yet that others are.
    for node in &nodes {
        soon(async {
            while node.admin().status().await.members.len() < addresses.len() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    nodes
}

/// A connection of `count` per `window`. Its delivery bound is wide, so that a machine that is busy with many tests queues nobody again.
pub(crate) fn connection(name: &str, count: u32, window: Duration) -> Connection {
    let limit = RateLimit::new(count, window).unwrap().with_delivery_bound(Duration::from_millis(300)).unwrap();
    Connection::new("test", name, limit).unwrap()
}

/// Fails when `future` takes longer than 20 s.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("an answer within 20 s")
}
