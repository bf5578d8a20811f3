//! One connection as its owner sees it: a priority FIFO in front of a limiter.
//!
//! ```text
//! acquire ──► queue ──► poll: the mirror has room ──► Action::Slots ──► ledger
//!                                                                        │
//! Effect::Release ◄── the best waiter *now* gets the slot ◄── verdict ◄──┘
//! ```
//!
//! Promises: callers of equal niceness leave in arrival order, and none before a more urgent one that waits; every acquire gets
//! one answer; a slot is released only after the verdict that charged it; a slot nobody takes is given back.
//! Must not: read a clock, sleep, or log. The owner passes `now` and performs the effects. Nor trust its own limiter: it is a mirror
//! that says when asking is worth it, and the ledger decides.

mod effect;
mod estimate;
mod remembered;

use std::time::Duration;

pub use self::effect::{Acquire, Bounds, Effect, Now, Patience, Refusal};
pub use self::estimate::{LedgerClock, SlowestDelivery};
pub use self::remembered::MAX_REMEMBERED;

use self::remembered::Remembered;
use crate::engine::grant::{Charge, Grant, RequestId, Sequence};
use crate::engine::ledger::{Action, Ask, Return, Verdict};
use crate::engine::limiter::{Limiter, Room};
use crate::engine::queue::{Queue, Waiter};
use crate::engine::rate::{Cost, Limits, Niceness, RateLimit};
use crate::engine::time::{LedgerTime, Timestamp};

/// The most waiters that one ask is for.
const MAX_WAITERS_PER_ASK: usize = 1024;

/// How many times the slowest delivery seen the bound is: a grant as slow as that one again is not stale.
const SLOWNESS_FACTOR: u32 = 4;

/// What an ask that is under way was for.
#[derive(Debug)]
struct InFlight {
    proposed_at: Timestamp,
    /// `None` when only slots go back.
    asked: Option<(Limits, Duration)>,
}

/// Slots that the ledger has charged and nobody holds yet.
#[derive(Debug)]
struct Slots {
    proposed_at: Timestamp,
    charge: Charge,
    cost: Cost,
    /// Under which they were charged.
    limits: Limits,
}

/// A connection: its waiters, a mirror of its limiter, and the one proposal in flight.
#[derive(Debug)]
pub struct Throttle<T> {
    queue: Queue<T>,
    limiter: Limiter,
    in_flight: Option<InFlight>,
    returns: Vec<Return>,
    remembered: Remembered,
    /// The ledger has said so, whatever the mirror says.
    not_before: LedgerTime,
    /// Until then waiters of an owner that is gone come back, in any order.
    settles_at: Option<Timestamp>,
}

impl<T> Throttle<T> {
    /// A connection whose limiter is in this state in the ledger.
    #[must_use]
    pub fn new(limiter: Limiter) -> Self {
        Self {
            queue: Queue::new(),
            limiter,
            in_flight: None,
            returns: Vec::new(),
            remembered: Remembered::default(),
            not_before: LedgerTime::ZERO,
            settles_at: None,
        }
    }

    /// The same, taken over from an owner that is gone: grants nothing before its waiters had until `settles_at` to come back.
    #[must_use]
    pub fn taken_over(limiter: Limiter, settles_at: Timestamp) -> Self {
        Self { settles_at: Some(settles_at), ..Self::new(limiter) }
    }

    /// Queues an acquire, or refuses it at once. Call [`Throttle::poll`] next.
    pub fn acquire(
        &mut self,
        now: Now,
        acquire: Acquire<T>,
        bounds: Bounds,
        sequence: &mut Sequence,
        effects: &mut Vec<Effect<T>>,
    ) {
        if let Some(waiter) = acquire.retryable.then(|| self.queue.get(acquire.request)).flatten() {
            let refused = if acquire.is_retry_of(waiter) {
                self.queue.supersede(acquire.request, acquire.patience, acquire.reply).map(|reply| (reply, Refusal::Superseded))
            } else {
                Some((acquire.reply, Refusal::RequestIdReused))
            };
            effects.extend(refused.map(|(reply, refusal)| Effect::Refuse { reply, refusal }));
            return;
        }
        match self.admit(now, &acquire, bounds, effects) {
            Err(refusal) => effects.push(Effect::Refuse { reply: acquire.reply, refusal }),
            Ok(()) => {
                let Acquire { request, retryable, niceness, cost, limits, waited, patience, reply } = acquire;
                let (arrived_at, arrival) = (now.local.saturating_sub(waited), sequence.arrival());
                self.queue.insert(Waiter { request, retryable, niceness, cost, limits, arrived_at, arrival, patience, reply });
            }
        }
    }

