//! What a session knows of its router's clock: its newest stamp, and how far this node's clock is ahead.

use std::time::Duration;

use crate::engine::time::Timestamp;

/// The clock of one router.
#[derive(Debug)]
pub(super) struct RouterClock {
    newest_nanos: u64,
    /// How far this node's clock is ahead of the router's, and the shortest way between them: by this one shift, all that come from this router
    /// keep the order in which they began to wait.
    shift: i128,
}

impl RouterClock {
    /// From the first frame, which says nothing else. The frames that follow are sent when it was answered: should this process have been stopped
    /// while it was on its way, they tell the shift anew before anybody waits.
    pub(super) fn new(now: Timestamp, stamp_nanos: u64) -> Self {
        Self { newest_nanos: stamp_nanos, shift: i128::from(now.as_nanos()) - i128::from(stamp_nanos) }
    }

    /// Notes the stamp of a frame.
    pub(super) fn observe(&mut self, now: Timestamp, stamp_nanos: u64, somebody_waits: bool) {
        self.newest_nanos = self.newest_nanos.max(stamp_nanos);
        // Not while somebody waits: a better guess would let those who come next overtake them.
        if !somebody_waits {
            self.shift = self.shift.min(i128::from(now.as_nanos()) - i128::from(stamp_nanos));
        }
    }

    /// The newest stamp, to be echoed.
    pub(super) const fn newest_nanos(&self) -> u64 {
        self.newest_nanos
    }

    /// How long somebody has waited at `now` who began at this moment of the router's clock.
    pub(super) fn waited_since(&self, began_at: Timestamp, now: Timestamp) -> Duration {
        let began_at = u64::try_from((i128::from(began_at.as_nanos()) + self.shift).max(0)).unwrap_or(u64::MAX);
        now.saturating_since(Timestamp::from_nanos(began_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn an_age_is_told_by_the_shortest_way_of_the_frames_that_came_before_anybody_waited() {
        // This clock is 1,000 ms ahead. The frame that brings the first acquire was 300 ms on its way; the one before it 2 ms.
        let mut clock = RouterClock::new(at(1_002), at(0).as_nanos());
        clock.observe(at(1_350), at(50).as_nanos(), false);
        assert_eq!(clock.waited_since(at(10), at(1_350)), Duration::from_millis(338));
        // A shorter way that is seen while somebody waits changes nobody's order.
        clock.observe(at(1_400), at(400).as_nanos(), true);
        assert_eq!(clock.waited_since(at(10), at(1_400)), Duration::from_millis(388));
        clock.observe(at(1_500), at(500).as_nanos(), false);
        assert_eq!(clock.waited_since(at(10), at(1_500)), Duration::from_millis(490));
        assert_eq!(clock.newest_nanos(), at(500).as_nanos());
    }

    #[test]
    fn a_moment_before_this_clock_began_is_its_beginning() {
        let clock = RouterClock::new(at(5), at(1_000).as_nanos());
        assert_eq!(clock.waited_since(at(10), at(7)), Duration::from_millis(7));
    }
}
