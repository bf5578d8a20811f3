//! A limit that changes its count, its window or its algorithm forgets nothing that was charged.

use proptest::prelude::*;

use super::*;
use crate::engine::algorithm::Algorithm;

fn of(algorithm: Algorithm, count: u32, millis: u64, guard_millis: u64) -> RateLimit {
    let limit = RateLimit::new(count, Duration::from_millis(millis)).unwrap().by(algorithm);
    limit.with_delivery_bound(Duration::ZERO).unwrap().with_guard(Duration::from_millis(guard_millis)).unwrap()
}

fn only(limit: RateLimit) -> Limits {
    Limits::new([limit]).unwrap()
}

#[test]
fn whatever_it_was_counted_by_a_full_limit_is_full_by_any_other() {
    for former in Algorithm::ALL {
        for algorithm in Algorithm::ALL {
            let mut limiter = stated(&only(of(former, 10, 60_000, 0)));
            limiter.charge(charged_at(1000), Cost::of(10));
            limiter.state(&only(of(algorithm, 8, 30_000, 0)), at(1000)).unwrap();
            assert_eq!(limiter.room(at(1000)).units, 0, "{former} to {algorithm}");
            limiter.state(&only(of(algorithm, 8, 30_000, 0)), at(61_000)).unwrap();
            assert_eq!(limiter.limits().count(), 1);
            assert!(limiter.empty_at() <= at(61_000), "{former} to {algorithm}: no longer than a charge of then counts");
        }
    }
}

#[test]
fn a_window_after_a_bucket_counts_what_went_in_its_last_span_and_not_only_what_has_not_leaked() {
    let mut limiter = stated(&only(of(Algorithm::TokenBucket, 4, 2000, 0)));
    limiter.charge(charged_at(0), Cost::of(4));
    limiter.charge(charged_at(2000), Cost::of(4));
    limiter.state(&only(of(Algorithm::SlidingWindow, 9, 4000, 0)), at(2500)).unwrap();
    assert_eq!(limiter.check(at(2500), Cost::of(2)), Room::NotBefore(at(6000)));
    // Empty in between: what went before that has left the bucket, and so it does not count.
    let mut limiter = stated(&only(of(Algorithm::TokenBucket, 4, 2000, 0)));
    limiter.charge(charged_at(0), Cost::of(4));
    limiter.charge(charged_at(2001), Cost::of(1));
    limiter.state(&only(of(Algorithm::SlidingWindow, 9, 4000, 0)), at(2500)).unwrap();
    assert_eq!(limiter.check(at(2500), Cost::of(8)), Room::Ready);
}

#[test]
fn several_algorithms_on_one_connection_are_charged_together_or_not_at_all() {
    let window = of(Algorithm::SlidingWindow, 10, 10_000, 0);
    let bucket = of(Algorithm::TokenBucket, 2, 1000, 0);
    let gcra = of(Algorithm::GcraVirtual, 30, 60_000, 0);
    let mut limiter = stated(&Limits::new([window, bucket, gcra]).unwrap());
    let mut now = at(0);
    let mut times = Vec::new();
    for _ in 0..12 {
        if let Room::NotBefore(free_at) = limiter.check(now, Cost::ONE) {
            assert_eq!(limiter.room(now).units, 0);
            now = free_at;
        }
        limiter.charge(Charge { stamp: now, delivery: Duration::ZERO }, Cost::ONE);
        times.push(now.as_nanos() / 1_000_000);
    }
    assert_eq!(times, [0, 0, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 10_000, 10_000]);
}

fn any_limit() -> impl Strategy<Value = RateLimit> {
    (0..Algorithm::ALL.len(), 1..8_u32, prop_oneof![Just(10_u64), Just(20), Just(80), 1..100_u64], 0..4_u64)
        .prop_map(|(algorithm, count, millis, guard)| of(Algorithm::ALL[algorithm], count, millis, guard))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Of what one limit still counts, any other that takes its place counts everything as long as if it had always been there.
    #[test]
    fn what_still_counts_when_a_limit_changes_counts_as_if_the_new_one_had_always_been_there(
        former in any_limit(),
        limit in any_limit(),
        charges in prop::collection::vec((0..30_u64, 1..8_u32, 0..5_u64), 1..20),
        later in 0..60_u64,
    ) {
        let mut meter = Meter::<Ledger>::new(&former);
        let (mut now, mut made) = (0, Vec::new());
        for (passed, amount, delivery) in charges {
            now += passed;
            if meter.check(at(now), amount.into()) == Room::Ready {
                meter.charge(at(now), at(now + delivery), amount);
                made.push((now, now + delivery, amount));
            }
        }
        now += later;
        let mut changed = Meter::new(&limit);
        changed.inherit(&limit, &meter, at(now));
        // The charges that have not left a window, or were made since a bucket was last empty.
        let (mut counts, mut alone) = (Vec::new(), Meter::<Ledger>::new(&former));
        for &(made_at, from, amount) in &made {
            let before = at(made_at).saturating_sub(Duration::from_nanos(1));
            if former.algorithm().is_bucket() && alone.room(before) == u64::from(former.request_count().get()) {
                counts.clear();
            }
            alone.charge(at(made_at), at(from), amount);
            counts.push((made_at, from, amount));
        }
        if !former.algorithm().is_bucket() {
            counts.retain(|&(_, from, _)| at(from) + former.span() > at(now));
            // In the order in which they arrive at the latest: that is all that a window knows, and all that the bound needs.
            counts.sort_unstable_by_key(|&(_, from, _)| from);
        }
        let mut always = Meter::new(&limit);
        for &(made_at, from, amount) in &counts {
            always.charge(at(made_at), at(from), amount);
        }
        // A bucket is no more than full when the last of them counts.
        let mut full = Meter::new(&limit);
        if limit.algorithm().is_bucket() && let Some(from) = counts.iter().map(|&(_, from, _)| from).max() {
            full.charge(at(from), at(from), limit.request_count().get());
        }
        let has_full = full.empty_at() > LedgerTime::ZERO;
        for passed in 0..200 {
            let then = at(now + passed);
            let most = if has_full { always.room(then).max(full.room(then)) } else { always.room(then) };
            prop_assert!(changed.room(then) <= most, "{:?} to {:?} at {:?}: {:?}", former, limit, then, made);
        }
        let latest = if has_full { always.empty_at().min(full.empty_at()) } else { always.empty_at() };
        prop_assert!(changed.empty_at() >= latest || latest <= at(now));
        if let Some(&(made_at, from, amount)) = made.last() && former.algorithm().is_bucket() != limit.algorithm().is_bucket() {
            prop_assert_eq!(changed.refund(at(made_at), at(from), amount), 0, "names are not taken over");
        }
    }
}