    /// Whether an acquire may wait here. A limit that was not in force before refuses those who can never fit it.
    fn admit(&mut self, now: Now, acquire: &Acquire<T>, bounds: Bounds, effects: &mut Vec<Effect<T>>) -> Result<(), Refusal> {
        self.remembered.prune(now.ledger);
        if let Some(refusal) = self.remembered.refusal(acquire) {
            return Err(refusal);
        }
        if self.queue.len() >= bounds.max_waiters {
            return Err(Refusal::QueueFull { max_waiters: bounds.max_waiters });
        }
        // A request that contradicts itself states no limit to anybody else.
        if let Some(&limit) = acquire.limits.iter().find(|limit| limit.is_exceeded_by(acquire.cost)) {
            return Err(Refusal::CostOverLimit { cost: acquire.cost, limit });
        }
        let differs = !self.limiter.is_exactly(&acquire.limits);
        if differs && bounds.strict_limits {
            let in_force: Vec<RateLimit> = self.limiter.in_force(now.ledger).collect();
            if !in_force.is_empty() && !in_force.iter().eq(&acquire.limits) {
                return Err(Refusal::LimitsDiffer { in_force });
            }
        }
        let too_many = |until: LedgerTime| Refusal::TooManyLimits { retry_after: until.saturating_since(now.ledger) };
        self.limiter.state(&acquire.limits, now.ledger).map_err(too_many)?;
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
        if earliest > latest { Err(Refusal::NotNow { retry_after: earliest.saturating_since(now.local) }) } else { Ok(()) }
    }

    /// A moment before which a newcomer of this niceness and cost gets no slot.
    fn earliest(&self, now: Now, niceness: Niceness, cost: Cost) -> Timestamp {
        let ready = self.limiter.earliest(now.ledger, self.queue.load_before(niceness), cost).unwrap_or(now.ledger);
        let ready = now.local_time_of(ready.max(self.not_before));
        self.settles_at.map_or(ready, |settled| ready.max(settled))
    }

    fn refuse_those_who_never_fit(&mut self, effects: &mut Vec<Effect<T>>) {
        let limiter = &self.limiter;
        let leaving = self.queue.drain_where(|waiter| limiter.exceeded_by(waiter.cost).is_some());
        for waiter in leaving {
            if let Some(limit) = self.limiter.exceeded_by(waiter.cost) {
                let refusal = Refusal::CostOverLimit { cost: waiter.cost, limit };
                effects.push(Effect::Refuse { reply: waiter.reply, refusal });
            }
        }
    }

    /// Takes a waiter out of the queue, as if it had never been there, if `is_gone` holds for its reply: a retry may have taken its
    /// place. `None` when nobody left.
    pub fn cancel(&mut self, request: RequestId, is_gone: impl FnOnce(&T) -> bool) -> Option<T> {
        self.queue.get(request).filter(|waiter| is_gone(&waiter.reply))?;
        self.queue.remove(request).map(|waiter| waiter.reply)
    }

    /// Takes back a released slot with which nothing was started. Call [`Throttle::poll`] next.
    pub fn give_back(&mut self, request: RequestId, grant: &Grant) {
        self.remembered.remove(request);
        self.add_return(Return { charge: grant.charge, cost: grant.cost });
    }

    /// Takes back a slot that reached its worker too late, and the waiter at its old place. Call [`Throttle::poll`] next.
    pub fn requeue(&mut self, now: Now, grant: &Grant, acquire: Acquire<T>, effects: &mut Vec<Effect<T>>) {
        self.give_back(acquire.request, grant);
        if self.queue.get(acquire.request).is_some() {
            effects.push(Effect::Refuse { reply: acquire.reply, refusal: Refusal::Superseded });
            return;
        }
        if acquire.patience == Patience::Never {
            let retry_after = self.earliest(now, acquire.niceness, acquire.cost).saturating_since(now.local);
            effects.push(Effect::Refuse { reply: acquire.reply, refusal: Refusal::NotNow { retry_after } });
            return;
        }
        let Acquire { request, retryable, niceness, cost, limits, patience, reply, .. } = acquire;
        let (arrived_at, arrival) = (grant.arrived_at, grant.arrival);
        self.queue.insert(Waiter { request, retryable, niceness, cost, limits, arrived_at, arrival, patience, reply });
    }

    /// Notes a pause that the ledger has committed.
    pub fn pause(&mut self, until: LedgerTime) {
        self.limiter.pause(until);
    }

