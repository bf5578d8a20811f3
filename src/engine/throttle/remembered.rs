//! The requests that were granted and may be sent again.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use indexmap::IndexMap;

use crate::engine::cost::Cost;
use crate::engine::grant::RequestId;
use crate::engine::queue::Waiter;
use crate::engine::rate::{Limits, Niceness};
use crate::engine::throttle::{Acquire, Refusal};
use crate::engine::time::LedgerTime;

/// The most requests remembered for one connection; the oldest are forgotten first.
pub const MAX_REMEMBERED: usize = 4096;

/// What a granted request was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Granted {
    niceness: Niceness,
    cost: Cost,
    limits: Limits,
    /// The number of its entry in `order`: a request that was given back and granted again has a later one.
    entry: u64,
}

/// Retryable requests that were granted, until the slots they took have left the window and a window has passed.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    granted: IndexMap<RequestId, Granted, FixedState>,
    /// In order of release. A request that was taken back stays here until its turn.
    order: VecDeque<(LedgerTime, RequestId, u64)>,
    last_entry: u64,
}

impl Remembered {
    /// Remembers a grant until ledger time is `until`.
    pub(super) fn insert<T>(&mut self, waiter: &Waiter<T>, until: LedgerTime) {
        let Waiter { niceness, cost, limits, .. } = waiter;
        self.last_entry += 1;
        let granted = Granted { niceness: *niceness, cost: *cost, limits: limits.clone(), entry: self.last_entry };
        self.granted.insert(waiter.request, granted);
        self.order.push_back((until, waiter.request, self.last_entry));
        while self.order.len() > MAX_REMEMBERED {
            self.forget_oldest();
        }
    }

    /// Why a request of this id gets no second grant, if it had one.
    pub(super) fn refusal<T>(&self, acquire: &Acquire<T>) -> Option<Refusal> {
        let granted = self.granted.get(&acquire.request)?;
        let is_same = (granted.niceness, granted.cost, &granted.limits) == (acquire.niceness, acquire.cost, &acquire.limits);
        Some(if is_same { Refusal::AlreadyGranted } else { Refusal::RequestIdReused })
    }

    /// Forgets a grant that was given back.
    pub(super) fn remove(&mut self, request: RequestId) {
        self.granted.swap_remove(&request);
    }

    /// Forgets what has left the window.
    pub(super) fn prune(&mut self, now: LedgerTime) {
        while self.order.front().is_some_and(|&(until, ..)| until <= now) {
            self.forget_oldest();
        }
    }

    /// When the oldest grant is forgotten; the origin when none is remembered.
    pub(super) fn forgets_at(&self) -> LedgerTime {
        self.order.front().map_or(LedgerTime::ZERO, |&(until, ..)| until)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn forget_oldest(&mut self) {
        let Some((_, request, entry)) = self.order.pop_front() else {
            return;
        };
        if self.granted.get(&request).is_some_and(|granted| granted.entry == entry) {
            self.granted.swap_remove(&request);
        }
    }
}
