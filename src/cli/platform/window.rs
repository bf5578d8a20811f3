//! The emulator's window: what a platform counts when a call arrives.
//!
//! Promises: never more than `requests` accepted in any half-open window of any of its limits (those that are buckets: see there); a
//! refused call leaves no trace. Memory is one stamp per request of the largest limit.
//! Must not: read a clock, or share a line with the throttler it is there to check.

use std::collections::VecDeque;
use std::time::Duration;

use super::bucket::Bucket;
use crate::cli::connections::Limit;

/// The accepted calls of one connection, as far back as its limits look.
#[derive(Debug)]
pub(super) struct Window {
    rules: Vec<Rule>,
    /// Those limits that are buckets, and their places among all.
    buckets: Vec<(usize, Bucket)>,
    /// Ascending; at most as many as the largest limit counts.
    stamps: VecDeque<Duration>,
    kept: usize,
}

#[derive(Debug)]
struct Rule {
    is_bucket: bool,
    count: usize,
    window: Duration,
    /// The most stamps the window has held.
    worst: usize,
}

/// The platform's answer to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Counted.
    Accepted,
    /// Not counted; there is room after this long if nobody else comes.
    Refused {
        /// Above zero.
        retry_after: Duration,
    },
}

/// How full one limit's window has been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fill {
    /// The most calls any window held.
    pub(super) worst: usize,
    /// How many it may hold.
    pub(super) count: usize,
    /// Its length.
    pub(super) window: Duration,
}

impl Window {
    /// An empty window. `None` if a limit counts more than this machine can address.
    pub(super) fn new(limits: &[Limit]) -> Option<Self> {
        let rules = limits
            .iter()
            .map(|limit| {
                let count = usize::try_from(limit.requests.get()).ok()?;
                Some(Rule { is_bucket: limit.algorithm.is_bucket(), count, window: limit.window, worst: 0 })
            })
            .collect::<Option<Vec<_>>>()?;
        let kept = rules.iter().filter(|rule| !rule.is_bucket).map(|rule| rule.count).max().unwrap_or(0);
        let buckets = limits.iter().enumerate().filter(|(_, limit)| limit.algorithm.is_bucket());
        let buckets = buckets.map(|(place, limit)| (place, Bucket::new(limit.requests.get(), limit.window))).collect();
        Some(Self { rules, buckets, stamps: VecDeque::new(), kept })
    }

    /// Judges a call that arrives at `now`, which must not run backwards, and counts it if accepted.
    pub(super) fn arrive(&mut self, now: Duration) -> Decision {
        if let Some(retry_after) = self.wait(now) {
            return Decision::Refused { retry_after };
        }
        self.stamps.push_back(now);
        if self.stamps.len() > self.kept {
            self.stamps.pop_front();
        }
        let stamps = &self.stamps;
        for rule in self.rules.iter_mut().filter(|rule| !rule.is_bucket) {
            // Half open: a stamp exactly one window old has left.
            let left = stamps.partition_point(|stamp| *stamp + rule.window <= now);
            rule.worst = rule.worst.max(stamps.len() - left);
        }
        for (place, bucket) in &mut self.buckets {
            bucket.accept(now);
            self.rules.iter_mut().skip(*place).take(1).for_each(|rule| rule.worst = bucket.worst());
        }
        Decision::Accepted
    }

    /// How full each limit's window has been, in the order of the limits.
    pub(super) fn fills(&self) -> impl Iterator<Item = Fill> {
        self.rules.iter().map(|rule| Fill { worst: rule.worst, count: rule.count, window: rule.window })
    }

