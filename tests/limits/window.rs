//! The sliding window against an oracle that keeps every stamp.

use std::time::Duration;

use proptest::prelude::*;
use turnstile::engine::limiter::{MAX_RUNS, Room, SlidingWindow};
use turnstile::engine::time::{Local, Timestamp};

use crate::{LARGE_WINDOW_CASES, WINDOW_CASES, cases};

/// A charge: when it was made, from when it counts, what is left of it.
#[derive(Debug, Clone, Copy)]
struct Stamp {
    charged_at: u64,
    from: u64,
    amount: u64,
}

/// Everything that was ever charged.
struct Oracle {
    count: u64,
    span: u64,
    stamps: Vec<Stamp>,
}

impl Oracle {
    fn held(&self, now: u64) -> u64 {
        self.stamps.iter().filter(|stamp| stamp.from + self.span > now).map(|stamp| stamp.amount).sum()
    }

    /// Tries every moment at which something leaves.
    fn check(&self, now: u64, amount: u64) -> Room<Timestamp> {
        if amount > self.count {
            return Room::Never;
        }
        let mut moments: Vec<u64> = self.stamps.iter().map(|stamp| stamp.from + self.span).filter(|at| *at > now).collect();
        moments.push(now);
        moments.sort_unstable();
        let free_at = moments.into_iter().find(|&at| self.held(at) + amount <= self.count).expect("at last it is empty");
        if free_at > now { Room::NotBefore(Timestamp::from_nanos(free_at)) } else { Room::Ready }
    }

    /// Of charges that count from the same moment by chance, only the last one can be named.
    fn refund(&mut self, charged_at: u64, from: u64, amount: u64) -> u64 {
        if self.stamps.iter().any(|stamp| stamp.from == from && stamp.charged_at > charged_at) {
            return 0;
        }
        let mut left = amount;
        for stamp in self.stamps.iter_mut().filter(|stamp| (stamp.charged_at, stamp.from) == (charged_at, from)) {
            let taken = left.min(stamp.amount);
            (stamp.amount, left) = (stamp.amount - taken, left - taken);
        }
        amount - left
    }

    /// When the last of `ahead` single units and then `amount` at once are charged, if each goes as early as it may.
    fn served_at(&self, now: u64, ahead: u64, amount: u64, delivery: u64) -> u64 {
        let mut served = Self { count: self.count, span: self.span, stamps: self.stamps.clone() };
        let mut at = now;
        for cost in std::iter::repeat_n(1, usize::try_from(ahead).unwrap()).chain([amount]) {
            if let Room::NotBefore(later) = served.check(at, cost) {
                at = later.as_nanos();
            }
            served.stamps.push(Stamp { charged_at: at, from: at + delivery, amount: cost });
        }
        at
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Charges this much if there is room, to count from a little before the usual delivery on.
    Charge(u32, u64),
    /// Gives this much back of an earlier charge, counted from the last one.
    Refund(usize, u32),
    /// Gives back what was never charged under this name.
    MadeUp(u64, u64, u32),
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        6 => (1..5_u32, 0..3_u64).prop_map(|(amount, faster)| Step::Charge(amount, faster)),
        2 => (0..4_usize, 1..4_u32).prop_map(|(back, amount)| Step::Refund(back, amount)),
        1 => (0..40_u64, 0..40_u64, 1..4_u32).prop_map(|(at, from, amount)| Step::MadeUp(at, from, amount)),
    ];
    prop::collection::vec((0..6_u64, step), 1..30)
}

const fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

