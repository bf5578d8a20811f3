//! Idle connections leave memory.

use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::task::JoinSet;
use turnstile::{Node, NodeConfig, Throttler};

use crate::support::{connection, eventually};

const THIS_TEST: &str = "memory::a_hundred_thousand_connections_used_once_give_their_memory_back";
const CHILD: &str = "TURNSTILE_TEST_MEMORY";
const WINDOW: Duration = Duration::from_secs(1);

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says what is resident");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The least that is resident within this time: the allocator gives pages back only a while after they were left.
async fn lowest_resident_kib(span: Duration) -> u64 {
    let mut lowest = resident_kib();
    let until = tokio::time::Instant::now() + span;
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    while tokio::time::Instant::now() < until {
        looks.tick().await;
        lowest = lowest.min(resident_kib());
    }
    lowest
}

/// Uses each of these connections once, a hundred at a time.
async fn use_once(throttler: &Throttler, names: std::ops::Range<usize>) {
    let mut workers = JoinSet::new();
    for worker in 0..100 {
        let (throttler, names) = (throttler.clone(), names.clone());
        workers.spawn(async move {
            for name in names.skip(worker).step_by(100) {
                drop(throttler.acquire(&connection(&format!("connection {name}"), 3, WINDOW)).await.unwrap());
            }
        });
    }
    workers.join_all().await;
}

async fn until_idle(throttler: &Throttler) {
    eventually("all have left memory", Duration::from_secs(60), || async { throttler.report().await.connections == 0 }).await;
}

/// Runs in a process of its own, so that nothing else is measured.
async fn measure() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(NodeConfig::on_disk(directory.path().join("data"))).await.unwrap();
    let throttler = node.throttler();
    // Where it was: a node that has worked before.
    use_once(&throttler, 0..10_000).await;
    until_idle(&throttler).await;
    let before = lowest_resident_kib(Duration::from_secs(12)).await;
    use_once(&throttler, 0..100_000).await;
    let most = resident_kib();
    until_idle(&throttler).await;
    println!("resident: {before} KiB before, {most} KiB with 100,000 connections");
    eventually("the memory is back", Duration::from_secs(60), || async { resident_kib() <= before * 120 / 100 }).await;
    println!("resident: {} KiB after their windows", resident_kib());
    node.shutdown().await;
}

#[test]
fn a_hundred_thousand_connections_used_once_give_their_memory_back() {
    if std::env::var_os(CHILD).is_some() {
        return tokio::runtime::Runtime::new().unwrap().block_on(measure());
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([THIS_TEST, "--exact", "--nocapture"]).env(CHILD, "yes").stdin(Stdio::null());
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