    /// The time until every limit has room, or `None` if all have now.
    fn wait(&self, now: Duration) -> Option<Duration> {
        let buckets = self.buckets.iter().map(|(_, bucket)| bucket.wait(now));
        self.rules
            .iter()
            .filter(|rule| !rule.is_bucket)
            .filter_map(|rule| {
                // With `count` or more stamps, room depends on the one that is `count` from the end.
                let oldest = self.stamps.len().checked_sub(rule.count)?;
                let leaves = *self.stamps.get(oldest)? + rule.window;
                leaves.checked_sub(now)
            })
            .chain(buckets)
            .max()
            .filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::algorithm::Algorithm;

    fn limit(requests: u32, millis: u64) -> Limit {
        let (requests, window) = (NonZeroU32::new(requests).expect("above zero"), Duration::from_millis(millis));
        Limit { requests, window, algorithm: Algorithm::SlidingWindow }
    }

    fn window(limits: &[Limit]) -> Window {
        Window::new(limits).expect("a small count")
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn refused(millis: u64) -> Decision {
        Decision::Refused { retry_after: at(millis) }
    }

    #[test]
    fn a_stamp_exactly_one_window_old_has_left() {
        let mut window = window(&[limit(1, 1000)]);
        assert_eq!(window.arrive(at(5)), Decision::Accepted);
        assert_eq!(window.arrive(at(1004)), refused(1));
        assert_eq!(window.arrive(at(1005)), Decision::Accepted);
    }

    #[test]
    fn two_in_one_instant_count_twice() {
        let mut window = window(&[limit(2, 1000)]);
        assert_eq!(window.arrive(at(7)), Decision::Accepted);
        assert_eq!(window.arrive(at(7)), Decision::Accepted);
        assert_eq!(window.arrive(at(7)), refused(1000));
    }

    #[test]
    fn a_refused_call_is_not_counted() {
        let mut window = window(&[limit(1, 100)]);
        assert_eq!(window.arrive(at(0)), Decision::Accepted);
        for millis in 1..100 {
            assert_eq!(window.arrive(at(millis)), refused(100 - millis));
        }
        assert_eq!(window.arrive(at(100)), Decision::Accepted);
    }

    #[test]
    fn all_limits_must_have_room() {
        let mut window = window(&[limit(2, 10), limit(3, 100)]);
        assert_eq!(window.arrive(at(0)), Decision::Accepted);
        assert_eq!(window.arrive(at(1)), Decision::Accepted);
        assert_eq!(window.arrive(at(2)), refused(8));
        assert_eq!(window.arrive(at(10)), Decision::Accepted);
        assert_eq!(window.arrive(at(50)), refused(50));
        assert_eq!(window.arrive(at(100)), Decision::Accepted);
        let worst: Vec<_> = window.fills().map(|fill| fill.worst).collect();
        assert_eq!(worst, [2, 3]);
    }

    #[test]
    fn a_bucket_beside_a_window_must_have_room_too() {
        let bucket = Limit { algorithm: Algorithm::TokenBucket, ..limit(2, 100) };
        let mut window = window(&[limit(3, 1000), bucket]);
        assert_eq!([0, 0].map(|now| window.arrive(at(now))), [Decision::Accepted; 2]);
        assert_eq!(window.arrive(at(20)), refused(30));
        assert_eq!(window.arrive(at(50)), Decision::Accepted);
        assert_eq!(window.arrive(at(200)), refused(800));
        assert_eq!(window.fills().map(|fill| fill.worst).collect::<Vec<_>>(), [3, 2]);
    }

    /// Every accepted stamp for ever, every window counted from scratch.
    struct Oracle {
        limits: Vec<Limit>,
        accepted: Vec<Duration>,
    }

    impl Oracle {
        fn has_room(&self, now: Duration) -> bool {
            self.limits.iter().all(|limit| {
                let young = |stamp: &&Duration| now - **stamp < limit.window;
                let held = self.accepted.iter().filter(young).count();
                u32::try_from(held).is_ok_and(|held| held < limit.requests.get())
            })
        }

        fn arrive(&mut self, now: Duration) -> Decision {
            if self.has_room(now) {
                self.accepted.push(now);
                return Decision::Accepted;
            }
            let free = (1..).map(at).find(|wait| self.has_room(now + *wait));
            Decision::Refused { retry_after: free.expect("windows end") }
        }
    }

    proptest! {
        #[test]
        fn the_window_decides_as_the_naive_oracle(
            limits in prop::collection::vec((1u32..6, 1u64..60), 1..4),
            gaps in prop::collection::vec(0u64..20, 1..80),
        ) {
            let limits: Vec<_> = limits.into_iter().map(|(n, w)| limit(n, w)).collect();
            let mut window = window(&limits);
            let mut oracle = Oracle { limits, accepted: Vec::new() };
            let mut now = Duration::ZERO;
            for gap in gaps {
                now += at(gap);
                prop_assert_eq!(window.arrive(now), oracle.arrive(now));
            }
        }
    }
}
