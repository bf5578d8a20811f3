//! What one decision of the engine costs: an acquire comes in, is asked for, charged, and released.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock, and stops where it finds what it did not expect"
)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use turnstile::engine::grant::{RequestId, Sequence};
use turnstile::engine::ledger::{Action, Verdict};
use turnstile::engine::limiter::Limiter;
use turnstile::engine::rate::{Cost, Limits, Niceness, RateLimit};
use turnstile::engine::throttle::{Acquire, Bounds, Effect, Now, Patience, Throttle};
use turnstile::engine::time::{LedgerTime, Timestamp};

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

criterion_group!(benches, decisions);
criterion_main!(benches);