proptest! {
    #![proptest_config(cases(WINDOW_CASES))]

    #[test]
    fn a_window_of_up_to_1024_stamps_agrees_with_an_oracle_that_keeps_every_stamp(
        count in 1..10_u32,
        span in 1..25_u64,
        delivery in 0..4_u64,
        steps in steps(),
        ahead in 0..12_u64,
    ) {
        let mut window: SlidingWindow<Local> = SlidingWindow::new(count, Duration::from_nanos(span));
        let mut oracle = Oracle { count: u64::from(count), span, stamps: Vec::new() };
        let mut now = 0;
        for (passed, step) in steps {
            now += passed;
            for amount in 0..=u64::from(count) + 1 {
                prop_assert_eq!(window.check(at(now), amount), oracle.check(now, amount), "amount {} at {}", amount, now);
            }
            match step {
                Step::Charge(amount, faster) if window.check(at(now), amount.into()) == Room::Ready => {
                    let from = now + delivery.saturating_sub(faster);
                    window.charge(at(now), at(from), amount);
                    oracle.stamps.push(Stamp { charged_at: now, from, amount: amount.into() });
                }
                Step::Charge(..) => {}
                Step::Refund(back, amount) => {
                    let named = oracle.stamps.iter().rev().nth(back).copied();
                    if let Some(Stamp { charged_at, from, .. }) = named.filter(|stamp| stamp.from + span > now) {
                        window.room(at(now));
                        let expected = oracle.refund(charged_at, from, amount.into());
                        prop_assert_eq!(u64::from(window.refund(at(charged_at), at(from), amount)), expected);
                    }
                }
                Step::MadeUp(charged_at, from, amount) => {
                    if !oracle.stamps.iter().any(|stamp| (stamp.charged_at, stamp.from) == (charged_at, from)) {
                        prop_assert_eq!(window.refund(at(charged_at), at(from), amount), 0);
                    }
                }
            }
            let free = u64::from(count) - oracle.held(now);
            prop_assert_eq!(window.room(at(now)), free);
            prop_assert_eq!(window.held(), oracle.held(now));
        }
        for amount in 1..=u64::from(count) {
            let earliest = window.earliest(at(now), ahead, amount).expect("it fits the limit");
            let served = oracle.served_at(now, ahead, amount, delivery);
            prop_assert!(earliest <= at(served), "{:?} is later than {} for {} behind {}", earliest, served, amount, ahead);
            if ahead == 0 {
                prop_assert_eq!(earliest, at(served));
            }
        }
        prop_assert_eq!(window.earliest(at(now), ahead, u64::from(count) + 1), None);
        window.room(window.empty_at().max(at(now)));
        prop_assert_eq!(window.held(), 0);
    }
}

proptest! {
    #![proptest_config(cases(LARGE_WINDOW_CASES))]

    #[test]
    fn a_window_of_more_stamps_holds_each_at_least_its_span_and_at_most_a_256th_longer(
        span in 100_000..10_000_000_u64,
        delivery_per_mille in 0..20_u64,
        gaps in prop::collection::vec(1..30_u64, 40),
        amount in 1..4_u32,
    ) {
        let delivery = span * delivery_per_mille / 1000;
        let count = 1_000_000;
        let mut window: SlidingWindow<Local> = SlidingWindow::new(count, Duration::from_nanos(span));
        let (mut now, mut stamps) = (0, Vec::new());
        // About three windows of charges, up to 3,000 in each.
        let unit = (span / 3_000 / 15).max(1);
        for gap in gaps.iter().cycle().take(4_500) {
            now += gap * unit;
            window.charge(at(now), at(now + delivery), amount);
            stamps.push(now + delivery);
        }
        let each = u64::from(amount);
        let still_held = |longer: u64| each * u64::try_from(stamps.iter().filter(|from| **from + span + longer > now).count()).unwrap();
        let slack = (span + delivery) / 256 + 1;
        prop_assert!(stamps.len() > MAX_RUNS);
        prop_assert!(window.held() >= still_held(0), "held {} of {}", window.held(), still_held(0));
        prop_assert!(window.held() <= still_held(slack), "held {} of {}", window.held(), still_held(slack));
        prop_assert_eq!(window.room(at(now)), u64::from(count) - window.held());
        let all = u64::from(count);
        let last_leaves = at(now + delivery + span);
        prop_assert_eq!(window.check(at(now), all), Room::NotBefore(last_leaves));
        prop_assert_eq!(window.check(last_leaves, all), Room::Ready);
    }
}
