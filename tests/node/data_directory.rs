//! A node's directory: what it remembers, and what it refuses to start on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use turnstile::{Connection, Node, NodeConfig, NodeId, Throttler};

use crate::support::connection;

const HOUR: Duration = Duration::from_secs(3600);

fn hourly() -> Connection {
    connection("remembered", 10, HOUR)
}

async fn take(throttler: &Throttler, count: usize) {
    for _ in 0..count {
        assert!(throttler.request(&hourly()).try_acquire().await.unwrap().is_some());
    }
}

/// How many of ten are left.
async fn left(throttler: &Throttler) -> usize {
    let mut left = 0;
    while throttler.request(&hourly()).try_acquire().await.unwrap().is_some() {
        left += 1;
    }
    left
}

/// A directory with a log in which 4 of 10 were taken, after a clean end.
async fn used_directory() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let node = Node::start(NodeConfig::on_disk(&data)).await.unwrap();
    take(&node.throttler(), 4).await;
    node.shutdown().await;
    (parent, data)
}

async fn refusal(config: NodeConfig) -> String {
    match Node::start(config).await {
        Ok(node) => unreachable!("node {} started", node.id()),
        Err(error) => error.to_string(),
    }
}

fn the_log(data: &Path) -> PathBuf {
    let names = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.extension().is_some_and(|extension| extension == "wal")).max().expect("a log")
}

#[tokio::test]
async fn a_restarted_node_remembers_who_it_is_and_what_it_charged() {
    let (_parent, data) = used_directory().await;
    let first = Node::start(NodeConfig::on_disk(&data)).await.unwrap();
    let id = first.id();
    take(&first.throttler(), 1).await;
    first.shutdown().await;
    let second = Node::start(NodeConfig::on_disk(&data)).await.unwrap();
    assert_eq!((second.id(), left(&second.throttler()).await), (id, 5));
    second.shutdown().await;
}

#[tokio::test]
async fn the_directory_of_another_node_is_refused_with_both_ids() {
    let (_parent, data) = used_directory().await;
    let mut config = NodeConfig::on_disk(&data);
    config.expected_node = Some(NodeId::new(0xabcd));
    let message = refusal(config).await;
    assert!(message.contains("000000000000abcd") && message.contains("node"), "{message}");
}

#[tokio::test]
async fn a_directory_in_use_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let config = NodeConfig::on_disk(parent.path().join("data"));
    let node = Node::start(config.clone()).await.unwrap();
    let message = refusal(config.clone()).await;
    assert!(message.contains("data") && message.contains("use"), "{message}");
    node.shutdown().await;
    Node::start(config).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_directory_of_something_else_is_refused_and_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("thesis.txt"), "years of work").unwrap();
    let message = refusal(NodeConfig::on_disk(parent.path())).await;
    assert!(message.contains("thesis.txt"), "{message}");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_place_that_cant_be_written_is_refused_with_its_name() {
    // Not even root may make a directory there.
    let message = refusal(NodeConfig::on_disk("/proc/turnstile")).await;
    assert!(message.contains("/proc/turnstile"), "{message}");
}

#[tokio::test]
async fn a_half_written_record_was_never_acknowledged_and_is_dropped() {
    let (_parent, data) = used_directory().await;
    let log = the_log(&data);
    let whole = fs::read(&log).unwrap();
    // The beginning of another record, as a killed process leaves it.
    fs::write(&log, [&whole[..], &whole[..7]].concat()).unwrap();
    let node = Node::start(NodeConfig::on_disk(&data)).await.unwrap();
    assert_eq!(left(&node.throttler()).await, 6);
    node.shutdown().await;
}

#[tokio::test]
async fn a_flipped_byte_anywhere_in_the_log_is_refused_with_the_file_and_the_place() {
    let (_parent, data) = used_directory().await;
    let log = the_log(&data);
    let whole = fs::read(&log).unwrap();
    let name = log.file_name().unwrap().to_string_lossy().into_owned();
    for place in (0..whole.len()).step_by(whole.len() / 40 + 1) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x10;
        fs::write(&log, &damaged).unwrap();
        let message = refusal(NodeConfig::on_disk(&data)).await;
        assert!(message.contains(&name), "byte {place}: {message}");
        assert_eq!(fs::read(&log).unwrap(), damaged, "byte {place}: a damaged log is evidence");
    }
    fs::write(&log, &whole).unwrap();
    let node = Node::start(NodeConfig::on_disk(&data)).await.unwrap();
    assert_eq!(left(&node.throttler()).await, 6);
    node.shutdown().await;
}
