//! The waiters of one connection: strict priority, first come first served within a niceness.
//!
//! Promises: [`Queue::first`] is the waiter of the lowest niceness that came first; a request id waits at most once;
//! what leaves by [`Queue::remove`] leaves at once, from every index.
//! Must not: know why a waiter waits, or how its answer travels (`T` is its owner's business).
//!
//! A lane per niceness keeps the order, the map keeps the waiters. A waiter that leaves from the middle stays in its lane as a dead
//! entry until it comes up or the dead outnumber the living, so every operation is constant time but for the lanes' map.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use foldhash::fast::FixedState;
use indexmap::IndexMap;

use crate::engine::grant::{ArrivalNumber, RequestId, Sequence};
use crate::engine::rate::{Cost, Limits, Niceness};
use crate::engine::time::Timestamp;

/// An acquire in the queue.
#[derive(Debug, Clone)]
pub struct Waiter<T> {
    /// What makes a retry the same request.
    pub request: RequestId,
    /// Whether its caller may send it again.
    pub retryable: bool,
    /// How far it steps back for others.
    pub niceness: Niceness,
    /// What it takes.
    pub cost: Cost,
    /// What its caller says the connection may take.
    pub limits: Limits,
    /// When it arrived at its first owner, as this owner's clock would have told it.
    pub arrived_at: Timestamp,
    /// Its number in this owner's order of arrival.
    pub arrival: ArrivalNumber,
    /// How long it waits.
    pub patience: Patience,
    /// What its owner needs to answer it.
    pub reply: T,
}

/// How long a waiter waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Until it is granted.
    Endless,
    /// Until its deadline.
    Deadline(Timestamp),
    /// Until then, and not at all once its wait is known to be longer.
    MaxWait(Timestamp),
    /// Not at all: it tries.
    Never,
}

impl Patience {
    /// When it ends by the clock.
    #[must_use]
    pub const fn ends_at(self) -> Option<Timestamp> {
        match self {
            Self::Endless | Self::Never => None,
            Self::Deadline(at) | Self::MaxWait(at) => Some(at),
        }
    }
}

/// A place in a lane. Its waiter may have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    arrived_at: Timestamp,
    arrival: ArrivalNumber,
    request: RequestId,
}

/// The waiters of one niceness, in order of arrival.
#[derive(Debug, Default)]
struct Lane {
    places: VecDeque<Place>,
    living: usize,
    load: Cost,
}

/// The priority queue of one connection.
#[derive(Debug)]
pub struct Queue<T> {
    lanes: BTreeMap<Niceness, Lane>,
    waiters: IndexMap<RequestId, Waiter<T>, FixedState>,
    expiries: BTreeSet<(Timestamp, RequestId)>,
    /// How many of them only try.
    tries: usize,
}