    /// Lets waiters go whose time is over, and says what to propose now, if anything. `slowest` is the slowest delivery seen lately.
    pub fn poll(&mut self, now: Now, slowest: Duration, sequence: &mut Sequence, effects: &mut Vec<Effect<T>>) -> Option<Action> {
        self.expire(now, effects);
        self.remembered.prune(now.ledger);
        if self.settles_at.is_some_and(|at| at <= now.local) {
            self.settles_at = None;
            self.queue.renumber(sequence);
        }
        if self.in_flight.is_some() || self.settles_at.is_some() {
            return None;
        }
        let returns = std::mem::take(&mut self.returns);
        for given_back in &returns {
            self.limiter.refund(given_back.charge, given_back.cost);
        }
        if !returns.is_empty() {
            // What the ledger said was said without them.
            self.not_before = LedgerTime::ZERO;
        }
        if self.queue.first().is_some_and(|first| self.limiter.exceeded_by(first.cost).is_some()) {
            self.refuse_those_who_never_fit(effects);
        }
        let ask = self.next_ask(now, slowest, effects);
        if ask.is_none() && returns.is_empty() {
            return None;
        }
        let asked = ask.as_ref().map(|ask| (ask.limits.clone(), ask.delivery));
        self.in_flight = Some(InFlight { proposed_at: now.local, asked });
        Some(Action::Slots { returns, ask })
    }

    /// Slots for as many waiters, from the first on, as the mirror has room for. Refuses those who only tried and are not among them.
    fn next_ask(&mut self, now: Now, slowest: Duration, effects: &mut Vec<Effect<T>>) -> Option<Ask> {
        let (ask, served) = match self.gather(now, slowest) {
            Some((ask, served)) => (Some(ask), served),
            None => (None, 0),
        };
        let tried: Vec<RequestId> = if self.queue.has_tries() {
            let unserved = self.queue.iter().skip(served).filter(|waiter| waiter.patience == Patience::Never);
            unserved.map(|waiter| waiter.request).collect()
        } else {
            Vec::new()
        };
        for waiter in tried.into_iter().filter_map(|request| self.queue.remove(request)).collect::<Vec<_>>() {
            let retry_after = self.earliest(now, waiter.niceness, waiter.cost).saturating_since(now.local);
            effects.push(Effect::Refuse { reply: waiter.reply, refusal: Refusal::NotNow { retry_after } });
        }
        ask
    }

    /// The ask for the waiters that fit, and how many they are.
    fn gather(&mut self, now: Now, slowest: Duration) -> Option<(Ask, usize)> {
        let first = self.queue.first()?;
        if self.not_before > now.ledger {
            return None;
        }
        let (mut limits, least) = (first.limits.clone(), first.cost);
        if let Err(until) = self.limiter.state(&limits, now.ledger) {
            self.not_before = until;
            return None;
        }
        let mut room = self.limiter.room(now.ledger);
        let (mut most, mut served) = (Cost::ZERO, 0);
        for waiter in self.queue.iter().take(MAX_WAITERS_PER_ASK) {
            if !waiter.limits.is_same(&limits) {
                // Callers differ: what all of them state holds for all of them.
                let Ok(union) = limits.union(&waiter.limits) else {
                    break;
                };
                if self.limiter.state(&union, now.ledger).is_err() {
                    break;
                }
                room = self.limiter.room(now.ledger);
                if !most.plus(waiter.cost).fits_in(room) {
                    break;
                }
                limits = union;
            }
            let sum = most.plus(waiter.cost);
            if !sum.fits_in(room) {
                break;
            }
            (most, served) = (sum, served + 1);
        }
        if served == 0 {
            return None;
        }
        let delivery = self.limiter.delivery_bound(slowest.saturating_mul(SLOWNESS_FACTOR));
        Some((Ask { limits, delivery, least, most }, served))
    }

    /// Takes the ledger's answer to the proposal in flight: a slot goes to whoever is first at this moment. Call [`Throttle::poll`] next.
    pub fn verdict(&mut self, now: Now, verdict: &Verdict, sequence: &mut Sequence, effects: &mut Vec<Effect<T>>) {
        let Some(in_flight) = self.in_flight.take() else {
            return;
        };
        match (verdict, in_flight.asked) {
            (Verdict::Charged { stamp, cost }, Some((limits, delivery))) => {
                let charge = Charge { stamp: *stamp, delivery };
                // The ledger had room for these limits, so its rules, which the mirror follows, have too.
                if self.limiter.state(&limits, *stamp).is_ok() {
                    self.limiter.charge(charge, *cost);
                }
                let slots = Slots { proposed_at: in_flight.proposed_at, charge, cost: *cost, limits };
                self.assign(now, &slots, sequence, effects);
            }
            (Verdict::NotBefore { at, .. }, _) => self.not_before = *at,
            (Verdict::Moved { .. }, _) => {
                for waiter in self.queue.drain_where(|_| true) {
                    effects.push(Effect::Refuse { reply: waiter.reply, refusal: Refusal::Moved });
                }
            }
            (Verdict::Done { .. } | Verdict::Charged { .. }, _) => {}
        }
    }

