//! What holds of every algorithm, by oracles that keep everything and know no state.

use std::time::Duration;

use proptest::prelude::*;

use crate::engine::algorithm::Algorithm;
use crate::engine::limiter::{Meter, Room};
use crate::engine::rate::RateLimit;
use crate::engine::time::Timestamp;

/// A charge: when it was made, how long its delivery may take, and what of it was not given back.
#[derive(Debug, Clone, Copy)]
struct Charged {
    at: u64,
    delivery: u64,
    amount: u64,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Charges so much if there is room, with this delivery bound.
    Charge(u32, u64),
    /// Waits as long as it is told to, and charges then.
    Wait(u32, u64),
    /// Gives so much back of an earlier charge, counted from the last one.
    Refund(usize, u32),
    /// Gives back what nobody has charged.
    MadeUp(u32),
}

#[derive(Debug, Clone)]
struct Case {
    count: u32,
    window: u64,
    guard: u64,
    steps: Vec<(u64, Step)>,
}

fn case(deliveries: u64, guards: u64) -> impl Strategy<Value = Case> {
    let step = prop_oneof![
        5 => (1..5_u32, 0..=deliveries).prop_map(|(amount, delivery)| Step::Charge(amount, delivery)),
        3 => (1..5_u32, 0..=deliveries).prop_map(|(amount, delivery)| Step::Wait(amount, delivery)),
        3 => (0..5_usize, 1..5_u32).prop_map(|(back, amount)| Step::Refund(back, amount)),
        1 => (1..4_u32).prop_map(Step::MadeUp),
    ];
    let gap = prop_oneof![3 => Just(0), 3 => 0..600_000_u64, 1 => 0..4_000_000_u64];
    let steps = prop::collection::vec((gap, step), 1..40);
    let window = prop_oneof![Just(1_000_000_u64), 1_000_000..1_000_050_u64];
    (1..7_u32, window, 0..=guards, steps).prop_map(|(count, window, guard, steps)| Case { count, window, guard, steps })
}

const fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

impl Case {
    fn meter(&self, algorithm: Algorithm) -> Meter<crate::engine::time::Local> {
        let limit = RateLimit::new(self.count, Duration::from_nanos(self.window)).unwrap().by(algorithm);
        Meter::new(&limit.with_guard(Duration::from_nanos(self.guard)).unwrap())
    }

    /// In how long a bucket's capacity comes back, in nanoseconds.
    fn period(&self) -> u64 {
        self.window + (self.window / 2000).min(self.guard)
    }

    /// The most that reach the platform in any span, if each arrives at the worst moment: any that may arrive within it counts.
    fn assert_within_bounds(&self, algorithm: Algorithm, charged: &[Charged]) {
        let arrives_by = |charge: &Charged| charge.at + charge.delivery + self.guard;
        for first in charged {
            let begin = arrives_by(first);
            let ends: Vec<u64> = if algorithm.is_bucket() {
                charged.iter().map(|last| last.at.max(begin)).collect()
            } else {
                vec![begin + self.window - 1]
            };
            for end in ends {
                let within = charged.iter().filter(|charge| charge.at <= end && arrives_by(charge) >= begin);
                let units: u64 = within.map(|charge| charge.amount).sum();
                let (units, span) = (u128::from(units), u128::from(end - begin));
                let (count, window) = (u128::from(self.count), u128::from(self.window));
                let allowed = if algorithm.is_bucket() { count * window + span * count } else { count * window };
                assert!(units * window <= allowed, "{algorithm}: {units} of {count} in {begin}..={end}: {charged:?}");
            }
        }
    }

    /// Whoever is told a moment is served then, and no nanosecond earlier.
    fn assert_nobody_starves(&self, meter: &mut Meter<crate::engine::time::Local>, now: u64) {
        let room = meter.room(at(now));
        for amount in 0..=u64::from(self.count) {
            let first = match meter.check(at(now), amount) {
                Room::Ready => now,
                Room::NotBefore(first) => first.as_nanos(),
                Room::Never => panic!("{amount} fits"),
            };
            assert_eq!(first == now, amount <= room, "{amount} when there is room for {room}");
            assert_eq!(meter.check(at(first), amount), Room::Ready);
            if first > now {
                assert_eq!(meter.check(at(first - 1), amount), Room::NotBefore(at(first)));
            }
            if amount > 0 {
                assert_eq!(meter.earliest(at(now), 0, amount), Some(at(first)));
            }
        }
        assert_eq!(meter.check(at(now), u64::from(self.count) + 1), Room::Never);
    }

