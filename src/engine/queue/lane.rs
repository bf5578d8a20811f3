//! The waiters of one niceness, in order of arrival.

use std::collections::VecDeque;

use super::Slot;
use crate::engine::cost::Cost;
use crate::engine::grant::ArrivalNumber;

/// How many dead places a lane may have more than living ones before they are cleared away.
const MAX_DEAD: usize = 16;

/// A place: dead, without a slot, when its waiter has left.
#[derive(Debug, Clone, Copy)]
struct Place {
    arrival: ArrivalNumber,
    slot: Option<Slot>,
}

/// Places sorted by number of arrival. The first one is living, if any is.
#[derive(Debug)]
pub(super) struct Lane {
    places: VecDeque<Place>,
    living: usize,
    load: Cost,
}

impl Lane {
    /// How many wait.
    pub(super) const fn living(&self) -> usize {
        self.living
    }

    /// What they take together.
    pub(super) const fn load(&self) -> Cost {
        self.load
    }

    /// The waiter that came first.
    pub(super) fn first(&self) -> Option<Slot> {
        self.places.front().and_then(|place| place.slot)
    }

    /// All waiters in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.places.iter().filter_map(|place| place.slot)
    }

    /// All waiters before this place, in order.
    pub(super) fn before(&self, arrival: ArrivalNumber) -> impl Iterator<Item = Slot> + '_ {
        self.places.iter().take_while(move |place| place.arrival < arrival).filter_map(|place| place.slot)
    }

    /// Puts a waiter into its place.
    pub(super) fn insert(&mut self, arrival: ArrivalNumber, slot: Slot, cost: Cost) {
        self.living += 1;
        self.load = self.load.plus(cost);
        let place = Place { arrival, slot: Some(slot) };
        if self.places.back().is_none_or(|last| last.arrival < arrival) {
            self.places.push_back(place);
            return;
        }
        // It comes back to its old place: its grant came too late.
        let index = self.places.partition_point(|other| other.arrival < arrival);
        match self.places.get_mut(index).filter(|other| other.arrival == arrival) {
            // Its own dead place, if it left from the middle.
            Some(own) => *own = place,
            None => self.places.insert(index, place),
        }
    }

    /// Takes out the waiter that came first, which takes this much.
    pub(super) fn pop_first(&mut self, cost: Cost) {
        if self.places.pop_front().is_some() {
            self.left(cost);
        }
    }

    /// Takes out the waiter with this number, which takes this much. Says whether it was here.
    pub(super) fn remove(&mut self, arrival: ArrivalNumber, cost: Cost) -> bool {
        let index = self.places.binary_search_by_key(&arrival, |place| place.arrival);
        let slot = index.ok().and_then(|index| self.places.get_mut(index)).and_then(|place| place.slot.take());
        if slot.is_some() {
            self.left(cost);
        }
        slot.is_some()
    }

    fn left(&mut self, cost: Cost) {
        self.living -= 1;
        self.load = self.load.minus(cost);
        while self.places.front().is_some_and(|first| first.slot.is_none()) {
            self.places.pop_front();
        }
        if self.places.len() > 2 * self.living + MAX_DEAD {
            self.places.retain(|place| place.slot.is_some());
            self.places.shrink_to(2 * self.living + MAX_DEAD);
        }
    }

    /// How many places it has, dead ones among them.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

impl Default for Lane {
    fn default() -> Self {
        Self { places: VecDeque::new(), living: 0, load: Cost::ZERO }
    }
}
