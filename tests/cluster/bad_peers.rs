//! What comes on the port for peers and is no message of a node of this cluster: it is refused by name, and nothing else happens.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use turnstile::Node;
use turnstile::api::v1;

use crate::stranger::{NODE, Stranger};
use crate::support::{connection, free_addresses, soon, start};

const RAFT: i32 = v1::CallKind::Raft as i32;
const COMMIT: i32 = v1::CallKind::Commit as i32;
const FOUND: i32 = v1::CallKind::Found as i32;
const ASK: i32 = v1::CallKind::Ask as i32;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Three nodes, and where they are.
pub(crate) async fn cluster() -> (tempfile::TempDir, Vec<Node>, Vec<SocketAddr>) {
    let (home, addresses) = (tempfile::tempdir().unwrap(), free_addresses(3));
    let nodes = start(home.path(), &addresses).await;
    (home, nodes, addresses)
}

/// All serve as before, each for connections of each. Then they end.
pub(crate) async fn still_serve(nodes: Vec<Node>) {
    for node in &nodes {
        for name in 0..6 {
            let connection = connection(&format!("afterwards-{name}"), 100, Duration::from_secs(1));
            drop(soon(node.throttler().acquire(&connection)).await.unwrap());
        }
        let status = node.admin().status().await;
        assert_eq!(status.voters.len(), 3, "{status:?}");
    }
    for node in nodes {
        soon(node.shutdown()).await;
    }
}

