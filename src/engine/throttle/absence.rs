//! Waiters of whom nobody has heard lately: their process is stopped, or cut off, and a slot would reach it too late.
//!
//! They don't count as waiting until they are heard again, so that no slot is wasted on them while others wait. Looked at only when there is a slot to
//! give: who is silent for a moment while there is none misses nothing.

use std::time::Duration;

use super::Throttle;
use crate::engine::grant::Sequence;

/// Which part of the delivery bound a worker may be silent for. The rest is for the slot's way.
const SILENCES_PER_DELIVERY: u32 = 2;

impl<T> Throttle<T> {
    /// Sets those in front aside who are silent, for slots that may be delivered within `delivery`. Without a bound nothing comes too late.
    pub(super) fn set_absent_aside(&mut self, delivery: Duration, is_present: &impl Fn(&T, Duration) -> bool) {
        if !delivery.is_zero() {
            let silence = delivery / SILENCES_PER_DELIVERY;
            self.queue.set_aside_while(|first| !is_present(&first.reply, silence));
        }
    }

    /// Lets those wait again who were set aside and have been heard since, at their old places. Call [`Throttle::poll`] next.
    pub fn recall(&mut self, slowest: Duration, sequence: &mut Sequence, is_present: impl Fn(&T, Duration) -> bool) {
        let delivery = self.delivery_bound(slowest);
        let is_back = |reply: &T| delivery.is_zero() || is_present(reply, delivery / SILENCES_PER_DELIVERY);
        self.queue.recall(sequence, |waiter| is_back(&waiter.reply));
    }
}
