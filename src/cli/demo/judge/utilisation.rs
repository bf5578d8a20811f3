//! How much of its limit a saturated connection got, and how much its margins let it have.
//!
//! Both are ratios of times to the same number of grants: the time a platform's bare limits need,
//! divided by the time it took, and by the time the limits need when each window is longer by the
//! margin. For one limit of N per W over k whole windows that is k·W / (start(k·N) − start(0)) and
//! W / (W + margin).

use std::time::Duration;

use crate::cli::connections::Limit;

/// Fewer whole windows than this say nothing: a late first or last grant would weigh too much.
const FEWEST_WINDOWS: u32 = 3;

/// A measured and an expected share of the limit, each above 0; 1 is every slot at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Utilisation {
    /// From the starts.
    pub(crate) measured: f64,
    /// From the margins.
    pub(crate) expected: f64,
}

impl Utilisation {
    /// How far the measurement is from what was expected.
    pub(crate) fn distance(&self) -> f64 {
        (self.measured - self.expected).abs()
    }
}

/// Measures over whole windows. `starts` must ascend; `widened` are the limits with each window longer by
/// its margin; the load ended at `until`.
///
/// With several limits the counts of the longer ones are taken to be multiples of the smallest.
/// `None` if the run covered too few whole windows.
pub(super) fn measure(limits: &[Limit], widened: &[Limit], starts: &[Duration], until: Duration) -> Option<Utilisation> {
    let smallest = limits.iter().min_by_key(|limit| limit.requests)?;
    let cycle = usize::try_from(smallest.requests.get()).ok()?;
    let first = starts.first().copied().unwrap_or_default();
    let last = starts.len().saturating_sub(1) / cycle * cycle;
    let next = last + cycle;
    let took = starts.get(last).map_or(Duration::ZERO, |start| start.saturating_sub(first));
    let lasted = until.saturating_sub(first);

    let bare = ideal(limits, last)?;
    let enough = smallest.window * FEWEST_WINDOWS;
    let stalled = lasted > ideal(widened, next)? + enough;
    if lasted.is_zero() || (bare < enough && !stalled) {
        return None;
    }
    // The next cycle has not ended by `until`: if it is late, that counts too, or a connection that
    // stops being served would look as good as it was before.
    let at_most = ideal(limits, next)?.div_duration_f64(lasted);
    let whole = if took.is_zero() { f64::INFINITY } else { bare.div_duration_f64(took) };
    Some(Utilisation {
        measured: whole.min(at_most),
        expected: match ideal(widened, last.max(cycle))? {
            Duration::ZERO => return None,
            longer => ideal(limits, last.max(cycle))?.div_duration_f64(longer),
        },
    })
}

/// The time from the first grant to the one numbered `last` when every slot is taken at once.
fn ideal(limits: &[Limit], last: usize) -> Option<Duration> {
    let mut times: Vec<Duration> = Vec::with_capacity(last + 1);
    // When each limit would be empty if it was a bucket.
    let mut empty_at = vec![Duration::ZERO; limits.len()];
    for number in 0..=last {
        let free = limits.iter().zip(&empty_at).filter_map(|(limit, empty_at)| {
            if limit.algorithm.is_bucket() {
                return Some(empty_at.saturating_sub(limit.window - limit.window / limit.requests.get()));
            }
            let count = usize::try_from(limit.requests.get()).ok()?;
            let before = *times.get(number.checked_sub(count)?)?;
            Some(before + limit.window)
        });
        let time = free.max().unwrap_or(Duration::ZERO);
        for (limit, empty_at) in limits.iter().zip(&mut empty_at) {
            *empty_at = time.max(*empty_at) + limit.window / limit.requests.get();
        }
        times.push(time);
    }
    times.last().copied()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::engine::algorithm::Algorithm;

    /// The load ends before the next window could be missed.
    const SOON: Duration = Duration::from_secs(5);

    fn limit(requests: u32, seconds: u64) -> Limit {
        let (requests, window) = (NonZeroU32::new(requests).expect("above zero"), Duration::from_secs(seconds));
        Limit { requests, window, algorithm: Algorithm::SlidingWindow }
    }

    fn millis(all: &[u64]) -> Vec<Duration> {
        all.iter().copied().map(Duration::from_millis).collect()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_single_limit_is_measured_over_whole_windows() {
        // Two a second with a margin of 30 ms; the ninth start opens a fifth, incomplete window.
        let starts = millis(&[0, 400, 1030, 1430, 2060, 2460, 3090, 3490, 4120, 4999]);
        let widened = Limit { window: Duration::from_millis(1030), ..limit(2, 1) };
        let got = measure(&[limit(2, 1)], &[widened], &starts, SOON).expect("four windows");
        assert!(close(got.measured, 4.0 / 4.12), "{got:?}");
        assert!(close(got.expected, 1.0 / 1.03), "{got:?}");
    }

    #[test]
    fn a_bucket_is_measured_by_its_rate_after_its_burst() {
        let bucket = Limit { algorithm: Algorithm::LeakyBucket, ..limit(2, 1) };
        assert_eq!(ideal(&[bucket], 1), Some(Duration::ZERO));
        assert_eq!(ideal(&[bucket], 9), Some(Duration::from_secs(4)));
        let starts = millis(&[0, 0, 500, 1000, 1500, 2000, 2500, 3000, 3500]);
        let got = measure(&[bucket], &[bucket], &starts, Duration::from_secs(4)).expect("three windows");
        assert!(close(got.measured, 1.0) && close(got.expected, 1.0), "{got:?}");
    }

    #[test]
    fn a_run_of_few_windows_is_not_judged() {
        let starts = millis(&[0, 1030, 2060]);
        assert_eq!(measure(&[limit(1, 1)], &[limit(1, 1)], &starts, Duration::from_secs(3)), None);
        assert_eq!(measure(&[limit(1, 1)], &[limit(1, 1)], &[], Duration::from_secs(3)), None);
    }

    #[test]
    fn a_connection_that_is_not_served_any_more_is_not_as_good_as_it_was() {
        let starts = millis(&[0, 1000, 2000, 3000]);
        let until = Duration::from_secs(8);
        let got = measure(&[limit(1, 1)], &[limit(1, 1)], &starts, until).expect("three windows");
        assert!(close(got.measured, 0.5), "{got:?}");
        let got = measure(&[limit(1, 1)], &[limit(1, 1)], &[], until).expect("it stalled");
        assert!(close(got.measured, 0.125), "{got:?}");
    }

    #[test]
    fn starts_in_one_instant_are_not_divided_by() {
        let got = measure(&[limit(1, 1)], &[limit(1, 1)], &millis(&[7; 9]), SOON).expect("eight windows");
        assert!(got.measured.is_finite() && got.distance() > 0.5, "{got:?}");
    }

    #[test]
    fn the_long_limit_of_two_holds_the_fast_one_back() {
        // 2 per 1 s and 4 per 10 s, no margin: two bursts, then nothing until 10 s.
        let limits = [limit(2, 1), limit(4, 10)];
        assert_eq!(ideal(&limits, 2), Some(Duration::from_secs(1)));
        assert_eq!(ideal(&limits, 4), Some(Duration::from_secs(10)));
        assert_eq!(ideal(&limits, 8), Some(Duration::from_secs(20)));
        let starts = millis(&[0, 0, 1000, 1000, 10_000, 10_000, 11_000, 11_000, 20_000]);
        let got = measure(&limits, &limits, &starts, Duration::from_secs(20)).expect("many windows");
        assert!(close(got.measured, 1.0) && close(got.expected, 1.0), "{got:?}");
    }
}
