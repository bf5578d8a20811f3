//! Against real nodes and real servers, in this process.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::api::{self, Served};
use crate::{Niceness, Node, NodeConfig, RateLimit, Throttler};

const HOUR: Duration = Duration::from_secs(3600);

/// A server in front of a node.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Server {
    async fn of(node: &Node) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = api::serve(Served::new(node.throttler(), node.admin()), listener, async { drop(stopped.await) });
        Self { address, stop, serving: tokio::spawn(serving) }
    }

    async fn stop(self) {
        drop(self.stop);
        soon(self.serving).await.unwrap();
    }
}

async fn soon<F: Future>(future: F) -> F::Output {
    crate::clock::timeout(Duration::from_secs(20), future).await.unwrap()
}

async fn until_waiting(throttler: &Throttler, count: usize) {
    let waiting = async {
        while throttler.report().await.waiters != count {
            tokio::task::yield_now().await;
        }
    };
    soon(waiting).await;
}

/// A connection of `count` an hour, without margins.
fn hourly(name: &str, count: u32) -> Connection {
    let limit = RateLimit::new(count, HOUR).and_then(|limit| limit.with_delivery_bound(Duration::ZERO)).unwrap();
    Connection::new("test", name, limit.with_guard(Duration::ZERO).unwrap()).unwrap()
}

fn session(addresses: &[SocketAddr]) -> (Remote, JoinHandle<()>) {
    let (remote, conversation) = Remote::new(addresses.iter().map(ToString::to_string).collect());
    (remote, tokio::spawn(conversation))
}

/// Waits in the queue under a name.
fn wait(remote: &Remote, connection: &Connection, name: u32, served: &mpsc::UnboundedSender<u32>) -> JoinHandle<RemotePermit> {
    let (remote, connection, served) = (remote.clone(), connection.clone(), served.clone());
    tokio::spawn(async move {
        let permit = remote.acquire(&connection).await.unwrap();
        served.send(name).unwrap();
        permit
    })
}

#[tokio::test]
async fn who_waits_goes_to_another_server_with_its_age_when_the_first_has_gone() {
    let node = Node::start(NodeConfig::in_memory()).await.unwrap();
    let throttler = node.throttler();
    let (first, second) = (Server::of(&node).await, Server::of(&node).await);
    let (remote, conversation) = session(&[first.address, second.address]);
    let full = hourly("full", 4);
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(throttler.acquire(&full).await.unwrap());
    }
    let (served, mut order) = mpsc::unbounded_channel();
    let mut calls = Vec::new();
    for (name, niceness) in [(1, 5), (2, 5), (3, 0)] {
        let connection = full.clone().with_niceness(Niceness::new(niceness));
        calls.push(wait(&remote, &connection, name, &served));
        until_waiting(&throttler, calls.len()).await;
    }
    first.stop().await;
    let (other, other_conversation) = session(&[second.address]);
    calls.push(wait(&other, &full.with_niceness(Niceness::new(5)), 4, &served));
    until_waiting(&throttler, 4).await;
    for (permit, next) in held.into_iter().zip([3, 1, 2, 4]) {
        permit.give_back();
        assert_eq!(soon(order.recv()).await, Some(next));
    }
    for call in calls {
        drop(soon(call).await.unwrap());
    }
    drop((remote, other));
    soon(async { drop(tokio::join!(conversation, other_conversation)) }).await;
    second.stop().await;
    node.shutdown().await;
}

#[tokio::test]
async fn who_goes_away_leaves_the_queue_and_a_permit_that_is_dropped_is_over() {
    let node = Node::start(NodeConfig { max_in_flight: 2, ..NodeConfig::in_memory() }).await.unwrap();
    let throttler = node.throttler();
    let server = Server::of(&node).await;
    let (remote, conversation) = session(&[server.address]);
    let single = hourly("single", 1);
    let one = soon(remote.acquire(&single)).await.unwrap();
    let (served, _order) = mpsc::unbounded_channel();
    let call = wait(&remote, &single, 1, &served);
    until_waiting(&throttler, 1).await;
    let bound = soon(remote.acquire(&single)).await.unwrap_err();
    assert!(matches!(bound, RemoteError::Refused { code: tonic::Code::ResourceExhausted, .. }), "{bound}");
    call.abort();
    until_waiting(&throttler, 0).await;
    drop(one);
    let roomy = hourly("roomy", 3);
    // Two at once are as many as may be open, so those before are over.
    let two = (soon(remote.acquire(&roomy)).await.unwrap(), soon(remote.acquire(&roomy)).await.unwrap());
    assert!(two.0.tenure == two.1.tenure && two.0.release.get() < two.1.arrival.get());
    drop((two, remote));
    soon(conversation).await.unwrap();
    server.stop().await;
    node.shutdown().await;
}

#[tokio::test]
async fn nodes_that_are_not_there_are_waited_for() {
    let node = Node::start(NodeConfig::in_memory()).await.unwrap();
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = Server::of(&node).await;
    let (remote, conversation) = session(&[gone, server.address]);
    drop(soon(remote.acquire(&hourly("late", 1))).await.unwrap());
    drop(remote);
    soon(conversation).await.unwrap();
    server.stop().await;
    node.shutdown().await;
}
