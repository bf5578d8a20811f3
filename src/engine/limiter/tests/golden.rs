//! The grant times of the specification, to the nanosecond.

use std::time::Duration;

use crate::engine::algorithm::Algorithm;
use crate::engine::limiter::{Call, NoTime, grant_times};
use crate::engine::rate::RateLimit;

/// The grants of `count` calls, in milliseconds: amounts repeat, and each call is made `gap` milliseconds after the grant before.
fn grants(limit: (u32, u64), algorithm: Algorithm, count: usize, amounts: &[u32], gap: u64) -> Vec<u64> {
    let limit = RateLimit::new(limit.0, Duration::from_millis(limit.1)).unwrap().by(algorithm);
    let calls = amounts.iter().cycle().take(count).enumerate();
    let calls = calls.map(|(place, &amount)| {
        let after = if place == 0 { Duration::ZERO } else { Duration::from_millis(gap) };
        Call { amount, after }
    });
    let nanos = grant_times(&limit, calls).unwrap().into_iter().map(|at| at.as_nanos());
    nanos.inspect(|at| assert_eq!(at % 1_000_000, 0, "{algorithm} at {at} ns")).map(|at| at / 1_000_000).collect()
}

#[test]
fn all_buckets_grant_at_the_times_of_the_specification() {
    type Row = ((u32, u64), usize, &'static [u32], u64, &'static [u64]);
    let rows: [Row; 7] = [
        ((4, 2000), 10, &[1], 0, &[0, 0, 0, 0, 500, 1000, 1500, 2000, 2500, 3000]),
        ((4, 2000), 10, &[1], 300, &[0, 300, 600, 900, 1200, 1500, 1800, 2100, 2500, 3000]),
        ((3, 1500), 12, &[1], 0, &[0, 0, 0, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500]),
        ((10, 5000), 12, &[1, 2], 0, &[0, 0, 0, 0, 0, 0, 0, 1000, 1500, 2500, 3000, 4000]),
        ((3, 3000), 7, &[1, 3, 2, 1, 2, 3, 1], 0, &[0, 1000, 3000, 4000, 6000, 9000, 10_000]),
        ((2, 200), 6, &[1], 0, &[0, 0, 100, 200, 300, 400]),
        ((2, 200), 6, &[1, 2], 0, &[0, 100, 200, 400, 500, 700]),
    ];
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.is_bucket()) {
        for (limit, count, amounts, gap, expected) in rows {
            assert_eq!(grants(limit, algorithm, count, amounts, gap), expected, "{algorithm} of {limit:?}: {amounts:?}");
        }
    }
}

#[test]
fn a_window_grants_a_whole_count_at_once_and_the_next_a_window_later() {
    let window = Algorithm::SlidingWindow;
    assert_eq!(grants((4, 2000), window, 10, &[1], 0), [0, 0, 0, 0, 2000, 2000, 2000, 2000, 4000, 4000]);
    assert_eq!(grants((3, 3000), window, 7, &[1, 3, 2, 1, 2, 3, 1], 0), [0, 3000, 6000, 6000, 9000, 12_000, 15_000]);
}

#[test]
fn a_thousand_units_of_three_a_second_do_not_drift() {
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.is_bucket()) {
        let limit = RateLimit::new(3, Duration::from_secs(1)).unwrap().by(algorithm);
        let times = grant_times(&limit, [Call { amount: 1, after: Duration::ZERO }; 1003]).unwrap();
        for (unit, at) in (0_u64..).zip(times.iter().skip(3)) {
            assert_eq!(at.as_nanos(), ((unit + 1) * 1_000_000_000).div_ceil(3), "{algorithm}, unit {unit}");
        }
    }
}

#[test]
fn a_call_that_has_no_time_is_told_apart() {
    for algorithm in Algorithm::ALL {
        let limit = RateLimit::new(4, Duration::from_secs(2)).unwrap().by(algorithm);
        let call = |amount, after| Call { amount, after };
        let over = grant_times(&limit, [call(5, Duration::ZERO)]);
        assert_eq!(over, Err(NoTime::OverCapacity { amount: 5, capacity: 4 }));
        let end = Duration::from_nanos(u64::MAX);
        for late in [Duration::MAX, end + Duration::from_nanos(1)] {
            let beyond = grant_times(&limit, [call(1, Duration::ZERO), call(1, late)]);
            assert_eq!(beyond, Err(NoTime::BeyondTime { place: 2 }), "{algorithm}");
        }
        let nothing = grant_times(&limit, [call(4, Duration::ZERO), call(0, Duration::ZERO)]).unwrap();
        assert!(nothing.iter().all(|at| at.as_nanos() == 0), "a call of nothing waits for nothing");
    }
}