    /// Hands charged slots to the waiters in front; what the first one can't use goes back. One whose limits the ledger did not hear of
    /// when it charged them can't use them: its own limit might be broken.
    fn assign(&mut self, now: Now, slots: &Slots, sequence: &mut Sequence, effects: &mut Vec<Effect<T>>) {
        let &Slots { proposed_at, charge, cost: mut left, ref limits } = slots;
        let guard = self.limiter.guard();
        let age = now.local.saturating_since(proposed_at);
        if charge.delivery.is_zero() || age <= charge.delivery {
            let fits = |first: &Waiter<T>, left: Cost| first.cost.fits_in(left) && limits.covers(&first.limits);
            while let Some(waiter) = self.queue.pop_first_if(|first| fits(first, left)) {
                left = left.minus(waiter.cost);
                if waiter.retryable {
                    self.remembered.insert(&waiter, self.limiter.forgotten_at());
                }
                let Waiter { request, niceness, cost, arrival, arrived_at, reply, .. } = waiter;
                let (release, released_at) = (sequence.release(), now.local);
                let grant = Grant { arrival, release, niceness, cost, charge, guard, proposed_at, arrived_at, released_at };
                effects.push(Effect::Release { reply, request, grant });
            }
        }
        if left != Cost::ZERO {
            self.add_return(Return { charge, cost: left });
        }
    }

    fn add_return(&mut self, given_back: Return) {
        match self.returns.iter_mut().find(|other| other.charge == given_back.charge) {
            Some(other) => other.cost = other.cost.plus(given_back.cost),
            None => self.returns.push(given_back),
        }
    }

    fn expire(&mut self, now: Now, effects: &mut Vec<Effect<T>>) {
        while let Some(waiter) = self.queue.pop_expired(now.local) {
            let refusal = match waiter.patience {
                Patience::MaxWait(_) => {
                    let earliest = self.earliest(now, waiter.niceness, waiter.cost);
                    Refusal::NotNow { retry_after: earliest.saturating_since(now.local) }
                }
                Patience::Deadline(_) | Patience::Endless | Patience::Never => {
                    Refusal::Deadline { waited: now.local.saturating_since(waiter.arrived_at) }
                }
            };
            effects.push(Effect::Refuse { reply: waiter.reply, refusal });
        }
    }

    /// When to call [`Throttle::poll`] again, if nothing else happens before. `None` when there is nothing to wake for: an answer is
    /// under way, or the connection is idle.
    #[must_use]
    pub fn next_wake(&self, now: Now) -> Option<Timestamp> {
        let slots = match (self.queue.first(), &self.in_flight, self.settles_at) {
            (_, Some(_), _) => None,
            (_, None, Some(settled)) => Some(settled),
            (Some(first), None, None) => {
                let ready = match self.limiter.check(now.ledger, first.cost) {
                    Room::NotBefore(at) => at,
                    Room::Ready | Room::Never => now.ledger,
                };
                Some(now.local_time_of(ready.max(self.not_before)))
            }
            (None, None, None) => {
                // When something can be forgotten; never at once, or an idle connection would wake for ever.
                let idle_at = self.limiter.empty_at().max(self.remembered.forgets_at());
                (idle_at > now.ledger).then(|| now.local_time_of(idle_at))
            }
        };
        [slots, self.queue.next_expiry()].into_iter().flatten().min()
    }

    /// Whether nothing would be lost if the connection left memory.
    pub fn is_idle(&mut self, now: Now) -> bool {
        self.remembered.prune(now.ledger);
        let quiet = self.queue.is_empty() && self.in_flight.is_none() && self.returns.is_empty() && self.settles_at.is_none();
        quiet && self.remembered.is_empty() && self.limiter.empty_at() <= now.ledger
    }

    /// Those who wait.
    #[must_use]
    pub const fn queue(&self) -> &Queue<T> {
        &self.queue
    }

    /// What the mirror holds.
    #[must_use]
    pub const fn limiter(&self) -> &Limiter {
        &self.limiter
    }
}

#[cfg(test)]
mod tests;
