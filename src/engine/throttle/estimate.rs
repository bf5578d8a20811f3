//! What an owner knows of clocks and delays that are not its own.

use std::time::Duration;

use crate::engine::throttle::Now;
use crate::engine::time::{LedgerTime, Timestamp};

/// An owner's estimate of ledger time.
///
/// A verdict's stamp was made between its proposal and its arrival, so the estimate must lie at or above the stamp at the arrival,
/// and at or below it at the proposal. Each verdict narrows it to that interval and leaves it alone when it is inside,
/// so the fastest commit seen decides how good it is. Ledger time may fall back against real time when leadership moves;
/// the next verdict pulls the estimate after it.
#[derive(Debug, Clone, Copy)]
pub struct LedgerClock {
    stamp: LedgerTime,
    at: Timestamp,
}

impl LedgerClock {
    /// An estimate from a stamp that is at least this old: it errs on the early side.
    #[must_use]
    pub const fn starting(stamp: LedgerTime, at: Timestamp) -> Self {
        Self { stamp, at }
    }

    /// Both clocks at `local`.
    #[must_use]
    pub fn now(&self, local: Timestamp) -> Now {
        Now { local, ledger: self.ledger_time_at(local) }
    }

    fn ledger_time_at(&self, local: Timestamp) -> LedgerTime {
        if local >= self.at {
            self.stamp + local.saturating_since(self.at)
        } else {
            self.stamp.saturating_sub(self.at.saturating_since(local))
        }
    }

    /// Learns of a stamp that was at least this old at `at`.
    pub fn learn(&mut self, stamp: LedgerTime, at: Timestamp) {
        if self.ledger_time_at(at) < stamp {
            *self = Self { stamp, at };
        }
    }

    /// Learns from a verdict that carries `stamp`.
    pub fn observe(&mut self, stamp: LedgerTime, proposed_at: Timestamp, answered_at: Timestamp) {
        self.learn(stamp, answered_at);
        if self.ledger_time_at(proposed_at) > stamp {
            *self = Self { stamp, at: proposed_at };
        }
    }
}

/// The time in which the waiters of an owner that is gone come back to its successor. Each that does asks for a little more, for others
/// may be on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settling {
    ends_at: Timestamp,
    ends_at_latest: Timestamp,
    calm: Duration,
}

impl Settling {
    /// Ends when nobody has come back for `calm`, and after `longest` in any case.
    #[must_use]
    pub fn starting(now: Timestamp, calm: Duration, longest: Duration) -> Self {
        Self { ends_at: now + calm.min(longest), ends_at_latest: now + longest, calm }
    }

    /// When it ends, if nobody comes back before.
    #[must_use]
    pub const fn ends_at(self) -> Timestamp {
        self.ends_at
    }

    /// The same after somebody has come back.
    #[must_use]
    pub fn extended(self, now: Timestamp) -> Self {
        Self { ends_at: self.ends_at.max(now + self.calm).min(self.ends_at_latest), ..self }
    }
}

/// How slow deliveries were lately: the third slowest moment of this period, or of the one before. An outage, or a process that was stopped, slows
/// whatever was under way then, which all comes in together when it is over, in a moment or two: what comes after is no slower than what came before.
/// When none of the latest three moments was of use, however long ago they were, it is the way itself that is so slow.
#[derive(Debug, Clone, Copy, Default)]
pub struct SlowestDelivery {
    period_began_at: Timestamp,
    /// The slowest delivery of a moment counts for all of them.
    moment_began_at: Timestamp,
    moment: Option<Duration>,
    /// The last three that have ended.
    latest: [Duration; 3],
    /// The slowest three, slowest first.
    current: [Duration; 3],
    previous: [Duration; 3],
}

/// What took longer was held up by something that is not the way, a process that was stopped or a leader that was elected, and says nothing of the
/// next delivery, unless all take as long.
const LONGEST_WAY: Duration = Duration::from_millis(1500);

/// How long a moment is.
const MOMENT: Duration = Duration::from_millis(100);

/// How long a period is.
const PERIOD: Duration = Duration::from_secs(10);

impl SlowestDelivery {
    /// Notes a delivery that took `age`.
    pub fn observe(&mut self, now: Timestamp, age: Duration) {
        self.turn(now);
        if now.saturating_since(self.moment_began_at) >= MOMENT {
            self.end_moment();
            self.moment_began_at = now;
        }
        self.moment = self.moment.max(Some(age));
    }

