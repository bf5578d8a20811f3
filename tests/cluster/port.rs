//! What comes on the port for peers.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::raw::{RawSession, lone_node};
use crate::support::soon;

/// More than the port has places for.
const MANY: usize = 260;

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_keeps_no_place_from_peers() {
    let home = tempfile::tempdir().unwrap();
    let (node, address) = lone_node(home.path()).await;
    let began = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..MANY {
        silent.push(soon(TcpStream::connect(address)).await.unwrap());
    }
    // Behind all of them.
    drop(RawSession::begin(address).await);
    let waited = began.elapsed();
    for stream in &mut silent {
        assert!(!matches!(soon(stream.read(&mut [0])).await, Ok(1..)));
    }
    println!("a peer came in after {waited:?}, all who were silent were out after {:?}", began.elapsed());
    assert!(waited > Duration::from_secs(1), "the port has fewer places than connections: {waited:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    soon(node.shutdown()).await;
}
