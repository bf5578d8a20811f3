//! The exact sliding window: never more than N in any half-open rolling window.
//!
//! The window keeps every charge of the last span as a run (moment, amount), so "is there room" is a sum and
//! "when is there room" a walk. That is exact while there are at most [`MAX_RUNS`] different moments; beyond, neighbouring
//! runs are merged into the later one, which only ever makes a caller wait longer, by at most 1/256 of the time over
//! which the runs are spread: the span and the delivery bound.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::room::Room;
use crate::engine::fault::Fault;
use crate::engine::time::{Moment, TimeLine, nanos_of};

/// The most runs one window keeps.
pub const MAX_RUNS: usize = 1024;

/// How many runs are left when a full window has been compacted.
const COMPACTED_RUNS: usize = MAX_RUNS / 2;

/// Charges that count from one moment on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
struct Run<L: TimeLine> {
    from: Moment<L>,
    /// More than the limit has, when more was taken than was asked for.
    amount: u64,
    /// When the last charge that counts from this moment was made.
    charged_at: Moment<L>,
    /// What of `amount` that charge was, and may so be given back by name.
    refundable: u32,
}

/// At most `count` per half-open rolling `span`, on time line `L`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct SlidingWindow<L: TimeLine> {
    count: u32,
    span: Duration,
    /// In order of `from`, each moment once.
    runs: VecDeque<Run<L>>,
    /// The sum over `runs`.
    held: u64,
}

impl<L: TimeLine> SlidingWindow<L> {
    /// An empty window. A charge counts for `span` from its moment on, the end excluded.
    #[must_use]
    pub const fn new(count: u32, span: Duration) -> Self {
        Self { count, span, runs: VecDeque::new(), held: 0 }
    }

    /// A window of other parameters over this one's history. A longer span has no more history than the shorter one
    /// kept: its promise starts one new span later.
    #[must_use]
    pub fn resized(&self, count: u32, span: Duration) -> Self {
        Self { count, span, runs: self.runs.clone(), held: self.held }
    }

    /// How long a charge counts.
    #[must_use]
    pub const fn span(&self) -> Duration {
        self.span
    }

    /// The units that may be charged at `now`; forgets what has left.
    pub fn room(&mut self, now: Moment<L>) -> u64 {
        self.prune(now);
        u64::from(self.count).saturating_sub(self.held)
    }

    /// Whether `amount` may be charged at `now`, and else when.
    #[must_use]
    pub fn check(&self, now: Moment<L>, amount: u64) -> Room<Moment<L>> {
        let Some(allowed_beside) = u64::from(self.count).checked_sub(amount) else {
            return Room::Never;
        };
        let mut held = self.held;
        let mut free_at = now;
        for run in &self.runs {
            let leaves_at = run.from + self.span;
            // Runs that left by `now` but were not pruned yet cost nothing to pass.
            if leaves_at > now && held <= allowed_beside {
                break;
            }
            held = held.saturating_sub(run.amount);
            free_at = free_at.max(leaves_at);
        }
        if free_at > now { Room::NotBefore(free_at) } else { Room::Ready }
    }

    /// A moment before which a request for `amount` with `ahead` units in front of it can't be charged: each `count` of
    /// them need a span of their own. `None` when `amount` is more than the whole limit.
    #[must_use]
    pub fn earliest(&self, now: Moment<L>, ahead: u64, amount: u64) -> Option<Moment<L>> {
        let count = u64::from(self.count);
        if amount > count {
            return None;
        }
        let total = ahead.saturating_add(amount);
        let full_spans = total.saturating_sub(1) / count;
        let first = match self.check(now, total - full_spans * count) {
            Room::Ready | Room::Never => now,
            Room::NotBefore(at) => at,
        };
        let wait = nanos_of(self.span).saturating_mul(full_spans);
        Some(first + Duration::from_nanos(wait))
    }