impl<T> Queue<T> {
    /// A queue without waiters.
    #[must_use]
    pub fn new() -> Self {
        Self {
            lanes: BTreeMap::new(),
            waiters: IndexMap::with_hasher(FixedState::default()),
            expiries: BTreeSet::new(),
            tries: 0,
        }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Whether anyone here only tries.
    #[must_use]
    pub fn has_tries(&self) -> bool {
        self.tries > 0
    }

    /// The waiter with this id.
    #[must_use]
    pub fn get(&self, request: RequestId) -> Option<&Waiter<T>> {
        self.waiters.get(&request)
    }

    /// Puts another reply in the place of the one that the waiter had, and hands that back.
    pub fn replace_reply(&mut self, request: RequestId, reply: T) -> Option<T> {
        self.waiters.get_mut(&request).map(|waiter| std::mem::replace(&mut waiter.reply, reply))
    }

    /// Adds a waiter behind all that arrived before it. Its id must not wait already.
    pub fn insert(&mut self, waiter: Waiter<T>) {
        let place = Place { arrived_at: waiter.arrived_at, arrival: waiter.arrival, request: waiter.request };
        let lane = self.lanes.entry(waiter.niceness).or_default();
        lane.living += 1;
        lane.load = lane.load.plus(waiter.cost);
        if lane.places.back().is_none_or(|last| *last < place) {
            lane.places.push_back(place);
        } else {
            // It waited elsewhere before: at another owner, or for a grant that came too late.
            let index = lane.places.partition_point(|other| *other < place);
            // Its own dead entry, if it left from the middle, comes to life again.
            if lane.places.get(index) != Some(&place) {
                lane.places.insert(index, place);
            }
        }
        if let Some(at) = waiter.patience.ends_at() {
            self.expiries.insert((at, waiter.request));
        }
        self.tries += usize::from(waiter.patience == Patience::Never);
        let former = self.waiters.insert(waiter.request, waiter);
        debug_assert!(former.is_none(), "a request id waits at most once");
    }

    /// Takes a waiter out, wherever it is.
    pub fn remove(&mut self, request: RequestId) -> Option<Waiter<T>> {
        let waiter = self.waiters.swap_remove(&request)?;
        if let Some(at) = waiter.patience.ends_at() {
            self.expiries.remove(&(at, request));
        }
        self.tries -= usize::from(waiter.patience == Patience::Never);
        let lane = self.lanes.get_mut(&waiter.niceness).expect("a waiter's lane lives as long as the waiter");
        lane.living -= 1;
        lane.load = lane.load.minus(waiter.cost);
        if lane.living == 0 {
            self.lanes.remove(&waiter.niceness);
        } else if lane.places.front().is_some_and(|first| first.arrival == waiter.arrival) {
            lane.places.pop_front();
            // Keeps the front alive, so that the first waiter is found at once.
            while lane.places.len() > lane.living && lane.places.front().is_some_and(|first| !is_living(&self.waiters, first)) {
                lane.places.pop_front();
            }
        } else if lane.places.len() > 2 * lane.living + 16 {
            lane.places.retain(|place| is_living(&self.waiters, place));
        }
        Some(waiter)
    }

    /// The waiter that is served next.
    #[must_use]
    pub fn first(&self) -> Option<&Waiter<T>> {
        self.iter().next()
    }

    /// All waiters in the order in which they are served.
    pub fn iter(&self) -> impl Iterator<Item = &Waiter<T>> + '_ {
        let living = |place: &Place| self.waiters.get(&place.request).filter(|waiter| waiter.arrival == place.arrival);
        self.lanes.values().flat_map(|lane| lane.places.iter()).filter_map(living)
    }

    /// What is in front of a newcomer of this niceness.
    #[must_use]
    pub fn load_before(&self, niceness: Niceness) -> Cost {
        self.lanes.range(..=niceness).fold(Cost::ZERO, |sum, (_, lane)| sum.plus(lane.load))
    }

