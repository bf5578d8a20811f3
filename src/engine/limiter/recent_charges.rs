//! The latest charges of a bucket by name, so that they can be given back.
//!
//! Promises: at most [`MAX_RECENT`]; one that is forgotten can't be given back, and changes nothing for the others.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::engine::time::{Moment, TimeLine};

/// The most charges that one bucket knows by name.
pub(super) const MAX_RECENT: usize = 256;

/// When a charge was made, and from when on it counts, as its maker says.
pub(super) type Name<L> = (Moment<L>, Moment<L>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
struct Recent<L: TimeLine> {
    name: Name<L>,
    /// What was not given back.
    amount: u32,
}

/// In the order in which they were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct RecentCharges<L: TimeLine> {
    charges: VecDeque<Recent<L>>,
    /// The sum over `charges`.
    sum: u64,
}

/// A charge that was found by its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    place: usize,
    /// What was not given back.
    pub(super) amount: u32,
    /// The units that were charged after it.
    pub(super) after: u64,
}

impl<L: TimeLine> RecentCharges<L> {
    pub(super) const fn new() -> Self {
        Self { charges: VecDeque::new(), sum: 0 }
    }

    /// Notes a charge; forgets the oldest one when there are too many.
    pub(super) fn note(&mut self, name: Name<L>, amount: u32) {
        self.sum = self.sum.saturating_add(u64::from(amount));
        match self.charges.back_mut().filter(|last| last.name == name) {
            Some(last) => last.amount = last.amount.saturating_add(amount),
            None => self.charges.push_back(Recent { name, amount }),
        }
        if self.charges.len() > MAX_RECENT {
            self.forget_oldest();
        }
    }

    /// Forgets the oldest ones as long as what was charged after them is all that has not leaked.
    pub(super) fn forget_while(&mut self, is_all: impl Fn(u64) -> bool) {
        while let Some(oldest) = self.charges.front() {
            if !is_all(self.sum.saturating_sub(u64::from(oldest.amount))) {
                break;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.charges.pop_front() {
            self.sum = self.sum.saturating_sub(u64::from(oldest.amount));
        }
    }

    /// The last charge of this name.
    pub(super) fn find(&self, name: Name<L>) -> Option<Named> {
        let mut after = 0_u64;
        for (place, recent) in self.charges.iter().enumerate().rev() {
            if recent.name == name {
                return Some(Named { place, amount: recent.amount, after });
            }
            after = after.saturating_add(u64::from(recent.amount));
        }
        None
    }

    /// Takes `amount` of it away.
    pub(super) fn take(&mut self, named: Named, amount: u32) {
        if let Some(recent) = self.charges.get_mut(named.place) {
            recent.amount = recent.amount.saturating_sub(amount);
            self.sum = self.sum.saturating_sub(u64::from(amount));
        }
    }
}
