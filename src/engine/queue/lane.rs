//! The waiters of one niceness, in order of arrival.

use std::collections::VecDeque;

use super::Waiter;
use crate::engine::grant::ArrivalNumber;
use crate::engine::rate::Cost;
use crate::engine::time::Timestamp;

/// How many dead places a lane may have more than living ones before they are cleared away.
const MAX_DEAD: usize = 16;

/// A waiter's place in its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    arrived_at: Timestamp,
    arrival: ArrivalNumber,
}

impl Turn {
    /// Where this waiter belongs.
    pub(super) const fn of<T>(waiter: &Waiter<T>) -> Self {
        Self { arrived_at: waiter.arrived_at, arrival: waiter.arrival }
    }
}

/// A place: dead when its waiter has left.
#[derive(Debug)]
struct Place<T> {
    turn: Turn,
    waiter: Option<Waiter<T>>,
}

/// Places sorted by turn. The first one is living, if any is.
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
        self.places.front().and_then(|place| place.waiter.as_ref())
    }

    /// All waiters in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiter<T>> + '_ {
        self.places.iter().filter_map(|place| place.waiter.as_ref())
    }

    pub(super) fn get(&self, turn: Turn) -> Option<&Waiter<T>> {
        self.places.get(self.find(turn)?)?.waiter.as_ref()
    }

    /// Puts a waiter into its place.
    pub(super) fn insert(&mut self, waiter: Waiter<T>) {
        self.living += 1;
        self.load = self.load.plus(waiter.cost);
        let turn = Turn::of(&waiter);
        let place = Place { turn, waiter: Some(waiter) };
        if self.places.back().is_none_or(|last| last.turn < turn) {
            self.places.push_back(place);
            return;
        }
        // It waited elsewhere before: at another owner, or for a grant that came too late.
        let index = self.places.partition_point(|other| other.turn < turn);
        match self.places.get_mut(index).filter(|other| other.turn == turn) {
            // Its own dead place, if it left from the middle.
            Some(own) => *own = place,
            None => self.places.insert(index, place),
        }
    }

    /// Takes out the waiter that came first.
    pub(super) fn pop_first(&mut self) -> Option<Waiter<T>> {
        let waiter = self.places.pop_front()?.waiter?;
        self.left(waiter.cost);
        Some(waiter)
    }

    /// Takes out the waiter with this turn.
    pub(super) fn remove(&mut self, turn: Turn) -> Option<Waiter<T>> {
        let index = self.find(turn)?;
        let waiter = self.places.get_mut(index)?.waiter.take()?;
        self.left(waiter.cost);
        Some(waiter)
    }

    fn left(&mut self, cost: Cost) {
        self.living -= 1;
        self.load = self.load.minus(cost);
        while self.places.front().is_some_and(|first| first.waiter.is_none()) {
            self.places.pop_front();
        }
        if self.places.len() > 2 * self.living + MAX_DEAD {
            self.places.retain(|place| place.waiter.is_some());
            self.places.shrink_to(2 * self.living + MAX_DEAD);
        }
    }

    fn find(&self, turn: Turn) -> Option<usize> {
        self.places.binary_search_by(|place| place.turn.cmp(&turn)).ok()
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
