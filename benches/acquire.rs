//! What an acquire costs its caller, end to end in one process, and how many a node grants.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock, and stops where it finds what it did not expect"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use turnstile::{Connection, Node, NodeConfig, RateLimit, Throttler};

mod machine;

/// A connection that is never at its limit.
fn roomy(name: &str) -> Connection {
    let limit = RateLimit::new(u32::MAX, Duration::from_secs(1)).expect("a valid limit");
    Connection::new("bench", name, limit).expect("a valid key")
}

/// The time that `callers` need for `grants` acquires, each caller one behind the other, over 64 connections.
async fn saturate(throttler: &Throttler, callers: u64, grants: u64) -> Duration {
    let left = Arc::new(AtomicU64::new(grants));
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (throttler, left) = (throttler.clone(), Arc::clone(&left));
            tokio::spawn(async move {
                let connection = roomy(&format!("c{}", caller % 64));
                while left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok() {
                    drop(throttler.acquire(&connection).await.expect("a permit"));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a caller that does not panic");
    }
    began.elapsed()
}

fn acquires(criterion: &mut Criterion) {
    machine::print_size();
    let runtime = Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (storage, config) in [("memory", NodeConfig::in_memory()), ("disk", NodeConfig::on_disk(directory.path().join("node")))] {
        let node = runtime.block_on(Node::start(config)).expect("a node");
        let throttler = node.throttler();
        let mut group = criterion.benchmark_group(format!("acquire, {storage}"));
        group.bench_function("one caller", |bencher| {
            let connection = roomy("one");
            bencher.to_async(&runtime).iter(|| async { throttler.acquire(&connection).await.expect("a permit") });
        });
        for callers in [64, 1024] {
            group.throughput(Throughput::Elements(1));
            group.bench_function(format!("{callers} callers"), |bencher| {
                bencher.iter_custom(|grants| runtime.block_on(saturate(&throttler, callers, grants)));
            });
        }
        group.finish();
        runtime.block_on(node.shutdown());
    }
}

criterion_group!(benches, acquires);
criterion_main!(benches);