/// Bytes without a pattern, the same in every run.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn hex(cluster: &[u8]) -> String {
    cluster.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_node_of_this_cluster_is_refused_by_what_is_wrong_whatever_it_says() {
    let (_home, nodes, addresses) = cluster().await;
    let mut stranger = Stranger::at(addresses[0]).await;
    let (good, own) = (stranger.sender(), nodes[0].id());
    let versions = |found| {
        (
            Code::FailedPrecondition,
            format!("the sender speaks versions {found} to {found} of the nodes' protocol; this node speaks versions 1 to 1"),
        )
    };
    let other = nodes[1].id();
    let (of, not) = (hex(&[7; 16]), hex(&good.cluster));
    let broken: Vec<(Option<v1::Sender>, (Code, String))> = vec![
        (None, (Code::InvalidArgument, "sender: is not set: it is required".to_owned())),
        (Some(v1::Sender { protocol: 0, oldest_protocol: None, ..good.clone() }), versions(0)),
        (Some(v1::Sender { protocol: 2, oldest_protocol: Some(2), ..good.clone() }), versions(2)),
        (
            Some(v1::Sender { cluster: vec![7; 3], ..good.clone() }),
            (Code::InvalidArgument, "sender.cluster: has 3 bytes: a cluster id takes 16".to_owned()),
        ),
        (
            Some(v1::Sender { cluster: vec![7; 16], ..good.clone() }),
            (Code::FailedPrecondition, format!("node {NODE:016x} belongs to cluster {of}, this node to cluster {not}")),
        ),
        (
            Some(v1::Sender { to: other.get(), ..good.clone() }),
            (Code::FailedPrecondition, format!("node {other} is meant; this is node {own}")),
        ),
        (
            Some(v1::Sender { node: own.get(), run: stranger.theirs.run ^ 1, ..good.clone() }),
            (Code::FailedPrecondition, format!("node {own} is this one: another process uses its id")),
        ),
    ];
    let newer = v1::Sender { protocol: 2, oldest_protocol: Some(1), ..good.clone() };
    assert!(stranger.greet(Some(newer)).await.is_ok(), "it speaks version 1 as well");
    let word = |status: tonic::Status| (status.code(), status.message().to_owned());
    for (sender, expected) in broken {
        assert_eq!(stranger.greet(sender.clone()).await.map_err(word), Err(expected.clone()));
        for kind in [RAFT, COMMIT] {
            let called = stranger.call(sender.clone(), kind, vec![1]).await;
            assert_eq!(called.map_err(word), Err(expected.clone()), "{kind}");
        }
        let first = v1::RouteRequest { sender: sender.clone(), stamp_nanos: 1, messages: Vec::new() };
        assert_eq!(stranger.route(first.clone()).await.err().map(word), Some(expected.clone()));
        // In the middle of a session, too, which it ends.
        let mut talk = stranger.begin().await;
        talk.send(first).await;
        assert_eq!(talk.end().await.map_err(word), Err(expected));
    }
    // Who is of no cluster may greet, and nothing else.
    let unbound = v1::Sender { is_bound: false, ..good };
    stranger.greet(Some(unbound.clone())).await.unwrap();
    for kind in [RAFT, COMMIT] {
        let refused = stranger.call(Some(unbound.clone()), kind, vec![1]).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains("cluster yet"), "{refused}");
    }
    still_serve(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_none_is_refused_by_its_field() {
    let (_home, nodes, addresses) = cluster().await;
    let mut stranger = Stranger::at(addresses[1]).await;
    let sender = Some(stranger.sender());
    for kind in [v1::CallKind::Unspecified as i32, 6, -1, i32::MAX] {
        let refused = stranger.call(sender.clone(), kind, vec![1]).await.unwrap_err();
        let told = (refused.code(), refused.message());
        assert_eq!(told, (Code::InvalidArgument, "kind: is not set: it is required"), "{kind}");
    }
    for kind in [RAFT, COMMIT, FOUND, ASK] {
        let empty = stranger.call(sender.clone(), kind, Vec::new()).await.unwrap_err();
        assert_eq!(empty.message(), "body: nothing to decode: the version byte is missing");
        for version in [0, 1, 2, 255] {
            let refused = stranger.call(sender.clone(), kind, [&[version][..], &noise(1, 64)].concat()).await.unwrap_err();
            let told = format!("body: encoded in version {version}, this release reads version 3");
            assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, told.as_str()));
        }
        for seed in 0..200 {
            // No variant has this number, so that no noise is a message by chance.
            let body = [&[3, 200][..], &noise(seed, usize::try_from(seed).unwrap() * 7)].concat();
            let refused = stranger.call(sender.clone(), kind, body).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().starts_with("body: the bytes do not decode"), "{refused}");
        }
        // Each begins as a message does, and is cut off.
        for variant in 0..3 {
            let refused = stranger.call(sender.clone(), kind, vec![3, variant]).await.err();
            let told = refused.map(|status| (status.code(), status.message().to_owned()));
            assert!(told.is_some_and(|(code, told)| code == Code::InvalidArgument && told.starts_with("body: ")), "{variant}");
        }
    }
    still_serve(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_largest_is_refused_and_its_connection_lives_on() {
    const LARGEST: usize = 64 << 20;
    let (_home, nodes, addresses) = cluster().await;
    let mut stranger = Stranger::at(addresses[2]).await;
    let sender = Some(stranger.sender());
    let refused = stranger.call(sender.clone(), RAFT, vec![1; LARGEST]).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    assert!(refused.message().contains(&LARGEST.to_string()), "{refused}");
    stranger.greet(sender).await.unwrap();
    still_serve(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_protocol_and_connections_that_say_nothing_disturb_nobody() {
    let (_home, nodes, addresses) = cluster().await;
    let mut silent = Vec::new();
    for seed in 0..50 {
        silent.push(soon(TcpStream::connect(addresses[0])).await.unwrap());
        let mut stream = soon(TcpStream::connect(addresses[0])).await.unwrap();
        let greeting = if seed % 2 == 0 { PREFACE } else { &[] };
        // It may hang up before it has read everything.
        drop(stream.write_all(&[greeting, &noise(seed, 4096)].concat()).await);
        drop(stream.shutdown().await);
        let mut rest = Vec::new();
        drop(soon(stream.read_to_end(&mut rest)).await);
    }
    // A frame longer than a peer may send: 16 MiB less one of a kind that does not exist.
    let mut oversized = soon(TcpStream::connect(addresses[0])).await.unwrap();
    let frame = [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0], &[255, 255, 255, 250, 0, 0, 0, 0, 1], &noise(1, 1 << 16)].concat();
    drop(oversized.write_all(&frame).await);
    let mut rest = Vec::new();
    drop(soon(oversized.read_to_end(&mut rest)).await);
    still_serve(nodes).await;
    drop(silent);
}
