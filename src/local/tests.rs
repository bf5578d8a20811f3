//! Threads that share a limit. They are waited for by conditions, and each asserts moments that can only be too late.

use std::sync::Arc;
use std::sync::mpsc;

use super::*;
use crate::engine::algorithm::Algorithm;

fn limiter(algorithm: Algorithm, count: u32, millis: u64) -> LocalLimiter {
    LocalLimiter::new(RateLimit::new(count, Duration::from_millis(millis)).unwrap().by(algorithm))
}

#[expect(clippy::disallowed_methods, reason = "a test of spans of time reads the clock")]
fn now() -> Instant {
    Instant::now()
}

/// Until so many wait.
fn until_waiting(limiter: &LocalLimiter, count: usize) {
    while limiter.lock().waiters.len() < count {
        thread::yield_now();
    }
}

#[test]
fn what_fits_goes_at_once_and_what_does_not_is_told_when_to_come_back() {
    for algorithm in Algorithm::ALL {
        let limiter = limiter(algorithm, 4, 3_600_000);
        limiter.acquire(3).unwrap();
        let refused = limiter.try_acquire(2).unwrap_err();
        let LocalError::NotNow { retry_after } = refused else { panic!("{refused:?}") };
        let least = if algorithm.is_bucket() { 800 } else { 3_500 };
        assert!(retry_after > Duration::from_secs(least), "{algorithm}: {retry_after:?}");
        limiter.try_acquire(1).unwrap().give_back();
        limiter.try_acquire(1).unwrap();
        limiter.try_acquire(0).unwrap();
        limiter.acquire(0).unwrap();
        assert_eq!(limiter.acquire(5).unwrap_err(), LocalError::OverCapacity { amount: 5, capacity: 4 });
    }
}

#[test]
fn a_wait_that_ends_by_its_timeout_leaves_no_charge_and_no_place() {
    let limiter = limiter(Algorithm::TokenBucket, 2, 3_600_000);
    let held = limiter.acquire(2).unwrap();
    let timeout = Duration::from_millis(5);
    assert_eq!(limiter.acquire_within(1, timeout).unwrap_err(), LocalError::TimedOut { timeout });
    held.give_back();
    limiter.try_acquire(2).unwrap();
}

#[test]
fn calls_are_spaced_as_the_algorithm_says_and_nobody_waits_for_ever() {
    for algorithm in Algorithm::ALL {
        let limiter = limiter(algorithm, 2, 20);
        let began = now();
        for _ in 0..6 {
            limiter.acquire(1).unwrap();
        }
        assert!(began.elapsed() >= Duration::from_millis(40), "{algorithm}");
    }
}

#[test]
fn a_large_one_in_front_holds_back_the_small_ones_behind_it() {
    let limiter = Arc::new(limiter(Algorithm::TokenBucket, 2, 3_600_000));
    let held = limiter.acquire(1).unwrap();
    let (told, order) = mpsc::channel();
    let waiters: Vec<_> = [(0, 2), (1, 1), (2, 1)]
        .map(|(place, amount)| {
            let (limiter_of_it, told) = (Arc::clone(&limiter), told.clone());
            let waiter = thread::spawn(move || {
                let granted = limiter_of_it.acquire(amount).unwrap();
                told.send(place).unwrap();
                granted.give_back();
            });
            until_waiting(&limiter, place + 1);
            waiter
        })
        .into();
    // One is free, which the second in the queue could use.
    assert!(matches!(limiter.try_acquire(1), Err(LocalError::NotNow { .. })));
    held.give_back();
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    assert_eq!(order.try_iter().collect::<Vec<_>>()[0], 0);
    limiter.try_acquire(2).unwrap();
}

#[test]
fn who_gives_up_in_front_lets_the_next_one_go() {
    let limiter = Arc::new(limiter(Algorithm::SlidingWindow, 2, 3_600_000));
    let _held = limiter.acquire(1).unwrap();
    let of_it = Arc::clone(&limiter);
    let large = thread::spawn(move || of_it.acquire_within(2, Duration::from_millis(30)).map(drop));
    until_waiting(&limiter, 1);
    limiter.acquire(1).unwrap();
    assert!(matches!(large.join().unwrap(), Err(LocalError::TimedOut { .. })));
}
