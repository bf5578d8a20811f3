//! The waiters of one niceness, in order of arrival.

use std::collections::VecDeque;

use super::Waiter;
use crate::engine::grant::ArrivalNumber;
use crate::engine::rate::Cost;

/// How many dead places a lane may have more than living ones before they are cleared away.
const MAX_DEAD: usize = 16;

/// A place: dead when its waiter has left.
#[derive(Debug)]
enum Place<T> {
    Living(Waiter<T>),
    Dead(ArrivalNumber),
}

impl<T> Place<T> {
    const fn arrival(&self) -> ArrivalNumber {
        match self {
            Self::Living(waiter) => waiter.arrival,
            Self::Dead(arrival) => *arrival,
        }
    }

    const fn living(&self) -> Option<&Waiter<T>> {
        match self {
            Self::Living(waiter) => Some(waiter),
            Self::Dead(_) => None,
        }
    }

    fn into_living(self) -> Option<Waiter<T>> {
        match self {
            Self::Living(waiter) => Some(waiter),
            Self::Dead(_) => None,
        }
    }
}

/// Places sorted by number of arrival. The first one is living, if any is.
#[derive(Debug)]
pub(super) struct Lane<T> {
    places: VecDeque<Place<T>>,
    living: usize,
    load: Cost,
}

impl<T> Lane<T> {
    /// How many wait.
    pub(super) const fn living(&self) -> usize {
        self.living
    }

    /// What they take together.
    pub(super) const fn load(&self) -> Cost {
        self.load
    }

    /// The waiter that came first.
    pub(super) fn first(&self) -> Option<&Waiter<T>> {
        self.places.front().and_then(Place::living)
    }

    /// All waiters in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiter<T>> + '_ {
        self.places.iter().filter_map(Place::living)
    }

    /// The waiter with this number.
    pub(super) fn get(&self, arrival: ArrivalNumber) -> Option<&Waiter<T>> {
        self.places.get(self.find(arrival)?)?.living()
    }

    /// Puts a waiter into its place.
    pub(super) fn insert(&mut self, waiter: Waiter<T>) {
        self.living += 1;
        self.load = self.load.plus(waiter.cost);
        let arrival = waiter.arrival;
        if self.places.back().is_none_or(|last| last.arrival() < arrival) {
            self.places.push_back(Place::Living(waiter));
            return;
        }
        // It comes back to its old place: its grant came too late, or a retry took it over.
        let index = self.places.partition_point(|other| other.arrival() < arrival);
        match self.places.get_mut(index).filter(|other| other.arrival() == arrival) {
            // Its own dead place, if it left from the middle.
            Some(own) => *own = Place::Living(waiter),
            None => self.places.insert(index, Place::Living(waiter)),
        }
    }

    /// Takes out the waiter that came first.
    pub(super) fn pop_first(&mut self) -> Option<Waiter<T>> {
        let waiter = self.places.pop_front()?.into_living()?;
        self.left(waiter.cost);
        Some(waiter)
    }

    /// Takes out the waiter with this number.
    pub(super) fn remove(&mut self, arrival: ArrivalNumber) -> Option<Waiter<T>> {
        let index = self.find(arrival)?;
        let waiter = std::mem::replace(self.places.get_mut(index)?, Place::Dead(arrival)).into_living()?;
        self.left(waiter.cost);
        Some(waiter)
    }

    fn left(&mut self, cost: Cost) {
        self.living -= 1;
        self.load = self.load.minus(cost);
        while self.places.front().is_some_and(|first| first.living().is_none()) {
            self.places.pop_front();
        }
        if self.places.len() > 2 * self.living + MAX_DEAD {
            self.places.retain(|place| place.living().is_some());
            self.places.shrink_to(2 * self.living + MAX_DEAD);
        }
    }

    fn find(&self, arrival: ArrivalNumber) -> Option<usize> {
        self.places.binary_search_by(|place| place.arrival().cmp(&arrival)).ok()
    }

    /// How many places it has, dead ones among them.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { places: VecDeque::new(), living: 0, load: Cost::ZERO }
    }
}
