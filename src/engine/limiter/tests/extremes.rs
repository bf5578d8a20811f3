//! Near the ends of the integers.

use std::time::Duration;

use crate::engine::algorithm::Algorithm;
use crate::engine::limiter::{Meter, Room};
use crate::engine::rate::RateLimit;
use crate::engine::time::{Local, Timestamp};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

const END: Timestamp = Timestamp::from_nanos(u64::MAX);

fn meter(algorithm: Algorithm, count: u32, window: Duration) -> Meter<Local> {
    Meter::plain(&RateLimit::new(count, window).unwrap().by(algorithm))
}

fn before(moment: Timestamp, nanos: u64) -> Timestamp {
    Timestamp::from_nanos(moment.as_nanos() - nanos)
}

#[test]
fn the_largest_limit_is_counted_exactly() {
    for algorithm in Algorithm::ALL {
        let mut meter = meter(algorithm, u32::MAX, WEEK);
        let now = before(END, 2_000_000_000_000_000);
        meter.charge(now, now, u32::MAX);
        assert_eq!((meter.room(now), meter.held(now)), (0, u64::from(u32::MAX)), "{algorithm}");
        let empty_at = now + WEEK;
        assert_eq!(meter.check(now, u32::MAX.into()), Room::NotBefore(empty_at), "{algorithm}");
        assert_eq!(meter.empty_at(), empty_at);
        assert_eq!(meter.earliest(now, u64::MAX, 1), Some(END), "{algorithm}");
        assert_eq!(meter.refund(now, now, u32::MAX), u32::MAX);
        assert_eq!(meter.room(now), u64::from(u32::MAX), "{algorithm}");
    }
}

#[test]
fn where_the_time_line_ends_nothing_goes_that_would_have_to_wait() {
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.is_bucket()) {
        let mut meter = meter(algorithm, 2, WEEK);
        meter.charge(before(END, 5), END, 2);
        for now in [Timestamp::ZERO, before(END, 5), END] {
            assert_eq!(meter.check(now, 1), Room::Never, "{algorithm}");
            assert_eq!(meter.room(now), 0);
        }
        assert_eq!((meter.empty_at(), meter.earliest(END, 5, 1)), (END, Some(END)));
    }
}

#[test]
fn more_than_the_limit_again_and_again_stays_at_the_end() {
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.is_bucket()) {
        let mut meter = meter(algorithm, 1, WEEK);
        for _ in 0..100_000 {
            meter.charge(END, END, u32::MAX);
        }
        assert_eq!((meter.room(END), meter.empty_at()), (0, END), "{algorithm}");
        assert_eq!(meter.check(END, 1), Room::Never);
        assert!(meter.held(END) >= u64::from(u32::MAX) * 100_000, "{algorithm}");
    }
}