    /// Counts `amount` from `from` on, which may lie ahead of `now`. The caller has checked that there is room.
    pub fn charge(&mut self, now: Moment<L>, from: Moment<L>, amount: u32) {
        self.prune(now);
        let from = self.counts_from(from);
        if amount == 0 {
            return;
        }
        self.held += u64::from(amount);
        // Moments come almost sorted: the place is at, or close to, the end.
        let place = self.runs.iter().rposition(|run| run.from <= from).map_or(0, |before| before + 1);
        match place.checked_sub(1).and_then(|before| self.runs.get_mut(before)).filter(|run| run.from == from) {
            Some(run) => {
                // Another charge may count from the same moment by chance; only one of them keeps its name.
                if run.charged_at != now {
                    (run.charged_at, run.refundable) = (now, 0);
                }
                run.amount += u64::from(amount);
                run.refundable = run.refundable.saturating_add(amount);
            }
            None => self.runs.insert(place, Run { from, amount: u64::from(amount), charged_at: now, refundable: amount }),
        }
        if self.runs.len() > MAX_RUNS {
            self.compact();
        }
    }

    /// Counts `amount` from `from` on, under no name: it can't be given back.
    pub(super) fn charge_unnamed(&mut self, now: Moment<L>, from: Moment<L>, amount: u32) {
        if amount == 0 {
            // A charge that counts from the same moment keeps its name.
            return;
        }
        self.charge(now, from, amount);
        let place = self.runs.partition_point(|run| run.from < from);
        if let Some(run) = self.runs.get_mut(place).filter(|run| run.from == from) {
            run.refundable = 0;
        }
    }

    /// From when on how much counts, in order.
    pub(super) fn runs(&self) -> impl Iterator<Item = (Moment<L>, u64)> + '_ {
        self.runs.iter().map(|run| (run.from, run.amount))
    }

    /// Gives back up to `amount` of what was charged at exactly `charged_at` to count from `from` on, and says how much: less when
    /// part of it was given back before, nothing when it has left or was merged.
    pub fn refund(&mut self, charged_at: Moment<L>, from: Moment<L>, amount: u32) -> u32 {
        let from = self.counts_from(from);
        let place = self.runs.partition_point(|run| run.from < from);
        let Some(run) = self.runs.get_mut(place).filter(|run| (run.from, run.charged_at) == (from, charged_at)) else {
            return 0;
        };
        let given_back = amount.min(run.refundable);
        run.refundable -= given_back;
        run.amount -= u64::from(given_back);
        self.held -= u64::from(given_back);
        if run.amount == 0 {
            self.runs.remove(place);
        }
        given_back
    }

    /// When the last charge has left; the origin when there is none.
    #[must_use]
    pub fn empty_at(&self) -> Moment<L> {
        self.runs.back().map_or(Moment::ZERO, |run| run.from + self.span)
    }

    /// The units that count at the moment of the last call.
    #[must_use]
    pub const fn held(&self) -> u64 {
        self.held
    }

    /// The units that count at `now`, of those that were not forgotten.
    pub(super) fn held_at(&self, now: Moment<L>) -> u64 {
        self.runs().filter(|(from, _)| *from + self.span > now).map(|(_, amount)| amount).sum()
    }

    fn prune(&mut self, now: Moment<L>) {
        while let Some(run) = self.runs.front() {
            if run.from + self.span > now {
                break;
            }
            self.held -= run.amount;
            self.runs.pop_front();
        }
    }

    /// From when on a charge counts: as it says.
    fn counts_from(&self, from: Moment<L>) -> Moment<L> {
        if Fault::FixedWindow.is_planted() {
            let span = nanos_of(self.span).max(1);
            return Moment::from_nanos(from.as_nanos() / span * span);
        }
        from
    }

    /// Merges neighbours within one quantum into the later one, doubling the quantum until half the runs are gone.
    fn compact(&mut self) {
        let mut quantum = (nanos_of(self.span) / 256).max(1);
        while self.runs.len() > COMPACTED_RUNS {
            let mut merged: VecDeque<Run<L>> = VecDeque::with_capacity(MAX_RUNS + 1);
            for run in self.runs.drain(..) {
                match merged.back_mut() {
                    Some(last) if last.from.as_nanos() / quantum == run.from.as_nanos() / quantum => {
                        *last = Run { amount: last.amount + run.amount, ..run };
                    }
                    _ => merged.push_back(run),
                }
            }
            self.runs = merged;
            quantum = quantum.saturating_mul(2);
        }
    }
}

#[cfg(test)]
mod tests;