    fn end_moment(&mut self) {
        let Some(moment) = self.moment.take() else { return };
        let [before, last, _] = self.latest;
        self.latest = [moment, before, last];
        if moment <= LONGEST_WAY {
            let [first, second, third] = self.current;
            let mut slowest = [first, second, third, moment];
            slowest.sort_unstable_by(|one, other| other.cmp(one));
            let [slowest @ .., _] = slowest;
            self.current = slowest;
        }
    }

    /// The third slowest one of the last 10 to 20 s, or the fastest of the latest three if they all took too long to count.
    pub fn get(&mut self, now: Timestamp) -> Duration {
        self.turn(now);
        let ([_, _, current], [_, _, previous]) = (self.current, self.previous);
        let [one, two, three] = self.latest;
        let steady = one.min(two).min(three);
        if steady > LONGEST_WAY { steady } else { current.max(previous) }
    }

    fn turn(&mut self, now: Timestamp) {
        let passed = now.saturating_since(self.period_began_at);
        if passed >= PERIOD {
            self.end_moment();
            self.previous = if passed < 2 * PERIOD { self.current } else { Default::default() };
            self.current = Default::default();
            self.period_began_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    fn ledger(millis: u64) -> LedgerTime {
        LedgerTime::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn the_estimate_stays_between_proposal_and_answer() {
        let mut clock = LedgerClock::starting(ledger(100), local(0));
        // (stamp, proposed, answered) -> ledger time at the answer
        for (stamp, proposed, answered, expected) in [
            (150, 10, 20, 150), // was behind: at least the stamp
            (160, 28, 40, 170), // 170 lies between 160 and 172: unchanged
            (160, 40, 41, 161), // ahead, after a change of leader: at most 160 when it was proposed
        ] {
            clock.observe(ledger(stamp), local(proposed), local(answered));
            assert_eq!(clock.now(local(answered)).ledger, ledger(expected), "stamp {stamp}");
        }
    }

    #[test]
    fn settling_goes_on_while_waiters_come_back_but_not_for_ever() {
        let settling = Settling::starting(local(100), Duration::from_millis(20), Duration::from_millis(70));
        assert_eq!(settling.ends_at(), local(120));
        let settling = settling.extended(local(115));
        assert_eq!(settling.ends_at(), local(135));
        assert_eq!(settling.extended(local(134)).extended(local(153)).ends_at(), local(170));
    }

    #[test]
    fn an_outage_of_any_length_leaves_no_mark() {
        let mut slowest = SlowestDelivery::default();
        (0..50).for_each(|at| slowest.observe(local(1000 + 100 * at), Duration::from_millis(3)));
        // A thousand are answered together, and some a moment later.
        (0..1000).for_each(|_| slowest.observe(local(8000), Duration::from_secs(7)));
        (0..1000).for_each(|_| slowest.observe(local(8110), Duration::from_millis(6990)));
        (0..15).for_each(|at| slowest.observe(local(8300 + 100 * at), Duration::from_millis(4)));
        assert_eq!(slowest.get(local(9900)), Duration::from_millis(4));
    }

    #[test]
    fn a_way_that_always_takes_long_is_believed_however_long_it_is() {
        for takes in [1600, 4000, 60_000] {
            let mut slowest = SlowestDelivery::default();
            slowest.observe(local(100), Duration::from_millis(5));
            (1..=5).for_each(|at| slowest.observe(local(100 + takes * at), Duration::from_millis(takes)));
            assert_eq!(slowest.get(local(200 + takes * 5)), Duration::from_millis(takes));
            // It is fast again.
            slowest.observe(local(300 + takes * 5), Duration::from_millis(5));
            slowest.observe(local(500 + takes * 5), Duration::from_millis(5));
            assert!(slowest.get(local(600 + takes * 5)) <= Duration::from_millis(5));
        }
    }

    #[test]
    fn a_slow_delivery_is_forgotten_after_two_periods() {
        let mut slowest = SlowestDelivery::default();
        for at in [1000, 1100, 1200, 1300] {
            slowest.observe(local(at), Duration::from_millis(200));
        }
        slowest.observe(local(2000), Duration::from_millis(5));
        assert_eq!(slowest.get(local(19_999)), Duration::from_millis(200));
        assert_eq!(slowest.get(local(31_000)), Duration::ZERO);
    }
}
