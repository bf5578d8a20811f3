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
//! [`Throttle::acquire`] and what refuses it is in `admission`, what is asked of the ledger in `asking`, what comes
//! back in `returns`, who doesn't count as waiting in `absence`.
//!
//! Must not: read a clock, sleep, or log. The owner passes `now` and performs the effects. Nor trust its own limiter: it is a mirror
//! that says when asking is worth it, and the ledger decides.

mod absence;
mod admission;
mod asking;
mod changes;
mod effect;
mod estimate;
mod explain;
mod remembered;
mod rest;
mod returns;

use std::time::Duration;

pub use self::effect::{Acquire, Bounds, Effect, Now, Patience, Refusal};
pub use self::estimate::{LedgerClock, Settling, SlowestDelivery};
pub use self::explain::Explanation;
pub use self::remembered::MAX_REMEMBERED;

use self::remembered::Remembered;
use crate::engine::cost::Cost;
use crate::engine::fault::Fault;
use crate::engine::grant::{Charge, Grant, RequestId, Sequence};
use crate::engine::ledger::{Action, Return, Verdict};
use crate::engine::limiter::Limiter;
use crate::engine::queue::{Queue, Waiter};
use crate::engine::rate::Limits;
use crate::engine::time::{LedgerTime, Timestamp};

