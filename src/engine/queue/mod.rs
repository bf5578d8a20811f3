//! The waiters of one connection: strict priority, first come first served within a niceness.
//!
//! Promises: [`Queue::first`] is the waiter of the lowest niceness that came first; a request id waits at most once;
//! what leaves by [`Queue::remove`] leaves at once, from every index.
//! Must not: know why a waiter waits, or how its answer travels (`T` is its owner's business).
//!
//! The waiters lie in a slab; a lane per niceness holds their slots in order, an index finds them by request id. Coming and being served
//! take constant time, leaving from the middle a search in one lane. Lanes and index hold numbers only, and a newcomer gets the slot that
//! was left last: what a decision touches stays in the caches when the queue itself is too long for them.
//! A waiter that is set aside (see `aside`) keeps all but its place in the order.

mod aside;
mod lane;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use slab::Slab;

use self::lane::Lane;
use crate::engine::cost::Cost;
use crate::engine::fault::Fault;
use crate::engine::grant::{ArrivalNumber, RequestId, Sequence};
use crate::engine::rate::{Limits, Niceness};
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
    /// Its number in this owner's order of arrival: its place.
    pub arrival: ArrivalNumber,
    /// From when on it waits without a break: whoever was released before was released while it was away.
    pub waits_since: ArrivalNumber,
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

/// How many lanes without waiters are kept, so that a queue that empties and fills again allocates nothing.
const MAX_EMPTY_LANES: usize = 4;

/// Where in the slab a waiter lies. Four bytes, because a long queue has many.
type Slot = u32;

/// The priority queue of one connection.
#[derive(Debug)]
pub struct Queue<T> {
    waiters: Slab<Waiter<T>>,
    lanes: BTreeMap<Niceness, Lane>,
    /// Those who don't count as waiting for the time being. No lane in it is empty.
    aside: BTreeMap<Niceness, Lane>,
    /// By request id. Looked up, never walked: its order is a hash's.
    index: HashTable<Slot>,
    hashes: FixedState,
    expiries: BTreeSet<(Timestamp, RequestId)>,
    /// How many of them only try.
    tries: usize,
}

impl<T> Queue<T> {
    /// A queue without waiters.
    #[must_use]
    pub fn new() -> Self {
        Self {
            waiters: Slab::new(),
            lanes: BTreeMap::new(),
            aside: BTreeMap::new(),
            index: HashTable::new(),
            hashes: FixedState::default(),
            expiries: BTreeSet::new(),
            tries: 0,
        }
    }

