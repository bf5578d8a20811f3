//! A node under load makes snapshots: its log stays bounded, and a restart knows every window.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use turnstile::{Node, NodeConfig, Throttler};

use crate::support::{connection, eventually};

const HOUR: Duration = Duration::from_secs(3600);
const CONNECTIONS: usize = 100_000;
const MIB: u64 = 1 << 20;

/// The bytes of all files whose names end so.
fn bytes(directory: &Path, ending: &str) -> u64 {
    let files = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    files.filter(|file| file.file_name().to_string_lossy().ends_with(ending)).map(|file| file.metadata().unwrap().len()).sum()
}

/// Of its 6 slots per hour, connection `name` takes this many.
fn taken(name: usize) -> usize {
    name % 3 + 4
}

/// A hundred workers; gives back the longest that one acquire took.
async fn use_all(throttler: &Throttler) -> Duration {
    let mut workers = JoinSet::new();
    for worker in 0..100 {
        let throttler = throttler.clone();
        workers.spawn(async move {
            let mut longest = Duration::ZERO;
            for name in (0..CONNECTIONS).skip(worker).step_by(100) {
                for _ in 0..taken(name) {
                    let began = Instant::now();
                    drop(throttler.acquire(&connection(&format!("connection {name}"), 6, HOUR)).await.unwrap());
                    longest = longest.max(began.elapsed());
                }
            }
            longest
        });
    }
    workers.join_all().await.into_iter().max().unwrap()
}

/// Whether each of these has just the slots left that it did not take.
async fn check_all(throttler: &Throttler) {
    let mut workers = JoinSet::new();
    for worker in 0..100 {
        let throttler = throttler.clone();
        workers.spawn(async move {
            for name in (0..CONNECTIONS).skip(worker).step_by(100) {
                let connection = connection(&format!("connection {name}"), 6, HOUR);
                let mut left = 0;
                while throttler.request(&connection).try_acquire().await.unwrap().is_some() {
                    left += 1;
                }
                assert_eq!(left, 6 - taken(name), "{connection:?}");
            }
        });
    }
    workers.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_windows_outlive_snapshots_under_load_and_a_restart() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let node = Node::start(NodeConfig::on_disk(&data)).await.unwrap();
    let longest = use_all(&node.throttler()).await;
    eventually("a snapshot", Duration::from_secs(20), || async { bytes(&data, "snapshot") > MIB }).await;
    eventually("the log it covers goes", Duration::from_secs(20), || async { bytes(&data, ".wal") < 20 * MIB }).await;
    println!("longest acquire {longest:?}, log {} bytes, snapshot {} bytes", bytes(&data, ".wal"), bytes(&data, "snapshot"));
    node.shutdown().await;
    let node = Node::start(NodeConfig::on_disk(&data)).await.unwrap();
    check_all(&node.throttler()).await;
    node.shutdown().await;
}
