//! Everything at once: callers that give up, give back, retry and try, penalties, and shards that die under them.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use super::*;
use crate::engine::ledger::Adjustment;
use crate::engine::time::LedgerTime;

const WORKERS: u64 = 60;
const CONNECTIONS: u64 = 4;
const LIMIT: u64 = 7;
const WINDOW: Duration = Duration::from_millis(40);

type Granted = (ConnectionKey, Cost, Grant);

fn key(number: u64) -> ConnectionKey {
    ConnectionKey::new("chaos", &number.to_string()).unwrap()
}

/// One worker's calls until `ends_at`, each given up after a moment of its own; what it was granted.
async fn work(router: Arc<Router>, clock: Clock, mut random: StdRng, ends_at: Timestamp) -> Vec<Granted> {
    let mut granted = Vec::new();
    while clock.now() < ends_at {
        let now = clock.now();
        let millis = Duration::from_millis(random.random_range(0..60));
        // Few ids, so that some meet themselves.
        let retryable = random.random_ratio(1, 2);
        let request = Request {
            key: key(random.random_range(0..CONNECTIONS)),
            id: RequestId::new(if retryable { random.random_range(0..200) } else { random.random() }),
            retryable,
            niceness: Niceness::new(random.random_range(0..3)),
            cost: Cost::of(random.random_range(1..=3)),
            limits: limits(7, WINDOW),
            patience: match random.random_range(0..4) {
                0 => Patience::Endless,
                1 => Patience::Never,
                2 => Patience::Deadline(now + millis),
                _ => Patience::MaxWait(now + millis),
            },
            waited: Duration::ZERO,
        };
        if random.random_ratio(1, 300) {
            router.adjust(&request.key, Adjustment::Penalize(Duration::from_millis(5))).await.unwrap();
        }
        let gives_up_after = Duration::from_micros(random.random_range(0..120_000));
        let Ok(Ok(routed)) = clock::timeout(gives_up_after, router.acquire(&request)).await else { continue };
        if random.random_ratio(1, 8) {
            routed.slot.give_back();
        } else {
            granted.push((request.key, request.cost, *routed.slot.grant()));
        }
    }
    granted
}

fn assert_windows_hold(granted: &[Granted]) {
    for number in 0..CONNECTIONS {
        let mut units: Vec<LedgerTime> = Vec::new();
        for (_, cost, grant) in granted.iter().filter(|(of, ..)| *of == key(number)) {
            units.extend((0..cost.units).map(|_| grant.charge.stamp));
        }
        units.sort_unstable();
        let limit = usize::try_from(LIMIT).unwrap();
        for (first, last) in units.iter().zip(units.iter().skip(limit)) {
            let span = last.saturating_since(*first);
            assert!(span >= WINDOW, "{} units of connection {number} within {span:?}", limit + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_gives_up_retries_or_crashes_no_window_breaks_and_nothing_is_left_behind() {
    let parts = start_answering().await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let ends_at = parts.clock.now() + 3 * SECOND;
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let random = StdRng::seed_from_u64(seed ^ (worker + 1));
        workers.spawn(work(Arc::clone(&parts.router), parts.clock, random, ends_at));
    }
    while parts.clock.now() < ends_at {
        clock::sleep(Duration::from_millis(random.random_range(50..400))).await;
        parts.shard().kill();
    }
    let granted: Vec<Granted> = soon(workers.join_all()).await.into_iter().flatten().collect();
    assert!(granted.len() > 200, "{} grants", granted.len());
    assert_windows_hold(&granted);
    // Nobody waits, no slot is kept, and all is forgotten.
    parts.until_waiting(0).await;
    for number in 0..CONNECTIONS {
        let whole = Request { key: key(number), cost: Cost::of(LIMIT), ..request(1000, limits(7, WINDOW)) };
        soon(parts.router.acquire(&whole)).await.unwrap();
    }
    soon(async {
        while parts.router.owners().report().await.connections > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(format!("{:?}", parts.router).matches("in_flight: 0,").count(), 1, "{:?}", parts.router);
    parts.end().await;
}