    /// How many wait, those set aside among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Gives back the memory that former waiters have left, if nobody waits.
    pub fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::new();
        }
    }

    /// Whether anyone here only tries.
    #[must_use]
    pub fn has_tries(&self) -> bool {
        self.tries > 0
    }

    /// The waiter with this id.
    #[must_use]
    pub fn get(&self, request: RequestId) -> Option<&Waiter<T>> {
        self.waiter(self.find(request)?)
    }

    /// Gives a waiter's place to a retry of it, which waits by its own patience, and hands the former reply back.
    pub fn supersede(&mut self, request: RequestId, patience: Patience, reply: T) -> Option<T> {
        let slot = self.find(request)?;
        let waiter = self.waiters.get_mut(slot as usize)?;
        let former = std::mem::replace(&mut waiter.patience, patience);
        let reply = std::mem::replace(&mut waiter.reply, reply);
        self.forget_patience(request, former);
        self.note_patience(request, patience);
        Some(reply)
    }

    /// Adds a waiter at the place of its number of arrival. Neither its number nor its id may wait already.
    ///
    /// # Panics
    /// With more than `u32::MAX` waiters.
    pub fn insert(&mut self, waiter: Waiter<T>) {
        let Waiter { request, niceness, cost, arrival, patience, .. } = waiter;
        debug_assert!(self.find(request).is_none(), "a request id waits at most once");
        #[expect(clippy::expect_used, reason = "their memory alone would be 400 GB")]
        let slot = Slot::try_from(self.waiters.insert(waiter)).expect("at most u32::MAX waiters");
        let (hashes, waiters) = (&self.hashes, &self.waiters);
        let rehash = |&other: &Slot| waiters.get(other as usize).map_or(0, |other| hashes.hash_one(other.request));
        self.index.insert_unique(hashes.hash_one(request), slot, rehash);
        self.lanes.entry(niceness).or_default().insert(arrival, slot, cost);
        self.note_patience(request, patience);
    }

    /// Takes a waiter out, wherever it is.
    pub fn remove(&mut self, request: RequestId) -> Option<Waiter<T>> {
        let slot = self.find(request)?;
        let &Waiter { niceness, arrival, cost, .. } = self.waiter(slot)?;
        if !self.lanes.get_mut(&niceness).is_some_and(|lane| lane.remove(arrival, cost)) {
            self.leave_aside(niceness, arrival, cost);
        }
        self.take(slot)
    }

    /// The waiter that is served next.
    #[must_use]
    pub fn first(&self) -> Option<&Waiter<T>> {
        self.waiter(self.lanes.values().find_map(Lane::first)?)
    }

    /// Takes out the first waiter, if `is_served` holds for it.
    pub fn pop_first_if(&mut self, is_served: impl FnOnce(&Waiter<T>) -> bool) -> Option<Waiter<T>> {
        if Fault::Lifo.is_planted() {
            let last = self.waiter(self.lanes.values().find_map(|lane| lane.iter().last())?)?;
            return if is_served(last) { self.remove(last.request) } else { None };
        }
        let (lane, slot) = self.lanes.values_mut().find_map(|lane| lane.first().map(|slot| (lane, slot)))?;
        let first = self.waiters.get(slot as usize).filter(|first| is_served(first))?;
        lane.pop_first(first.cost);
        self.take(slot)
    }

    fn find(&self, request: RequestId) -> Option<Slot> {
        let is_it = |&slot: &Slot| self.waiter(slot).is_some_and(|waiter| waiter.request == request);
        self.index.find(self.hashes.hash_one(request), is_it).copied()
    }

    fn waiter(&self, slot: Slot) -> Option<&Waiter<T>> {
        self.waiters.get(slot as usize)
    }

    /// Takes a waiter that has left its lane out of everything else.
    fn take(&mut self, slot: Slot) -> Option<Waiter<T>> {
        let waiter = self.waiters.try_remove(slot as usize)?;
        if let Ok(entry) = self.index.find_entry(self.hashes.hash_one(waiter.request), |&other| other == slot) {
            entry.remove();
        }
        self.forget_patience(waiter.request, waiter.patience);
        let is_over = self.lanes.len() > MAX_EMPTY_LANES;
        if is_over && self.lanes.get(&waiter.niceness).is_some_and(|lane| lane.living() == 0) {
            self.lanes.remove(&waiter.niceness);
        }
        Some(waiter)
    }

    fn note_patience(&mut self, request: RequestId, patience: Patience) {
        if let Some(at) = patience.ends_at() {
            self.expiries.insert((at, request));
        }
        self.tries += usize::from(patience == Patience::Never);
    }

    fn forget_patience(&mut self, request: RequestId, patience: Patience) {
        if let Some(at) = patience.ends_at() {
            self.expiries.remove(&(at, request));
        }
        self.tries -= usize::from(patience == Patience::Never);
    }

    /// All waiters that are not set aside, in the order in which they are served.
    pub fn iter(&self) -> impl Iterator<Item = &Waiter<T>> + '_ {
        self.lanes.values().flat_map(Lane::iter).filter_map(|slot| self.waiter(slot))
    }

    /// What is in front of a newcomer of this niceness.
    #[must_use]
    pub fn load_before(&self, niceness: Niceness) -> Cost {
        self.lanes.range(..=niceness).fold(Cost::ZERO, |sum, (_, lane)| sum.plus(lane.load()))
    }

    /// Who is served before this waiter, of each niceness that has any: how many, and what they take together.
    pub fn ahead_of<'a>(&'a self, waiter: &Waiter<T>) -> impl Iterator<Item = (Niceness, usize, Cost)> + 'a {
        let (own, arrival) = (waiter.niceness, waiter.arrival);
        let ahead = self.lanes.range(..=own).map(move |(&niceness, lane)| {
            if niceness < own {
                return (niceness, lane.living(), lane.load());
            }
            let before = lane.before(arrival).filter_map(|slot| self.waiter(slot));
            let (count, load) = before.fold((0, Cost::ZERO), |(count, load), other| (count + 1, load.plus(other.cost)));
            (niceness, count, load)
        });
        ahead.filter(|(_, count, _)| *count > 0)
    }

    /// How many wait at each niceness and are not set aside.
    pub fn depths(&self) -> impl Iterator<Item = (Niceness, usize)> + '_ {
        self.lanes.iter().map(|(&niceness, lane)| (niceness, lane.living())).filter(|(_, living)| *living > 0)
    }

    /// How many wait at each niceness, those set aside among them.
    #[must_use]
    pub fn all_depths(&self) -> Vec<(Niceness, usize)> {
        let mut depths: BTreeMap<Niceness, usize> = self.depths().collect();
        self.aside.iter().for_each(|(&niceness, lane)| *depths.entry(niceness).or_default() += lane.living());
        depths.into_iter().collect()
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

    /// Takes out every waiter for which `leaves` holds, those set aside among them, in the order in which they would have been served.
    pub fn drain_where(&mut self, leaves: impl Fn(&Waiter<T>) -> bool) -> Vec<Waiter<T>> {
        let waiters = self.iter().chain(self.aside()).filter(|waiter| leaves(waiter));
        let mut leaving: Vec<_> = waiters.map(|waiter| (waiter.niceness, waiter.arrival, waiter.request)).collect();
        if !self.aside.is_empty() {
            leaving.sort_unstable();
        }
        leaving.into_iter().filter_map(|(.., request)| self.remove(request)).collect()
    }

    /// Numbers all waiters anew by their time of arrival: what a new owner does when everyone has come back to it. None is set aside then.
    pub fn renumber(&mut self, sequence: &mut Sequence) {
        let mut waiters = self.drain_where(|_| true);
        waiters.sort_by_key(|waiter| (waiter.arrived_at, waiter.arrival));
        for mut waiter in waiters {
            waiter.arrival = sequence.arrival();
            waiter.waits_since = waiter.arrival;
            self.insert(waiter);
        }
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
