//! Those who are set aside: nobody has heard lately of the one who would use their slots.
//!
//! They don't count as waiting: they are not first, nobody's slot is kept for them, nothing is before anybody because of them. All else about them
//! stays: their place in the queue's bound, their deadline, their id. They are set aside when their turn has come, from the front, and come back
//! to their old order.

use super::{Lane, Queue, Waiter};
use crate::engine::cost::Cost;
use crate::engine::grant::{ArrivalNumber, Sequence};
use crate::engine::rate::Niceness;

impl<T> Queue<T> {
    /// Whether anybody is set aside.
    #[must_use]
    pub fn has_aside(&self) -> bool {
        !self.aside.is_empty()
    }

    /// Those who are set aside, in the order in which they would be served.
    pub fn aside(&self) -> impl Iterator<Item = &Waiter<T>> + '_ {
        self.aside.values().flat_map(Lane::iter).filter_map(|slot| self.waiter(slot))
    }

    /// Sets the first waiter aside, and whoever is first then, as long as `is_absent` holds for them.
    pub fn set_aside_while(&mut self, is_absent: impl Fn(&Waiter<T>) -> bool) {
        while let Some((niceness, lane, slot)) =
            self.lanes.iter_mut().find_map(|(niceness, lane)| lane.first().map(|slot| (*niceness, lane, slot)))
            && let Some(&Waiter { arrival, cost, .. }) = self.waiters.get(slot as usize).filter(|first| is_absent(first))
        {
            lane.pop_first(cost);
            self.aside.entry(niceness).or_default().insert(arrival, slot, cost);
        }
    }

    /// Puts those who are set aside, and for whom `is_back` holds, back into their places.
    pub fn recall(&mut self, sequence: &mut Sequence, is_back: impl Fn(&Waiter<T>) -> bool) {
        let Self { waiters, lanes, aside, .. } = self;
        aside.retain(|niceness, absent| {
            let is_back = |slot: &super::Slot| waiters.get(*slot as usize).is_some_and(&is_back);
            let back: Vec<super::Slot> = absent.iter().filter(is_back).collect();
            if back.is_empty() {
                return true;
            }
            let lane = lanes.entry(*niceness).or_default();
            // From the last to the first, who mostly goes to the front: that moves nobody.
            for slot in back.into_iter().rev() {
                if let Some(waiter) = waiters.get_mut(slot as usize) {
                    waiter.waits_since = sequence.arrival();
                    absent.remove(waiter.arrival, waiter.cost);
                    lane.insert(waiter.arrival, slot, waiter.cost);
                }
            }
            absent.living() > 0
        });
    }

    /// Takes a waiter out of those who are set aside.
    pub(super) fn leave_aside(&mut self, niceness: Niceness, arrival: ArrivalNumber, cost: Cost) {
        if let Some(lane) = self.aside.get_mut(&niceness) {
            lane.remove(arrival, cost);
            if lane.living() == 0 {
                self.aside.remove(&niceness);
            }
        }
    }
}
