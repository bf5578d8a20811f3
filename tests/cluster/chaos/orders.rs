//! What a chaos run orders a worker to do, in the worker's process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use turnstile::api::{self, Served};
use turnstile::{AcquireError, Connection, Node, NodeConfig, RateLimit, Throttler};

use super::callers;

/// In the environment of a worker: how many connections its node holds at most.
pub(crate) const MAX_CONNECTIONS: &str = "TURNSTILE_TEST_MAX_CONNECTIONS";

/// How many calls of a flood are on their way at a time, and for how long it goes on at most.
const AT_A_TIME: usize = 1024;
const FLOOD_LASTS: Duration = Duration::from_secs(15);

/// In the environment of a worker: where its node listens, if the others reach it elsewhere.
pub(crate) const LISTENS_AT: &str = "TURNSTILE_TEST_LISTENS_AT";

/// The configuration, with what the environment asks for.
pub(crate) fn changed(mut config: NodeConfig) -> NodeConfig {
    if let (Ok(listens_at), Some(cluster)) = (std::env::var(LISTENS_AT), &mut config.cluster) {
        cluster.advertise = Some(cluster.listen.to_string());
        cluster.listen = listens_at.parse().unwrap();
    }
    if let Ok(max) = std::env::var(MAX_CONNECTIONS) {
        config.max_connections = max.parse().unwrap();
    }
    config
}

/// Does it, or begins to.
pub(crate) async fn obey(node: &Node, index: usize, words: &[&str]) {
    match words {
        ["callers", millis, seed] => {
            let (lasts, seed) = (Duration::from_millis(millis.parse().unwrap()), seed.parse().unwrap());
            tokio::spawn(callers::call(node.throttler(), index, lasts, seed));
        }
        ["give-up"] => {
            callers::ALL_GIVE_UP.notify_waiters();
            println!("given up");
        }
        ["again", request, name, niceness] => {
            let (request, name, niceness) = ((*request).to_owned(), (*name).to_owned(), niceness.parse().unwrap());
            let throttler = node.throttler();
            tokio::spawn(async move { callers::again(throttler, index, &request, &name, niceness).await });
        }
        ["flood", keys] => drop(tokio::spawn(flood(node.throttler(), keys.parse().unwrap()))),
        ["serve"] => {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            println!("port {}", listener.local_addr().unwrap());
            tokio::spawn(api::serve(Served::new(node.throttler(), node.admin()), listener, std::future::pending()));
        }
        _ => panic!("no such order: {words:?}"),
    }
}

/// Calls once for each of so many connections, which then have a window that is not empty for a minute.
async fn flood(throttler: Throttler, keys: u64) {
    let (next, until) = (Arc::new(AtomicU64::new(0)), Instant::now() + FLOOD_LASTS);
    let mut callers = JoinSet::new();
    for _ in 0..AT_A_TIME {
        let (throttler, next) = (throttler.clone(), Arc::clone(&next));
        callers.spawn(async move {
            let (mut granted, mut full, mut other) = (0u64, 0u64, 0u64);
            while Instant::now() < until {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= keys {
                    break;
                }
                let limit = RateLimit::new(1, Duration::from_secs(60)).unwrap();
                let connection = Connection::new("flood", &format!("key-{number}"), limit).unwrap();
                match throttler.acquire(&connection).await {
                    Ok(_) => granted += 1,
                    Err(AcquireError::BoundReached { .. }) => full += 1,
                    Err(_) => other += 1,
                }
            }
            [granted, full, other]
        });
    }
    let counts = callers.join_all().await;
    let sum = |place: usize| counts.iter().map(|counts| counts[place]).sum::<u64>();
    println!("flooded {} {} {}", sum(0), sum(1), sum(2));
}