    /// Runs the steps; what every answer was is the outcome.
    fn run(&self, algorithm: Algorithm) -> (Vec<Charged>, Vec<u64>) {
        let mut meter = self.meter(algorithm);
        let (mut now, mut charged, mut seen) = (1_000_u64, Vec::<Charged>::new(), Vec::new());
        for &(passed, step) in &self.steps {
            now += passed;
            let (wanted, delivery) = match step {
                Step::Charge(amount, delivery) if meter.check(at(now), amount.into()) == Room::Ready => (amount, delivery),
                Step::Wait(amount, delivery) if amount <= self.count => {
                    if let Room::NotBefore(first) = meter.check(at(now), amount.into()) {
                        now = first.as_nanos();
                    }
                    (amount, delivery)
                }
                Step::Refund(back, amount) => {
                    if let Some(charge) = charged.iter_mut().rev().nth(back) {
                        let given_back = meter.refund(at(charge.at), at(charge.at + charge.delivery), amount);
                        assert!(given_back <= amount);
                        charge.amount = charge.amount.checked_sub(given_back.into()).expect("no more than it was");
                        seen.push(given_back.into());
                    }
                    (0, 0)
                }
                Step::MadeUp(amount) => {
                    assert_eq!(meter.refund(at(now + 1), at(now + 2), amount), 0);
                    (0, 0)
                }
                Step::Charge(..) | Step::Wait(..) => (0, 0),
            };
            if wanted > 0 {
                // One name for one charge, as in the ledger.
                if charged.last().is_some_and(|last| last.at == now) {
                    now += 1;
                }
                meter.charge(at(now), at(now + delivery), wanted);
                charged.push(Charged { at: now, delivery, amount: wanted.into() });
            }
            self.assert_nobody_starves(&mut meter, now);
            seen.extend([now, meter.room(at(now)), meter.held(at(now)), meter.empty_at().as_nanos()]);
            seen.extend(meter.earliest(at(now), 3, 1).map(Timestamp::as_nanos));
        }
        let empty_at = meter.empty_at();
        assert_eq!(meter.held(empty_at), 0);
        if empty_at > at(now) {
            assert!(meter.room(at(empty_at.as_nanos() - 1)) < u64::from(self.count), "{algorithm} is empty earlier");
        }
        assert_eq!(meter.room(empty_at.max(at(now))), u64::from(self.count));
        (charged, seen)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn never_more_than_the_bound_reaches_the_platform_and_nobody_starves(case in case(300_000, 200_000)) {
        for algorithm in Algorithm::ALL {
            let (charged, _) = case.run(algorithm);
            case.assert_within_bounds(algorithm, &charged);
        }
    }

    #[test]
    fn the_plain_algorithms_hold_their_bounds_too(case in case(0, 0)) {
        for algorithm in Algorithm::ALL {
            let (charged, _) = case.run(algorithm);
            case.assert_within_bounds(algorithm, &charged);
        }
    }

    #[test]
    fn all_buckets_answer_alike_with_and_without_margins(margins in case(300_000, 200_000), plain in case(0, 0)) {
        for case in [margins, plain] {
            let (_, expected) = case.run(Algorithm::GcraVirtual);
            for algorithm in [Algorithm::TokenBucket, Algorithm::LeakyBucket, Algorithm::GcraContinuous] {
                prop_assert_eq!(&case.run(algorithm).1, &expected, "{}", algorithm);
            }
            prop_assert_eq!(case.run(Algorithm::SlidingWindow).1, case.run(Algorithm::SlidingWindow).1);
        }
    }

    /// By its definition: no span from the latest arrival of an earlier charge until now may hold more than the bound.
    #[test]
    fn a_bucket_says_exactly_the_first_moment_at_which_no_span_is_over(case in case(300_000, 200_000)) {
        let (count, period) = (u128::from(case.count), u128::from(case.period()));
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.is_bucket()) {
            let (mut meter, mut now, mut charged) = (case.meter(algorithm), 5_u64, Vec::<Charged>::new());
            for &(passed, step) in &case.steps {
                now += passed;
                let (Step::Charge(amount, delivery) | Step::Wait(amount, delivery)) = step else { continue };
                if amount > case.count {
                    continue;
                }
                let wanted = u128::from(amount);
                let spans = (0..charged.len()).map(|first| {
                    let units: u64 = charged[first..].iter().map(|charge| charge.amount).sum();
                    let begin = charged[first].at + charged[first].delivery + case.guard;
                    (u128::from(begin) * count + (u128::from(units) + wanted) * period).saturating_sub(count * period).div_ceil(count)
                });
                let first = spans.max().unwrap_or(0);
                let expected = if first <= u128::from(now) { Room::Ready } else { Room::NotBefore(at(u64::try_from(first).unwrap())) };
                prop_assert_eq!(meter.check(at(now), amount.into()), expected, "{}", algorithm);
                if let Room::NotBefore(first) = expected {
                    now = first.as_nanos();
                }
                meter.charge(at(now), at(now + delivery), amount);
                charged.push(Charged { at: now, delivery, amount: amount.into() });
            }
        }
    }

