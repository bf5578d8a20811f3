//! The grants of unary calls, which their callers may give back.
//!
//! Promises: a grant is given back once, however often that is asked; memory is bounded by number and by time.
//! Must not: hold anything that waits for these grants. A unary caller never says that it has finished.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::clock::Clock;
use crate::engine::grant::RequestId;
use crate::engine::key::ConnectionKey;
use crate::engine::time::Timestamp;
use crate::owner::Slot;

/// How long a grant can be given back: far beyond any delivery, after which it must not be started.
const KEPT_FOR: Duration = Duration::from_secs(5 * 60);

/// The most grants kept; the oldest are forgotten first.
const MAX_KEPT: usize = 65_536;

/// Request ids are their callers' own: two connections may use the same.
type Name = (ConnectionKey, RequestId);

/// What became of a release.
#[derive(Debug)]
pub(super) enum Release {
    /// The slot, to be given back.
    Now(Slot),
    /// It was given back before.
    Before,
    /// There is no such grant here, or no longer.
    Unknown,
}

#[derive(Debug)]
struct Kept {
    /// `None` when it was given back.
    slot: Option<Slot>,
    /// The number of its entry in `order`: a request that was given back and granted again has a later one.
    entry: u64,
}

/// The newest grants, in order of their coming.
#[derive(Debug)]
pub(super) struct Releasable {
    clock: Clock,
    kept: HashMap<Name, Kept>,
    order: VecDeque<(Timestamp, Name, u64)>,
    last_entry: u64,
}

impl Releasable {
    /// No grant yet.
    pub(super) fn new() -> Self {
        Self { clock: Clock::start(), kept: HashMap::new(), order: VecDeque::new(), last_entry: 0 }
    }

    /// Keeps a grant.
    pub(super) fn keep(&mut self, slot: Slot) {
        let now = self.clock.now();
        self.forget(now);
        let name = (slot.key().clone(), slot.request());
        self.last_entry += 1;
        self.order.push_back((now + KEPT_FOR, name.clone(), self.last_entry));
        self.kept.insert(name, Kept { slot: Some(slot), entry: self.last_entry });
        if self.order.len() > MAX_KEPT {
            self.forget_oldest();
        }
    }

    /// Finds what is to be given back.
    pub(super) fn release(&mut self, key: &ConnectionKey, id: RequestId) -> Release {
        self.forget(self.clock.now());
        match self.kept.get_mut(&(key.clone(), id)) {
            None => Release::Unknown,
            Some(kept) => kept.slot.take().map_or(Release::Before, Release::Now),
        }
    }

    fn forget(&mut self, now: Timestamp) {
        while self.order.front().is_some_and(|(until, ..)| *until <= now) {
            self.forget_oldest();
        }
        if self.kept.len() < self.kept.capacity() / 8 {
            self.kept.shrink_to(self.kept.len() * 2);
            self.order.shrink_to(self.order.len() * 2);
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, name, entry)) = self.order.pop_front() else { return };
        if self.kept.get(&name).is_some_and(|kept| kept.entry == entry) {
            self.kept.remove(&name);
        }
    }
}