    /// How many wait at each niceness.
    pub fn depths(&self) -> impl Iterator<Item = (Niceness, usize)> + '_ {
        self.lanes.iter().map(|(&niceness, lane)| (niceness, lane.living))
    }

    /// When the next waiter stops waiting.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.expiries.first().map(|&(at, _)| at)
    }

    /// Takes out one waiter that has waited long enough.
    pub fn pop_expired(&mut self, now: Timestamp) -> Option<Waiter<T>> {
        let &(at, request) = self.expiries.first()?;
        if at > now { None } else { self.remove(request) }
    }

    /// Takes out every waiter for which `leaves` holds, in the order in which they would have been served.
    pub fn drain_where(&mut self, leaves: impl Fn(&Waiter<T>) -> bool) -> Vec<Waiter<T>> {
        let leaving: Vec<RequestId> = self.iter().filter(|waiter| leaves(waiter)).map(|waiter| waiter.request).collect();
        leaving.into_iter().filter_map(|request| self.remove(request)).collect()
    }

    /// Numbers all waiters anew by their time of arrival: what a new owner does when everyone has come back to it.
    pub fn renumber(&mut self, sequence: &mut Sequence) {
        let mut waiters: Vec<Waiter<T>> = self.waiters.drain(..).map(|(_, waiter)| waiter).collect();
        self.lanes.clear();
        self.expiries.clear();
        self.tries = 0;
        waiters.sort_by_key(|waiter| (waiter.arrived_at, waiter.arrival));
        for mut waiter in waiters {
            waiter.arrival = sequence.arrival();
            self.insert(waiter);
        }
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn is_living<T>(waiters: &IndexMap<RequestId, Waiter<T>, FixedState>, place: &Place) -> bool {
    waiters.get(&place.request).is_some_and(|waiter| waiter.arrival == place.arrival)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::rate::RateLimit;

    fn waiter(request: u128, niceness: u32, sequence: &mut Sequence) -> Waiter<u128> {
        Waiter {
            request: RequestId::new(request),
            retryable: false,
            niceness: Niceness::new(niceness),
            cost: Cost::ONE,
            limits: Limits::new([RateLimit::new(10, Duration::from_secs(1)).unwrap()]).unwrap(),
            arrived_at: Timestamp::from_nanos(100),
            arrival: sequence.arrival(),
            patience: Patience::Endless,
            reply: request,
        }
    }

    fn queue_of(niceness: &[u32]) -> (Queue<u128>, Sequence) {
        let (mut queue, mut sequence) = (Queue::new(), Sequence::default());
        for (request, &niceness) in (1..).zip(niceness) {
            queue.insert(waiter(request, niceness, &mut sequence));
        }
        (queue, sequence)
    }

    fn order(queue: &Queue<u128>) -> Vec<u128> {
        queue.iter().map(|waiter| waiter.request.get()).collect()
    }

    #[test]
    fn lower_niceness_is_first_and_equal_niceness_keeps_its_order() {
        let (queue, _) = queue_of(&[5, 0, u32::MAX, 5, 0]);
        assert_eq!(order(&queue), [2, 5, 1, 4, 3]);
    }

    #[test]
    fn a_waiter_that_leaves_is_gone_from_order_load_and_expiry() {
        let (mut queue, mut sequence) = queue_of(&[1, 1, 1]);
        let expiring = Waiter { patience: Patience::Deadline(Timestamp::from_nanos(7)), ..waiter(9, 1, &mut sequence) };
        queue.insert(expiring);
        assert!(queue.remove(RequestId::new(2)).is_some());
        assert!(queue.remove(RequestId::new(9)).is_some());
        assert!(queue.remove(RequestId::new(9)).is_none());
        assert_eq!(order(&queue), [1, 3]);
        assert_eq!(queue.load_before(Niceness::new(1)), Cost::of(2));
        assert_eq!(queue.next_expiry(), None);
    }

    #[test]
    fn a_request_that_comes_back_under_its_number_takes_its_old_place() {
        let (mut queue, _) = queue_of(&[3, 3, 3]);
        let second = queue.remove(RequestId::new(2)).unwrap();
        queue.insert(second);
        assert_eq!(order(&queue), [1, 2, 3]);
    }

    #[test]
    fn a_reused_id_is_not_confused_with_the_dead_entry_it_left() {
        let (mut queue, mut sequence) = queue_of(&[3, 3, 3]);
        queue.remove(RequestId::new(2)).unwrap();
        queue.insert(waiter(2, 3, &mut sequence));
        assert_eq!(order(&queue), [1, 3, 2]);
        assert_eq!(queue.iter().count(), queue.len());
    }

    #[test]
    fn the_front_of_every_lane_is_alive_so_that_the_first_is_found_at_once() {
        let (mut queue, _) = queue_of(&[3, 3, 3, 3, 3]);
        for request in [3, 2, 4, 1] {
            queue.remove(RequestId::new(request)).unwrap();
            assert!(queue.lanes.values().all(|lane| is_living(&queue.waiters, lane.places.front().unwrap())), "{request} left");
        }
    }

    #[test]
    fn leaving_from_the_middle_leaves_no_growing_trail() {
        let (mut queue, mut sequence) = queue_of(&[3]);
        for request in 10..10_000 {
            queue.insert(waiter(request, 3, &mut sequence));
            queue.remove(RequestId::new(request)).unwrap();
        }
        assert!(queue.lanes.values().all(|lane| lane.places.len() < 64));
    }

    #[test]
    fn waiters_that_came_back_in_any_order_are_numbered_by_their_age() {
        let (mut queue, mut sequence) = (Queue::new(), Sequence::default());
        for (request, arrived_at) in [(1, 300), (2, 100), (3, 200)] {
            let arrived_at = Timestamp::from_nanos(arrived_at);
            queue.insert(Waiter { arrived_at, ..waiter(request, 0, &mut sequence) });
        }
        queue.renumber(&mut sequence);
        assert_eq!(order(&queue), [2, 3, 1]);
        let numbers: Vec<u64> = queue.iter().map(|waiter| waiter.arrival.get()).collect();
        assert_eq!(numbers, [4, 5, 6]);
    }
}
