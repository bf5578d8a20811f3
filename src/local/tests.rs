//! Threads that share a limit. They are waited for by conditions, and each asserts moments that can only be too late.

use std::sync::Arc;
use std::sync::mpsc;

use super::*;
use crate::engine::algorithm::Algorithm;
use crate::engine::cost::Dimension;

fn limiter(algorithm: Algorithm, count: u32, millis: u64) -> LocalLimiter {
    LocalLimiter::new(RateLimit::new(count, Duration::from_millis(millis)).unwrap().by(algorithm))
}

#[expect(clippy::disallowed_methods, reason = "a test of spans of time reads the clock")]
fn now() -> Instant {
    Instant::now()
}

/// Until so many wait.
fn until_waiting(limiter: &LocalLimiter, count: usize) {
    while limiter.lock().waiting() < count {
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
    // A window: of a bucket a slot that comes back behind a later one has begun to leak.
    let limiter = Arc::new(limiter(Algorithm::SlidingWindow, 2, 3_600_000));
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

/// The worst lateness of a grant, when this many calls of these amounts are made one after another.
fn lateness(algorithm: Algorithm, amounts: &[u32], expected_millis: &[u64]) -> Duration {
    let limiter = limiter(algorithm, 2, 200);
    let began = now();
    let each = amounts.iter().cycle().zip(expected_millis).map(|(amount, expected)| {
        limiter.acquire(*amount).unwrap();
        let (at, expected) = (began.elapsed(), Duration::from_millis(*expected));
        assert!(at >= expected, "{algorithm}: {at:?} is earlier than {expected:?}");
        at - expected
    });
    each.max().unwrap_or_default()
}

#[test]
fn the_times_of_the_specification_hold_on_a_real_clock_within_5_ms() {
    // Of several runs one at least: other tests share the machine.
    let holds = |algorithm| {
        (0..10).any(|_| {
            let ones = lateness(algorithm, &[1], &[0, 0, 100, 200, 300, 400]);
            let mixed = lateness(algorithm, &[1, 2], &[0, 100, 200, 400, 500, 700]);
            ones.max(mixed) <= Duration::from_millis(5)
        })
    };
    let buckets = Algorithm::ALL.into_iter().filter(|algorithm| algorithm.is_bucket());
    let runs: Vec<_> = buckets.map(|algorithm| thread::spawn(move || (algorithm, holds(algorithm)))).collect();
    for run in runs {
        let (algorithm, holds) = run.join().unwrap();
        assert!(holds, "{algorithm}: later than 5 ms in ten runs");
    }
}

/// 100 requests and 100 tokens an hour.
fn model() -> LocalLimiter {
    let hourly = RateLimit::new(100, Duration::from_secs(3600)).unwrap();
    LocalLimiter::new(hourly).and_limit(hourly.counting(Dimension::Tokens)).unwrap()
}

#[test]
fn requests_and_tokens_are_taken_together_and_what_was_taken_counts() {
    let limiter = model();
    let granted = limiter.acquire_all(Cost::ONE.with_tokens(60), None).unwrap();
    assert!(limiter.try_acquire_all(Cost::ONE.with_tokens(41)).is_err());
    granted.reconcile(20);
    let granted = limiter.try_acquire_all(Cost::ONE.with_tokens(80)).unwrap();
    granted.reconcile(500);
    let unsaid = limiter.try_acquire(1);
    assert!(matches!(unsaid, Err(LocalError::NotNow { .. })), "a call that estimates nothing takes a token: {unsaid:?}");
    let over = limiter.try_acquire_all(Cost::ONE.with_tokens(101)).unwrap_err();
    assert_eq!(over, LocalError::OverCapacity { amount: 101, capacity: 100 });
}

#[cfg(feature = "local-async")]
#[tokio::test]
async fn tasks_wait_in_one_queue_with_threads_and_a_future_that_is_dropped_leaves_it() {
    let limiter = Arc::new(limiter(Algorithm::SlidingWindow, 2, 3_600_000));
    let held = limiter.acquire_async(2).await.unwrap();
    let timeout = Duration::from_millis(5);
    let waited = limiter.acquire_all_async(Cost::of(1), Some(timeout)).await.map(drop);
    assert_eq!(waited, Err(LocalError::TimedOut { timeout }));
    assert_eq!(limiter.lock().waiting(), 0);
    let of_it = Arc::clone(&limiter);
    let task = tokio::spawn(async move { of_it.acquire_async(1).await.map(drop) });
    while limiter.lock().waiting() < 1 {
        tokio::task::yield_now().await;
    }
    let of_it = Arc::clone(&limiter);
    let behind = thread::spawn(move || of_it.acquire(1).map(drop));
    while limiter.lock().waiting() < 2 {
        tokio::task::yield_now().await;
    }
    held.give_back();
    assert_eq!(task.await.unwrap(), Ok(()));
    assert_eq!(behind.join().unwrap(), Ok(()));
}
