//! All limits of one connection: charged together, or not at all.
//!
//! Promises: [`Limiter::charge`] after [`Limiter::room`] never exceeds any limit that was stated within its own window; a
//! limit that changes keeps the history of the ones before it.
//! Must not: decide who is served. That is the queue's.

mod bucket;
mod gcra;
mod leaky_bucket;
mod meter;
mod pace;
mod recent_charges;
mod room;
mod sliding_window;
mod timetable;
mod token_bucket;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::bucket::Bucket;
pub use self::meter::Meter;
pub use self::room::Room;
pub use self::sliding_window::{MAX_RUNS, SlidingWindow};
pub use self::timetable::{Call, NoTime, grant_times};
use crate::engine::cost::Cost;
use crate::engine::grant::Charge;
use crate::engine::rate::{Limits, MAX_LIMITS, RateLimit};
use crate::engine::time::{Ledger, LedgerTime};

/// The longest delivery bound, however slow commits have become.
pub const MAX_DELIVERY: Duration = Duration::from_secs(60);

/// One limit, and what counts against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Rule {
    limit: RateLimit,
    /// When a caller last stated it.
    stated_at: LedgerTime,
    meter: Meter<Ledger>,
}

impl Rule {
    /// When the rule lapses, if nobody states it again.
    fn lapses_at(&self) -> LedgerTime {
        self.stated_at + self.limit.span()
    }

    fn amount(&self, cost: Cost) -> u64 {
        cost.along(self.limit.dimension())
    }

    fn counted(&self, cost: Cost) -> u32 {
        u32::try_from(self.amount(cost)).unwrap_or(u32::MAX)
    }
}

/// The limiter of one connection, in ledger time.
///
/// When callers state different limits, all that were stated within their own last window hold at once: the
/// strictest rules, however they compare.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limiter {
    /// Sorted by limit, each once, at most [`MAX_LIMITS`].
    rules: Vec<Rule>,
    paused_until: LedgerTime,
}

impl Limiter {
    /// Notes that `limits` were stated at `now`; rules that nobody has stated for one window of theirs lapse.
    ///
    /// # Errors
    /// The moment when the first rule may lapse, if more than [`MAX_LIMITS`] would hold at once; nothing is changed then.
    pub fn state(&mut self, limits: &Limits, now: LedgerTime) -> Result<(), LedgerTime> {
        // The usual case first: the same limits as always.
        if self.is_exactly(limits) {
            self.rules.iter_mut().for_each(|rule| rule.stated_at = now);
            return Ok(());
        }
        let is_stated = |limit: &RateLimit| limits.iter().any(|stated| stated == limit);
        let holds = |rule: &Rule| is_stated(&rule.limit) || rule.lapses_at() > now;
        let unstated = self.rules.iter().filter(|rule| holds(rule) && !is_stated(&rule.limit));
        if unstated.clone().count() + limits.iter().len() > MAX_LIMITS {
            return Err(unstated.map(Rule::lapses_at).min().unwrap_or(now));
        }
        let added: Vec<Rule> = limits
            .iter()
            .filter(|limit| self.rules.iter().all(|rule| rule.limit != **limit))
            .map(|limit| Rule { limit: *limit, stated_at: now, meter: self.meter_for(limit, now) })
            .collect();
        self.rules.retain(holds);
        self.rules.extend(added);
        self.rules.sort_unstable_by_key(|rule| rule.limit);
        self.rules.iter_mut().filter(|rule| is_stated(&rule.limit)).for_each(|rule| rule.stated_at = now);
        Ok(())
    }

    /// Notes that exactly `limits` rule at `now`, whatever was stated before: what was charged counts by them from now on.
    pub fn impose(&mut self, limits: &Limits, now: LedgerTime) {
        if !self.is_exactly(limits) {
            let has = |limit: &RateLimit| self.rules.iter().find(|rule| rule.limit == *limit).map(|rule| rule.meter.clone());
            let meter = |limit: &RateLimit| has(limit).unwrap_or_else(|| self.meter_for(limit, now));
            self.rules = limits.iter().map(|limit| Rule { limit: *limit, stated_at: now, meter: meter(limit) }).collect();
        }
        self.rules.iter_mut().for_each(|rule| rule.stated_at = now);
    }

