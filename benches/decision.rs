//! What one decision of the engine costs: an acquire comes in, is asked for, charged, and released; and what of that each limit algorithm costs, beside
//! the GCRA of the crate `governor`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock, and stops where it finds what it did not expect"
)]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use governor::clock::FakeRelativeClock;
use governor::{Quota, RateLimiter};
use turnstile::engine::algorithm::Algorithm;
use turnstile::engine::cost::Cost;
use turnstile::engine::grant::{RequestId, Sequence};
use turnstile::engine::ledger::{Action, Verdict};
use turnstile::engine::limiter::{Limiter, Meter, Room};
use turnstile::engine::rate::{Limits, Niceness, RateLimit};
use turnstile::engine::throttle::{Acquire, Bounds, Effect, Now, Patience, Throttle};
use turnstile::engine::time::{LedgerTime, Local, Timestamp};

mod machine;

const BOUNDS: Bounds = Bounds { max_waiters: 1_000_000, strict_limits: false };

/// A connection, its clocks, and what its owner would keep.
struct Rig {
    throttle: Throttle<u64>,
    limits: Limits,
    sequence: Sequence,
    effects: Vec<Effect<u64>>,
    millis: u64,
    next_request: u128,
}

impl Rig {
    fn new(count: u32, backlog: u64) -> Self {
        let limit = RateLimit::new(count, Duration::from_secs(1))
            .and_then(|limit| limit.with_guard(Duration::ZERO))
            .and_then(|limit| limit.with_delivery_bound(Duration::ZERO));
        let limits = limit.and_then(|limit| Limits::new([limit])).expect("a valid limit");
        let mut rig = Self {
            throttle: Throttle::new(Limiter::default()),
            limits,
            sequence: Sequence::default(),
            effects: Vec::new(),
            millis: 1,
            next_request: 0,
        };
        for _ in 0..backlog {
            rig.enqueue();
        }
        rig
    }

    fn now(&self) -> Now {
        let nanos = self.millis * 1_000_000;
        Now { local: Timestamp::from_nanos(nanos), ledger: LedgerTime::from_nanos(nanos) }
    }

    fn enqueue(&mut self) {
        self.next_request += 1;
        let acquire = Acquire {
            // Spread like random ids.
            request: RequestId::new(self.next_request.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)),
            retryable: false,
            niceness: Niceness::URGENT,
            cost: Cost::ONE,
            limits: self.limits.clone(),
            waited: Duration::ZERO,
            patience: Patience::Endless,
            reply: 0,
        };
        let now = self.now();
        self.throttle.acquire(now, acquire, BOUNDS, &mut self.sequence, &mut self.effects);
    }

    /// One acquire in, one out.
    fn decide(&mut self) {
        self.millis += 2;
        self.enqueue();
        let now = self.now();
        let action = self.throttle.poll(now, Duration::ZERO, &mut self.sequence, &mut self.effects, |_, _| true);
        let Some(Action::Slots { ask: Some(ask), .. }) = &action else { unreachable!("there is room: {action:?}") };
        let verdict = Verdict::Charged { stamp: now.ledger, cost: ask.least };
        self.throttle.verdict(now, &verdict, &mut self.sequence, &mut self.effects, |_, _| true);
        black_box(&self.effects);
        self.effects.clear();
    }
}

fn decisions(criterion: &mut Criterion) {
    machine::print_size();
    let mut group = criterion.benchmark_group("decision");
    group.bench_function("empty queue", |bencher| {
        let mut rig = Rig::new(1000, 0);
        bencher.iter(|| rig.decide());
    });
    group.bench_function("backlog of 100,000", |bencher| {
        // One slot for each decision, so that the backlog stays.
        let mut rig = Rig::new(500, 100_000);
        bencher.iter(|| rig.decide());
    });
    group.bench_function("1,000 connections", |bencher| {
        let mut rigs: Vec<Rig> = (0..1000).map(|_| Rig::new(1000, 0)).collect();
        let mut next = 0;
        bencher.iter(|| {
            next = (next + 1) % rigs.len();
            rigs[next].decide();
        });
    });
    group.finish();
}

/// How many units a limit has per second, and how long apart they are charged: as many as it allows.
const COUNT: u32 = 1000;
const APART: Duration = Duration::from_millis(1);

/// Charges one unit after another, each as soon as one comes back: a window is full then, and a bucket stays as full as it was, by half.
fn charging(algorithm: Algorithm) -> impl FnMut() {
    let limit = RateLimit::new(COUNT, Duration::from_secs(1)).expect("a valid limit").by(algorithm);
    let (mut meter, mut now): (Meter<Local>, Timestamp) = (Meter::plain(&limit), Timestamp::ZERO);
    if algorithm.is_bucket() {
        meter.charge(now, now, COUNT / 2);
    }
    move || {
        now = now + APART;
        assert_eq!(black_box(meter.check(now, 1)), Room::Ready);
        meter.charge(now, now, 1);
    }
}

/// The same by the limiter that most Rust programs use.
fn charging_governor() -> impl FnMut() {
    let clock = FakeRelativeClock::default();
    let quota = Quota::per_second(NonZeroU32::new(COUNT).expect("above 0"));
    let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
    assert!((0..COUNT / 2).all(|_| limiter.check().is_ok()));
    move || {
        clock.advance(APART);
        assert!(black_box(limiter.check()).is_ok());
    }
}

fn algorithms(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check and charge");
    for algorithm in Algorithm::ALL {
        group.bench_function(algorithm.name(), |bencher| bencher.iter(charging(algorithm)));
    }
    group.bench_function("governor", |bencher| bencher.iter(charging_governor()));
    group.finish();
    print_ratios();
}

/// What decides, and what that cost in nanoseconds each time.
struct Candidate {
    name: &'static str,
    decide: Box<dyn FnMut()>,
    costs: Vec<f64>,
}

/// Median costs, taken in turns so that a machine that is busy for a while disturbs all alike.
fn print_ratios() {
    const ROUNDS: usize = 101;
    const DECISIONS: u32 = 10_000;
    let mut all = vec![Candidate { name: "governor", decide: Box::new(charging_governor()), costs: Vec::new() }];
    for algorithm in Algorithm::ALL {
        all.push(Candidate { name: algorithm.name(), decide: Box::new(charging(algorithm)), costs: Vec::new() });
    }
    for _ in 0..ROUNDS {
        for Candidate { decide, costs, .. } in &mut all {
            let began = Instant::now();
            (0..DECISIONS).for_each(|_| decide());
            costs.push(began.elapsed().as_secs_f64() * 1e9 / f64::from(DECISIONS));
        }
    }
    let median = |costs: &mut Vec<f64>| {
        costs.sort_by(f64::total_cmp);
        costs[ROUNDS / 2]
    };
    let governor = median(&mut all[0].costs);
    for Candidate { name, costs, .. } in &mut all {
        let nanos = median(costs);
        println!("{name:<16} {nanos:>6.1} ns  {:>5.2} times governor", nanos / governor);
    }
}

criterion_group!(benches, decisions, algorithms);
criterion_main!(benches);
