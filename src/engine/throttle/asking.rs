//! What to ask the ledger for: slots for those in front.

use std::time::Duration;

use super::admission::not_before;
use super::{Effect, Now, Patience, Throttle};
use crate::engine::cost::Cost;
use crate::engine::grant::RequestId;
use crate::engine::ledger::Ask;

/// The most waiters that one ask is for.
const MAX_WAITERS_PER_ASK: usize = 1024;

/// How many times the slowest delivery seen the bound is: a grant as slow as that one again is not stale.
const SLOWNESS_FACTOR: u32 = 4;

impl<T> Throttle<T> {
    /// Slots for as many waiters, from the first on, as the mirror has room for. Refuses those who only tried and are not among them.
    pub(super) fn next_ask(
        &mut self,
        now: Now,
        slowest: Duration,
        effects: &mut Vec<Effect<T>>,
        is_present: &impl Fn(&T, Duration) -> bool,
    ) -> Option<Ask> {
        // Whoever is absent further behind is found when the slots are there.
        if self.not_before <= now.ledger && Cost::ONE.fits_in(self.limiter.room(now.ledger)) {
            self.set_absent_aside(self.delivery_bound(slowest), is_present);
            // Another is first now.
            self.refuse_who_never_fits(effects);
        }
        let (ask, served) = match self.gather(now, slowest) {
            Some((ask, served)) => (Some(ask), served),
            None => (None, 0),
        };
        let tried: Vec<RequestId> = if self.queue.has_tries() {
            let unserved = self.queue.iter().skip(served).chain(self.queue.aside());
            unserved.filter(|waiter| waiter.patience == Patience::Never).map(|waiter| waiter.request).collect()
        } else {
            Vec::new()
        };
        for waiter in tried.into_iter().filter_map(|request| self.queue.remove(request)).collect::<Vec<_>>() {
            let refusal = not_before(now, self.earliest(now, waiter.niceness, waiter.cost));
            effects.push(Effect::Refuse { reply: waiter.reply, refusal });
        }
        ask
    }

    /// The ask for the waiters that fit, and how many they are.
    fn gather(&mut self, now: Now, slowest: Duration) -> Option<(Ask, usize)> {
        let first = self.queue.first()?;
        if self.not_before > now.ledger {
            return None;
        }
        let (mut limits, least) = (self.ruling(&first.limits).clone(), first.cost);
        if let Err(until) = self.state(&limits, now.ledger) {
            self.not_before = until;
            return None;
        }
        let mut room = self.limiter.room(now.ledger);
        let (mut most, mut served) = (Cost::ZERO, 0);
        for waiter in self.queue.iter().take(MAX_WAITERS_PER_ASK) {
            if self.policy.is_none() && !waiter.limits.is_same(&limits) {
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
        let delivery = self.delivery_bound(slowest);
        Some((Ask { limits, delivery, least, most }, served))
    }

    /// The delivery bound of a charge that is asked for now.
    pub(super) fn delivery_bound(&self, slowest: Duration) -> Duration {
        self.limiter.delivery_bound(slowest.saturating_mul(SLOWNESS_FACTOR))
    }
}