    /// Each of those in front on its own, as early as it may go.
    #[test]
    fn a_bucket_promises_no_moment_later_than_that_at_which_it_serves(case in case(0, 200_000), ahead in 0..12_u64, amount in 1..7_u32) {
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.is_bucket() && amount <= case.count) {
            let (mut meter, mut now) = (case.meter(algorithm), 0);
            for &(passed, step) in &case.steps {
                now += passed;
                if let Step::Charge(amount, _) = step && meter.check(at(now), amount.into()) == Room::Ready {
                    meter.charge(at(now), at(now), amount);
                }
            }
            let promised = meter.earliest(at(now), ahead, amount.into()).unwrap();
            let mut granted = at(now);
            for cost in std::iter::repeat_n(1, usize::try_from(ahead).unwrap()).chain([amount]) {
                if let Room::NotBefore(first) = meter.check(granted, cost.into()) {
                    granted = first;
                }
                meter.charge(granted, granted, cost);
            }
            prop_assert!(promised <= granted, "{} promises {:?} and serves at {:?}", algorithm, promised, granted);
            if case.guard == 0 {
                prop_assert_eq!(promised, granted);
            }
        }
    }
}

#[test]
fn a_bucket_takes_a_now_before_the_last_charge_for_that_one() {
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.is_bucket()) {
        let case = Case { count: 4, window: 2_000_000, guard: 0, steps: Vec::new() };
        let mut meter = case.meter(algorithm);
        meter.charge(at(5_000_000), at(5_000_000), 3);
        for amount in 0..=4 {
            assert_eq!(meter.check(at(7), amount), meter.check(at(5_000_000), amount), "{algorithm}");
        }
        assert_eq!((meter.room(at(7)), meter.held(at(7))), (1, 3));
        meter.charge(at(7), at(7), 1);
        assert_eq!(meter.check(at(5_000_000), 1), Room::NotBefore(at(5_500_000)), "{algorithm}");
    }
}

#[test]
fn a_refund_gives_back_what_has_not_leaked_the_oldest_first_and_only_once() {
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.is_bucket()) {
        let case = Case { count: 10, window: 10_000_000, guard: 0, steps: Vec::new() };
        let mut meter = case.meter(algorithm);
        let refund =
            |meter: &mut Meter<_>, millis: u64, amount| meter.refund(at(millis * 1_000_000), at(millis * 1_000_000), amount);
        meter.charge(at(0), at(0), 6);
        // Four of the six have leaked when two more come.
        meter.charge(at(4_000_000), at(4_000_000), 2);
        assert_eq!(meter.held(at(4_000_000)), 4);
        assert_eq!(refund(&mut meter, 1, 1), 0, "{algorithm}: nothing was charged then");
        assert_eq!(refund(&mut meter, 0, 6), 2, "{algorithm}: what had not leaked");
        assert_eq!(refund(&mut meter, 0, 6), 0, "{algorithm}: it is back already");
        assert_eq!(refund(&mut meter, 4, 1), 1);
        assert_eq!(refund(&mut meter, 4, 2), 1);
        assert_eq!(refund(&mut meter, 4, 2), 0);
        assert_eq!(meter.room(at(4_000_000)), 10);
    }
}