/// What an ask that is under way was for.
#[derive(Debug)]
struct InFlight {
    proposed_at: Timestamp,
    /// What goes back with it.
    returns: Vec<Return>,
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
    /// What the mirror has taken back and the ledger has not: the proposal came by an old ring.
    unsettled: Vec<Return>,
    remembered: Remembered,
    /// The ledger has said so, whatever the mirror says.
    not_before: LedgerTime,
    /// Until then waiters of an owner that is gone come back, in any order.
    settling: Option<Settling>,
    /// What an operator has set: it rules over what callers say.
    policy: Option<Limits>,
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
            unsettled: Vec::new(),
            remembered: Remembered::default(),
            not_before: LedgerTime::ZERO,
            settling: None,
            policy: None,
        }
    }

    /// The same, taken over from an owner that is gone: grants nothing before its waiters had time to come back.
    #[must_use]
    pub fn taken_over(limiter: Limiter, settling: Settling) -> Self {
        Self { settling: Some(settling), ..Self::new(limiter) }
    }

    /// Somebody comes back who has waited at another owner, and others may follow: grants nothing until all of them have their places by their age.
    pub fn settle(&mut self, settling: Settling) {
        self.settling.get_or_insert(settling);
    }

    /// Queues an acquire, or refuses it at once. Call [`Throttle::poll`] next.
    pub fn acquire(
        &mut self,
        now: Now,
        mut acquire: Acquire<T>,
        bounds: Bounds,
        sequence: &mut Sequence,
        effects: &mut Vec<Effect<T>>,
    ) {
        acquire.cost = self.estimate(acquire.cost);
        // Not only who may be sent again: a router that has lost its session comes back before the session's end is known here.
        if let Some(waiter) = self.queue.get(acquire.request) {
            let refused = if acquire.is_retry_of(waiter) {
                let former = self.queue.supersede(acquire.request, acquire.patience, acquire.reply);
                // Whoever sends it again is there.
                self.queue.recall(sequence, |waiter| waiter.request == acquire.request);
                former.map(|reply| (reply, Refusal::Superseded))
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
                if !waited.is_zero() {
                    self.settling = self.settling.map(|settling| settling.extended(now.local));
                }
                let (arrived_at, arrival) = (now.local.saturating_sub(waited), sequence.arrival());
                let waits_since = arrival;
                let waiter =
                    Waiter { request, retryable, niceness, cost, limits, arrived_at, arrival, waits_since, patience, reply };
                self.queue.insert(waiter);
            }
        }
    }

    /// Takes a waiter out of the queue, as if it had never been there, if `is_gone` holds for its reply: a retry may have taken its
    /// place. `None` when nobody left.
    pub fn cancel(&mut self, request: RequestId, is_gone: impl FnOnce(&T) -> bool) -> Option<T> {
        self.queue.get(request).filter(|waiter| is_gone(&waiter.reply))?;
        self.queue.remove(request).map(|waiter| waiter.reply)
    }

    /// Lets waiters go whose time is over, and says what to propose now, if anything. `slowest` is the slowest delivery seen lately; `is_present`
    /// tells whether the one behind a reply was heard of within so long.
    pub fn poll(
        &mut self,
        now: Now,
        slowest: Duration,
        sequence: &mut Sequence,
        effects: &mut Vec<Effect<T>>,
        is_present: impl Fn(&T, Duration) -> bool,
    ) -> Option<Action> {
        self.expire(now, effects);
        self.remembered.prune(now.ledger);
        if self.settling.is_some_and(|settling| settling.ends_at() <= now.local) {
            self.settling = None;
            self.queue.renumber(sequence);
        }
        if self.in_flight.is_some() || self.settling.is_some() {
            return None;
        }
        let mut returns = std::mem::take(&mut self.returns);
        for given_back in &returns {
            self.limiter.refund(given_back.charge, given_back.cost);
        }
        returns.append(&mut self.unsettled);
        if !returns.is_empty() {
            // What the ledger said was said without them.
            self.not_before = LedgerTime::ZERO;
        }
        self.refuse_who_never_fits(effects);
        let ask = self.next_ask(now, slowest, effects, &is_present);
        if ask.is_none() && returns.is_empty() {
            return None;
        }
        if let Some(ask) = ask.as_ref().filter(|_| Fault::ReleaseBeforeCommit.is_planted()) {
            let charge = Charge { stamp: now.ledger, delivery: ask.delivery };
            let slots = Slots { proposed_at: now.local, charge, cost: ask.most, limits: ask.limits.clone() };
            self.assign(now, &slots, sequence, effects, &is_present);
        }
        let asked = ask.as_ref().map(|ask| (ask.limits.clone(), ask.delivery));
        self.in_flight = Some(InFlight { proposed_at: now.local, returns: returns.clone(), asked });
        Some(Action::Slots { returns, ask })
    }

    /// Takes the ledger's answer to the proposal in flight: a slot goes to whoever is first, and present, at this moment. Call
    /// [`Throttle::poll`] next.
    pub fn verdict(
        &mut self,
        now: Now,
        verdict: &Verdict,
        sequence: &mut Sequence,
        effects: &mut Vec<Effect<T>>,
        is_present: impl Fn(&T, Duration) -> bool,
    ) {
        let Some(in_flight) = self.in_flight.take() else {
            return;
        };
        match (verdict, in_flight.asked) {
            (Verdict::Charged { stamp, cost }, Some((limits, delivery))) => {
                let charge = Charge { stamp: *stamp, delivery };
                // The ledger had room for these limits, so its rules, which the mirror follows, have too.
                if self.state(&limits, *stamp).is_ok() {
                    self.limiter.charge(charge, *cost);
                }
                let slots = Slots { proposed_at: in_flight.proposed_at, charge, cost: *cost, limits };
                if !Fault::ReleaseBeforeCommit.is_planted() {
                    self.assign(now, &slots, sequence, effects, &is_present);
                }
            }
            (Verdict::NotBefore { at, .. }, _) => self.not_before = *at,
            // Nothing was done: what was to go back still has to.
            (Verdict::Moved { .. }, _) => self.unsettled = in_flight.returns,
            (Verdict::Done { .. } | Verdict::Charged { .. } | Verdict::Adjusted { .. }, _) => {}
        }
    }

    /// Sends everybody who waits on to the new owner. Not before the proposal in flight is answered: slots that it charged are theirs.
    pub fn hand_over(&mut self, effects: &mut Vec<Effect<T>>) {
        let moved = self.queue.drain_where(|_| true).into_iter();
        effects.extend(moved.map(|waiter| Effect::Refuse { reply: waiter.reply, refusal: Refusal::Moved }));
    }

    /// Whether a proposal waits for its answer.
    #[must_use]
    pub const fn is_asking(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Hands charged slots to the waiters in front; what the first one can't use goes back. One whose limits the ledger did not hear of
    /// when it charged them can't use them: its own limit might be broken.
    fn assign(
        &mut self,
        now: Now,
        slots: &Slots,
        sequence: &mut Sequence,
        effects: &mut Vec<Effect<T>>,
        is_present: &impl Fn(&T, Duration) -> bool,
    ) {
        let &Slots { proposed_at, charge, cost: mut left, ref limits } = slots;
        let guard = self.limiter.guard();
        let age = now.local.saturating_since(proposed_at);
        if charge.delivery.is_zero() || age <= charge.delivery {
            let is_ruled = self.policy.is_some();
            let fits = |first: &Waiter<T>, left: Cost| first.cost.fits_in(left) && (is_ruled || limits.covers(&first.limits));
            while left != Cost::ZERO {
                self.set_absent_aside(charge.delivery, is_present);
                let Some(waiter) = self.queue.pop_first_if(|first| fits(first, left)) else { break };
                left = left.minus(waiter.cost);
                if waiter.retryable {
                    // A bucket forgets sooner than a window has passed.
                    self.remembered.insert(&waiter, self.limiter.forgotten_at().max(self.limiter.counts_until(charge)));
                }
                let Waiter { request, niceness, cost, arrival, waits_since, arrived_at, reply, .. } = waiter;
                let (release, released_at) = (sequence.release(), now.local);
                let tenure = sequence.tenure();
                let grant = Grant {
                    tenure,
                    arrival,
                    waits_since,
                    release,
                    niceness,
                    cost,
                    charge,
                    guard,
                    proposed_at,
                    arrived_at,
                    released_at,
                };
                effects.push(Effect::Release { reply, request, grant });
            }
        }
        if left != Cost::ZERO {
            self.add_return(Return { charge, cost: left });
        }
    }

    fn expire(&mut self, now: Now, effects: &mut Vec<Effect<T>>) {
        while let Some(waiter) = self.queue.pop_expired(now.local) {
            let refusal = match waiter.patience {
                Patience::MaxWait(_) => admission::not_before(now, self.earliest(now, waiter.niceness, waiter.cost)),
                Patience::Deadline(_) | Patience::Endless | Patience::Never => {
                    Refusal::Deadline { waited: now.local.saturating_since(waiter.arrived_at) }
                }
            };
            effects.push(Effect::Refuse { reply: waiter.reply, refusal });
        }
    }

    /// Those who wait, or are set aside.
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
