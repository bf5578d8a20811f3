//! A connection between two things that happen: when it wants to be looked at again, and whether it may be forgotten.

use super::{Now, Throttle};
use crate::engine::limiter::Room;
use crate::engine::time::Timestamp;

impl<T> Throttle<T> {
    /// When to call [`Throttle::poll`] again, if nothing else happens before. `None` when there is nothing to wake for: an answer is
    /// under way, or the connection is idle.
    #[must_use]
    pub fn next_wake(&self, now: Now) -> Option<Timestamp> {
        let slots = match (self.queue.first(), &self.in_flight, self.settling) {
            (_, Some(_), _) => None,
            (_, None, Some(settling)) => Some(settling.ends_at()),
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
        let quiet = self.queue.is_empty()
            && self.in_flight.is_none()
            && self.returns.is_empty()
            && self.unsettled.is_empty()
            && self.settling.is_none();
        quiet && self.remembered.is_empty() && self.limiter.empty_at() <= now.ledger
    }

    /// Gives back what it doesn't need before its next acquire. For a connection that rests: it costs that acquire an allocation or two.
    pub fn shrink(&mut self) {
        self.queue.shrink();
    }
}
