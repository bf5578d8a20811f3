//! The emulator's bucket: what a platform counts that lets a burst through, and then a steady rate.
//!
//! Must not: share a line with the throttler it is there to check.

use std::time::Duration;

/// One limit. Calls leak one after another, each in `window / count`.
#[derive(Debug)]
pub(super) struct Bucket {
    count: u128,
    window_nanos: u128,
    /// When it will be empty, in nanoseconds times `count`, so that nothing is rounded.
    empty_at: u128,
    /// The most calls it has held, a part of one for a whole.
    worst: usize,
}

impl Bucket {
    pub(super) fn new(count: u32, window: Duration) -> Self {
        Self { count: u128::from(count), window_nanos: window.as_nanos(), empty_at: 0, worst: 0 }
    }

    /// How long it is until one more call fits; zero when it does now.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        let over = (self.empty_at + self.window_nanos).saturating_sub((now.as_nanos() + self.window_nanos) * self.count);
        // A bucket holds `count` calls of `window / count` each: all of it takes one window.
        Duration::from_nanos(u64::try_from(over.div_ceil(self.count)).unwrap_or(u64::MAX))
    }

    /// Counts a call that fits.
    pub(super) fn accept(&mut self, now: Duration) {
        let now = now.as_nanos() * self.count;
        self.empty_at = self.empty_at.max(now) + self.window_nanos;
        self.worst = self.worst.max(usize::try_from((self.empty_at - now).div_ceil(self.window_nanos)).unwrap_or(usize::MAX));
    }

    pub(super) fn worst(&self) -> usize {
        self.worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_one_by_one() {
        let millis = Duration::from_millis;
        let mut bucket = Bucket::new(4, millis(2000));
        let mut now = millis(10_000);
        let mut times = Vec::new();
        for _ in 0..8 {
            now += bucket.wait(now);
            bucket.accept(now);
            times.push(now.as_millis() - 10_000);
        }
        assert_eq!(times, [0, 0, 0, 0, 500, 1000, 1500, 2000]);
        assert_eq!(bucket.wait(now), millis(500));
        assert_eq!(bucket.wait(now + millis(499)), millis(1));
        assert_eq!(bucket.worst(), 4);
    }
}
