//! What comes back: slots with which nothing was started, and with those that came too late, their waiters.

use super::admission::not_before;
use super::{Acquire, Effect, Now, Patience, Refusal, Throttle};
use crate::engine::grant::{Grant, RequestId, Sequence};
use crate::engine::ledger::Return;
use crate::engine::queue::Waiter;

impl<T> Throttle<T> {
    /// Takes back a released slot with which nothing was started. Call [`Throttle::poll`] next.
    pub fn give_back(&mut self, request: RequestId, grant: &Grant) {
        self.remembered.remove(request);
        self.add_return(Return { charge: grant.charge, cost: grant.cost });
    }

    /// Takes back a slot that reached its worker too late, and the waiter at its old place. Call [`Throttle::poll`] next.
    pub fn requeue(
        &mut self,
        now: Now,
        grant: &Grant,
        acquire: Acquire<T>,
        sequence: &mut Sequence,
        effects: &mut Vec<Effect<T>>,
    ) {
        self.give_back(acquire.request, grant);
        if self.queue.get(acquire.request).is_some() {
            effects.push(Effect::Refuse { reply: acquire.reply, refusal: Refusal::Superseded });
            return;
        }
        if acquire.patience == Patience::Never {
            let refusal = not_before(now, self.earliest(now, acquire.niceness, acquire.cost));
            effects.push(Effect::Refuse { reply: acquire.reply, refusal });
            return;
        }
        let Acquire { request, retryable, niceness, limits, patience, reply, .. } = acquire;
        let cost = self.estimate(acquire.cost);
        let (arrived_at, arrival, waits_since) = (grant.arrived_at, grant.arrival, sequence.arrival());
        let waiter = Waiter { request, retryable, niceness, cost, limits, arrived_at, arrival, waits_since, patience, reply };
        self.queue.insert(waiter);
    }

    /// Notes a slot for the next proposal, together with others of its charge.
    pub(super) fn add_return(&mut self, given_back: Return) {
        match self.returns.iter_mut().find(|other| other.charge == given_back.charge) {
            Some(other) => other.cost = other.cost.plus(given_back.cost),
            None => self.returns.push(given_back),
        }
    }
}
