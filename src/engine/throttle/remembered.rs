//! The requests that were granted and may be sent again.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;

use crate::engine::cost::Cost;
use crate::engine::grant::RequestId;
use crate::engine::queue::Waiter;
use crate::engine::rate::{Limits, Niceness};
use crate::engine::throttle::{Acquire, Refusal};
use crate::engine::time::LedgerTime;

/// The most requests remembered for one connection; the oldest are forgotten first.
pub const MAX_REMEMBERED: usize = 4096;

/// A request that was granted: as little as will do, for there are many.
#[derive(Debug, Clone, Copy)]
struct Granted {
    request: RequestId,
    /// Of its arguments. Two that share one are taken for the same: then the other use of the id is refused by another name.
    fingerprint: u64,
    /// Until when it is remembered.
    until: LedgerTime,
}

/// Retryable requests that were granted, until the slots they took have left the window and a window has passed.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// In order of release. A request that was taken back stays here until its turn.
    grants: VecDeque<Granted>,
    /// The number of each request's grant, the latest if there were several; only looked up.
    numbers: HashMap<RequestId, u64, FixedState>,
    /// The number of the oldest grant; those behind it count on.
    oldest: u64,
}

impl Remembered {
    /// Remembers a grant until ledger time is `until`.
    pub(super) fn insert<T>(&mut self, waiter: &Waiter<T>, until: LedgerTime) {
        let Waiter { request, niceness, cost, limits, .. } = waiter;
        if self.grants.len() == MAX_REMEMBERED {
            self.forget_oldest();
        }
        self.numbers.insert(*request, self.oldest + number(self.grants.len()));
        self.grants.push_back(Granted { request: *request, fingerprint: fingerprint(*niceness, *cost, limits), until });
    }

    /// Why a request of this id gets no second grant, if it had one.
    pub(super) fn refusal<T>(&self, acquire: &Acquire<T>) -> Option<Refusal> {
        let place = self.numbers.get(&acquire.request)? - self.oldest;
        let granted = self.grants.get(usize::try_from(place).ok()?)?;
        let is_same = granted.fingerprint == fingerprint(acquire.niceness, acquire.cost, &acquire.limits);
        Some(if is_same { Refusal::AlreadyGranted } else { Refusal::RequestIdReused })
    }

    /// Forgets a grant that was given back.
    pub(super) fn remove(&mut self, request: RequestId) {
        self.numbers.remove(&request);
    }

    /// Forgets what has left the window.
    pub(super) fn prune(&mut self, now: LedgerTime) {
        while self.grants.front().is_some_and(|oldest| oldest.until <= now) {
            self.forget_oldest();
        }
    }

    /// When the oldest grant is forgotten; the origin when none is remembered.
    pub(super) fn forgets_at(&self) -> LedgerTime {
        self.grants.front().map_or(LedgerTime::ZERO, |oldest| oldest.until)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    fn forget_oldest(&mut self) {
        let Some(forgotten) = self.grants.pop_front() else {
            return;
        };
        if let Entry::Occupied(latest) = self.numbers.entry(forgotten.request)
            && *latest.get() == self.oldest
        {
            latest.remove();
        }
        self.oldest += 1;
    }
}

fn fingerprint(niceness: Niceness, cost: Cost, limits: &Limits) -> u64 {
    FixedState::default().hash_one((niceness, cost, limits))
}

fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