    /// A meter for a limit that is new here, with the longest history there is of its dimension.
    fn meter_for(&self, limit: &RateLimit, now: LedgerTime) -> Meter<Ledger> {
        let mut meter = Meter::new(limit);
        for are_buckets in [false, true] {
            let formers = self.rules.iter().filter(|rule| rule.limit.dimension() == limit.dimension());
            for former in formers.filter(|rule| rule.limit.algorithm().is_bucket() == are_buckets) {
                meter.inherit(limit, &former.meter, now);
            }
        }
        meter
    }

    /// The limits that were stated within their own last window.
    pub fn in_force(&self, now: LedgerTime) -> impl Iterator<Item = RateLimit> + '_ {
        self.rules.iter().filter(move |rule| rule.lapses_at() > now).map(|rule| rule.limit)
    }

    /// The limits that hold, those that were stated longest ago among them.
    pub fn limits(&self) -> impl Iterator<Item = RateLimit> + '_ {
        self.rules.iter().map(|rule| rule.limit)
    }

    /// Whether exactly these limits hold.
    #[must_use]
    pub fn is_exactly(&self, limits: &Limits) -> bool {
        self.limits().eq(limits.iter().copied())
    }

    /// A limit that `cost` alone exceeds, if there is one: such a request can't be granted while it holds.
    #[must_use]
    pub fn exceeded_by(&self, cost: Cost) -> Option<RateLimit> {
        self.limits().find(|limit| limit.is_exceeded_by(cost))
    }

    /// The most that may be charged at `now`, in every dimension; nothing while paused.
    pub fn room(&mut self, now: LedgerTime) -> Cost {
        if self.paused_until > now {
            return Cost::ZERO;
        }
        self.rules.iter_mut().fold(Cost::MAX, |room, rule| {
            let dimension = rule.limit.dimension();
            room.with(dimension, room.along(dimension).min(rule.meter.room(now)))
        })
    }

    /// Whether `cost` may be charged at `now`, and else when.
    #[must_use]
    pub fn check(&self, now: LedgerTime, cost: Cost) -> Room<LedgerTime> {
        let mut free_at = self.paused_until;
        for rule in &self.rules {
            match rule.meter.check(now, rule.amount(cost)) {
                Room::Ready => {}
                Room::NotBefore(at) => free_at = free_at.max(at),
                Room::Never => return Room::Never,
            }
        }
        if free_at > now { Room::NotBefore(free_at) } else { Room::Ready }
    }

    /// A moment before which a request for `cost`, with `ahead` in front of it, can't be charged; `None` when it never can.
    #[must_use]
    pub fn earliest(&self, now: LedgerTime, ahead: Cost, cost: Cost) -> Option<LedgerTime> {
        let start = now.max(self.paused_until);
        self.rules.iter().try_fold(start, |latest, rule| {
            rule.meter.earliest(start, rule.amount(ahead), rule.amount(cost)).map(|at| latest.max(at))
        })
    }

    /// Charges `cost` to every limit. The caller has asked [`Limiter::room`].
    pub fn charge(&mut self, charge: Charge, cost: Cost) {
        for rule in &mut self.rules {
            let amount = rule.counted(cost);
            rule.meter.charge(charge.stamp, charge.counted_from(), amount);
        }
    }

    /// Gives back up to `cost` of that charge, and says what came back.
    pub fn refund(&mut self, charge: Charge, cost: Cost) -> Cost {
        self.rules.iter_mut().fold(Cost::ZERO, |total, rule| {
            let amount = rule.counted(cost);
            let given_back = rule.meter.refund(charge.stamp, charge.counted_from(), amount);
            let dimension = rule.limit.dimension();
            total.with(dimension, total.along(dimension).max(u64::from(given_back)))
        })
    }

    /// Counts what calls have taken beyond their estimates, from `now` on, whether there is room or not: they have succeeded already. The one thing that may exceed a
    /// limit; whoever comes later waits for it.
    pub fn owe(&mut self, now: LedgerTime, cost: Cost) {
        for rule in &mut self.rules {
            let amount = rule.counted(cost);
            rule.meter.owe(now, amount);
        }
    }

    /// Until when a charge may be reconciled: for the longest window of the limits that count estimates. `None` when none does.
    #[must_use]
    pub fn estimates_until(&self, charge: Charge) -> Option<LedgerTime> {
        let spans = self.rules.iter().filter(|rule| rule.limit.dimension().is_estimated()).map(|rule| rule.limit.span());
        spans.max().map(|longest| charge.counted_from() + longest)
    }

    /// Lets nothing through before `until`; never shortens a pause.
    pub fn pause(&mut self, until: LedgerTime) {
        self.paused_until = self.paused_until.max(until);
    }

    /// Ends every pause.
    pub fn resume(&mut self) {
        self.paused_until = LedgerTime::ZERO;
    }

    /// Until when nothing is let through, if that is after `now`: [`LedgerTime::END`] until it is resumed.
    #[must_use]
    pub fn paused_until(&self, now: LedgerTime) -> Option<LedgerTime> {
        Some(self.paused_until).filter(|until| *until > now)
    }

    /// Whether right after a charge of `cost` more counts than some limit has that counts any of it. That is never so: what is owed leaves no room for a charge.
    #[must_use]
    pub fn is_over(&self, cost: Cost) -> bool {
        let counts = |rule: &&Rule| rule.amount(cost) > 0;
        self.rules.iter().filter(counts).any(|rule| rule.meter.is_over(u64::from(rule.limit.request_count().get())))
    }

    /// When the limiter has nothing to remember any more: no charge counts, no pause holds, and every rule has lapsed.
    #[must_use]
    pub fn forgotten_at(&self) -> LedgerTime {
        self.rules.iter().map(Rule::lapses_at).fold(self.empty_at(), LedgerTime::max)
    }

    /// Until when a charge counts at most, by the limit that counts it longest. A bucket may have let it leak before.
    #[must_use]
    pub fn counts_until(&self, charge: Charge) -> LedgerTime {
        let longest = self.rules.iter().map(|rule| rule.limit.span()).max().unwrap_or_default();
        charge.counted_from() + longest
    }

    /// When no charge counts any more and no pause holds.
    #[must_use]
    pub fn empty_at(&self) -> LedgerTime {
        self.rules.iter().map(|rule| rule.meter.empty_at()).fold(self.paused_until, LedgerTime::max)
    }

    /// The delivery bound that a charge gets: the shortest of the limits' own, or `slowness` when deliveries take longer
    /// than that. Zero, which is never enforced, only when every limit accepts any jitter.
    #[must_use]
    pub fn delivery_bound(&self, slowness: Duration) -> Duration {
        let bounds = self.rules.iter().map(|rule| rule.limit.delivery_bound()).filter(|bound| !bound.is_zero());
        bounds.min().map_or(Duration::ZERO, |bound| bound.max(slowness).min(MAX_DELIVERY))
    }

    /// The longest guard of the limits.
    #[must_use]
    pub fn guard(&self) -> Duration {
        self.rules.iter().map(|rule| rule.limit.guard()).max().unwrap_or_default()
    }

    /// How much counts at `now` of each limit.
    pub fn fill(&self, now: LedgerTime) -> impl Iterator<Item = (RateLimit, u64)> + '_ {
        self.rules.iter().map(move |rule| (rule.limit, rule.meter.held(now)))
    }
}

#[cfg(test)]
mod tests;
