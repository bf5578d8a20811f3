//! Who may wait: what is refused when it comes.

use std::time::Duration;

use super::{Acquire, Bounds, Effect, Now, Patience, Refusal, Throttle};
use crate::engine::cost::Cost;
use crate::engine::fault::Fault;
use crate::engine::rate::{Niceness, RateLimit};
use crate::engine::time::{LedgerTime, Timestamp};

/// The longest time after which somebody is told to come back: nobody knows when a connection is resumed that is paused.
const LONGEST_RETRY: Duration = Duration::from_secs(7 * 24 * 3600);

/// There is no slot before `earliest`.
pub(super) fn not_before(now: Now, earliest: Timestamp) -> Refusal {
    Refusal::NotNow { retry_after: earliest.saturating_since(now.local).min(LONGEST_RETRY) }
}

impl<T> Throttle<T> {
    /// Whether an acquire may wait here. A limit that was not in force before refuses those who can never fit it.
    pub(super) fn admit(
        &mut self,
        now: Now,
        acquire: &Acquire<T>,
        bounds: Bounds,
        effects: &mut Vec<Effect<T>>,
    ) -> Result<(), Refusal> {
        self.remembered.prune(now.ledger);
        if let Some(refusal) = self.remembered.refusal(acquire).filter(|_| !Fault::NoDeduplication.is_planted()) {
            return Err(refusal);
        }
        if self.queue.len() >= bounds.max_waiters {
            return Err(Refusal::QueueFull { max_waiters: bounds.max_waiters });
        }
        // Where an operator has set limits, nobody asks what callers say.
        let is_ruled = self.policy.is_some();
        let limits = self.ruling(&acquire.limits).clone();
        // A request that contradicts itself states no limit to anybody else.
        if let Some(&limit) = limits.iter().find(|limit| limit.is_exceeded_by(acquire.cost)) {
            return Err(Refusal::CostOverLimit { cost: acquire.cost, limit });
        }
        let differs = !self.limiter.is_exactly(&limits);
        if differs && bounds.strict_limits && !is_ruled {
            let in_force: Vec<RateLimit> = self.limiter.in_force(now.ledger).collect();
            if !in_force.is_empty() && !in_force.iter().eq(&acquire.limits) {
                return Err(Refusal::LimitsDiffer { in_force });
            }
        }
        let too_many = |until: LedgerTime| Refusal::TooManyLimits { retry_after: until.saturating_since(now.ledger) };
        self.state(&limits, now.ledger).map_err(too_many)?;
        if differs {
            self.refuse_those_who_never_fit(effects);
        }
        if let Some(limit) = self.limiter.exceeded_by(acquire.cost) {
            return Err(Refusal::CostOverLimit { cost: acquire.cost, limit });
        }
        match acquire.patience {
            Patience::Endless | Patience::Deadline(_) => Ok(()),
            Patience::Never => self.not_later_than(now, now.local, acquire),
            Patience::MaxWait(at) => self.not_later_than(now, at, acquire),
        }
    }

    /// Refuses an acquire whose slot is known to come after `latest`.
    fn not_later_than(&self, now: Now, latest: Timestamp, acquire: &Acquire<T>) -> Result<(), Refusal> {
        let earliest = self.earliest(now, acquire.niceness, acquire.cost);
        if earliest > latest { Err(not_before(now, earliest)) } else { Ok(()) }
    }

    /// A moment before which a newcomer of this niceness and cost gets no slot.
    pub(super) fn earliest(&self, now: Now, niceness: Niceness, cost: Cost) -> Timestamp {
        let ready = self.limiter.earliest(now.ledger, self.queue.load_before(niceness), cost).unwrap_or(now.ledger);
        let ready = now.local_time_of(ready.max(self.not_before));
        self.settling.map_or(ready, |settling| ready.max(settling.ends_at()))
    }

    /// Refuses everyone whose cost is over a limit that holds, as soon as such a one is first.
    pub(super) fn refuse_who_never_fits(&mut self, effects: &mut Vec<Effect<T>>) {
        if self.queue.first().is_some_and(|first| self.limiter.exceeded_by(first.cost).is_some()) {
            self.refuse_those_who_never_fit(effects);
        }
    }

    /// Refuses everyone whose cost is over a limit that holds.
    pub(super) fn refuse_those_who_never_fit(&mut self, effects: &mut Vec<Effect<T>>) {
        let limiter = &self.limiter;
        let leaving = self.queue.drain_where(|waiter| limiter.exceeded_by(waiter.cost).is_some());
        for waiter in leaving {
            if let Some(limit) = self.limiter.exceeded_by(waiter.cost) {
                let refusal = Refusal::CostOverLimit { cost: waiter.cost, limit };
                effects.push(Effect::Refuse { reply: waiter.reply, refusal });
            }
        }
    }
}
