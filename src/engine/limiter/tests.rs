//! Several limits on one connection, changing limits, pauses, margins.

use std::time::Duration;

use super::*;
use crate::engine::cost::Dimension;

fn limit(count: u32, seconds: u64) -> RateLimit {
    let limit = RateLimit::new(count, Duration::from_secs(seconds)).unwrap();
    limit.with_delivery_bound(Duration::ZERO).unwrap().with_guard(Duration::ZERO).unwrap()
}

fn limits(stated: &[(u32, u64)]) -> Limits {
    Limits::new(stated.iter().map(|&(count, seconds)| limit(count, seconds))).unwrap()
}

fn at(millis: u64) -> LedgerTime {
    LedgerTime::from_nanos(millis * 1_000_000)
}

fn charged_at(millis: u64) -> Charge {
    Charge { stamp: at(millis), delivery: Duration::ZERO }
}

fn stated(limits: &Limits) -> Limiter {
    let mut limiter = Limiter::default();
    limiter.state(limits, at(0)).unwrap();
    limiter
}

#[test]
fn several_limits_are_charged_together_or_not_at_all() {
    let mut limiter = stated(&limits(&[(20, 2), (100, 30)]));
    for round in 0..5 {
        let now = at(round * 2000);
        assert_eq!(limiter.room(now).units, 20, "round {round}");
        limiter.charge(Charge { stamp: now, delivery: Duration::ZERO }, Cost::of(20));
    }
    assert_eq!(limiter.room(at(10_000)), Cost { units: 0, ..Cost::MAX });
    assert_eq!(limiter.check(at(10_000), Cost::ONE), Room::NotBefore(at(30_000)));
}

#[test]
fn each_limit_counts_its_own_dimension() {
    let tokens = limit(30_000, 60).counting(Dimension::Tokens);
    let mut limiter = stated(&Limits::new([limit(500, 60), tokens]).unwrap());
    limiter.charge(charged_at(0), Cost::of(1).with_tokens(29_000));
    assert_eq!(limiter.room(at(1)), Cost { units: 499, tokens: 1000, ..Cost::MAX });
    assert_eq!(limiter.check(at(1), Cost::of(1).with_tokens(1001)), Room::NotBefore(at(60_000)));
    assert_eq!(limiter.check(at(1), Cost::of(1).with_tokens(30_001)), Room::Never);
}

#[test]
fn of_differing_statements_the_strictest_of_the_last_window_rules() {
    let mut limiter = stated(&limits(&[(5, 60)]));
    limiter.state(&limits(&[(3, 60)]), at(1000)).unwrap();
    assert_eq!(limiter.room(at(1000)).units, 3);
    limiter.state(&limits(&[(5, 60)]), at(60_999)).unwrap();
    assert_eq!(limiter.room(at(60_999)).units, 3, "the stricter one was stated less than a window ago");
    limiter.state(&limits(&[(5, 60)]), at(61_000)).unwrap();
    assert_eq!(limiter.room(at(61_000)).units, 5);
}

#[test]
fn a_limit_that_changes_keeps_the_history_of_the_one_before() {
    let mut limiter = stated(&limits(&[(10, 60)]));
    limiter.charge(charged_at(1000), Cost::of(8));
    limiter.state(&limits(&[(9, 30)]), at(2000)).unwrap();
    assert_eq!(limiter.room(at(2000)).units, 1);
    limiter.state(&limits(&[(9, 30)]), at(61_000)).unwrap();
    assert_eq!(limiter.limits().collect::<Vec<_>>(), vec![limit(9, 30)]);
}

#[test]
fn more_rules_than_the_bound_are_refused_until_the_first_lapses() {
    let mut limiter = Limiter::default();
    for count in 1..=8 {
        limiter.state(&limits(&[(count, 60)]), at(u64::from(count))).unwrap();
    }
    assert_eq!(limiter.state(&limits(&[(9, 60)]), at(100)), Err(at(60_001)));
    assert_eq!(limiter.limits().count(), 8);
    limiter.state(&limits(&[(9, 60)]), at(60_001)).unwrap();
    assert_eq!(limiter.room(at(60_001)).units, 2);
}

#[test]
fn a_pause_lets_nothing_through_and_is_never_shortened() {
    let mut limiter = stated(&limits(&[(5, 1)]));
    limiter.pause(at(3000));
    limiter.pause(at(2000));
    assert_eq!(limiter.room(at(2500)), Cost::ZERO);
    assert_eq!(limiter.check(at(2500), Cost::ONE), Room::NotBefore(at(3000)));
    assert_eq!(limiter.room(at(3000)).units, 5);
    assert_eq!(limiter.empty_at(), at(3000));
}

#[test]
fn a_charge_counts_for_the_window_its_delivery_bound_and_the_guard() {
    let window = Duration::from_secs(1);
    let mut limiter = stated(&Limits::new([RateLimit::new(1, window).unwrap()]).unwrap());
    let delivery = limiter.delivery_bound(Duration::ZERO);
    assert_eq!(delivery, Duration::from_millis(20));
    limiter.charge(Charge { stamp: at(0), delivery }, Cost::ONE);
    let counted = Duration::from_micros(1_030_500);
    assert_eq!(limiter.check(at(1), Cost::ONE), Room::NotBefore(LedgerTime::ZERO + counted));
}

#[test]
fn a_charge_counts_for_a_window_after_its_delivery_at_most_by_any_algorithm() {
    for algorithm in crate::engine::algorithm::Algorithm::ALL {
        let limiter = stated(&Limits::new([limit(5, 1).by(algorithm)]).unwrap());
        let charge = Charge { stamp: at(0), delivery: Duration::from_millis(800) };
        assert_eq!(limiter.counts_until(charge), at(1800), "{algorithm}: a request is known for so long");
    }
}

#[test]
fn slow_deliveries_widen_the_bound_unless_every_limit_accepts_any_jitter() {
    let second = RateLimit::new(1, Duration::from_secs(1)).unwrap();
    let slow = Duration::from_millis(800);
    assert_eq!(stated(&Limits::new([second]).unwrap()).delivery_bound(slow), slow);
    assert_eq!(stated(&limits(&[(1, 1)])).delivery_bound(slow), Duration::ZERO);
}

mod changes;
mod every_algorithm;
mod extremes;
mod golden;
