//! What a limit takes, and what its margins cost.

use super::*;

#[test]
fn a_bad_limit_is_refused_with_the_value_and_the_rule() {
    let second = Duration::from_secs(1);
    assert_eq!(RateLimit::new(0, second).unwrap_err(), InvalidInput::ZeroCount);
    for window in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(604_801)] {
        assert_eq!(RateLimit::new(1, window).unwrap_err(), InvalidInput::WindowOutOfRange { window });
    }
    for window in [Duration::from_millis(1), Duration::from_secs(604_800)] {
        assert_eq!(RateLimit::new(u32::MAX, window).unwrap().window(), window);
    }
    let long = Duration::from_secs(61);
    let error = RateLimit::new(1, second).unwrap().with_guard(long).unwrap_err();
    assert_eq!(error.to_string(), "guard is 61s: it takes 0s to 60s");
    assert_eq!(Limits::new([]).unwrap_err(), InvalidInput::LimitCount { count: 0 });
}

#[test]
fn the_margin_leaves_a_saturated_connection_its_stated_share() {
    for (seconds, share_in_thousandths) in [(1, 970), (5, 985), (60, 996)] {
        let limit = RateLimit::new(1, Duration::from_secs(seconds)).unwrap();
        let counted = limit.span() + limit.delivery_bound();
        let share = (limit.window().as_nanos() * 1000 + counted.as_nanos() / 2) / counted.as_nanos();
        assert_eq!(share, share_in_thousandths, "window of {seconds} s");
    }
}

#[test]
fn a_margin_that_is_set_replaces_the_default_and_zero_accepts_the_jitter() {
    let limit = RateLimit::new(1, Duration::from_secs(1)).unwrap();
    let bare = limit.with_guard(Duration::ZERO).unwrap().with_delivery_bound(Duration::ZERO).unwrap();
    assert_eq!((bare.span(), bare.delivery_bound()), (limit.window(), Duration::ZERO));
}

#[test]
fn a_bucket_comes_back_slower_than_its_window_by_what_clocks_may_differ_unless_it_accepts_the_jitter() {
    for algorithm in Algorithm::ALL {
        let limit = RateLimit::new(1, Duration::from_secs(2)).unwrap().by(algorithm);
        let bare = limit.with_guard(Duration::ZERO).unwrap();
        assert_eq!((bare.period(), bare.span()), (limit.window(), limit.window()), "{algorithm}");
        let longer = if algorithm.is_bucket() { Duration::from_millis(1) } else { Duration::ZERO };
        assert_eq!(limit.period(), limit.window() + longer, "{algorithm}");
        assert_eq!(limit.span(), limit.period() + limit.guard(), "{algorithm}");
    }
}

#[test]
fn a_limit_reads_as_its_numbers_and_the_algorithm_that_is_not_the_default() {
    let limit = RateLimit::new(20, Duration::from_secs(2)).unwrap();
    assert_eq!(limit.to_string(), "20 per 2s");
    assert_eq!(limit.by(Algorithm::LeakyBucket).to_string(), "20 per 2s by leaky_bucket");
}
