//! The limits of one process, what was charged to them, and who waits.

use std::collections::VecDeque;
use std::thread::Thread;

use crate::engine::cost::Cost;
use crate::engine::limiter::{Meter, Room};
use crate::engine::rate::{Limits, RateLimit};
use crate::engine::time::{Local, Timestamp};

/// How one who waits is woken.
#[derive(Debug)]
pub(super) enum Wake {
    Thread(Thread),
    #[cfg(feature = "local-async")]
    Task(std::sync::Arc<tokio::sync::Notify>),
}

/// When it is somebody's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Now,
    /// It is first: not before this moment.
    At(Timestamp),
    /// Somebody is in front of it, who wakes it. Or 584 years after the limiter was made.
    Unknown,
}

impl Turn {
    /// The moment, if one is known.
    pub(super) const fn at(self) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(at),
            Self::Now | Self::Unknown => None,
        }
    }
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    cost: Cost,
    wake: Wake,
}

#[derive(Debug)]
pub(super) struct State {
    rules: Vec<(RateLimit, Meter<Local>)>,
    /// In the order in which they came.
    waiters: VecDeque<Waiter>,
    waited: u64,
}

impl State {
    pub(super) fn new(limits: &Limits) -> Self {
        let rules = limits.iter().map(|limit| (*limit, Meter::plain(limit))).collect();
        Self { rules, waiters: VecDeque::new(), waited: 0 }
    }

    /// Whether so much can be had now, in front of nobody.
    pub(super) fn takes_at_once(&self, now: Timestamp, cost: Cost) -> bool {
        cost == Cost::ZERO || self.waiters.is_empty() && self.check(now, cost) == Turn::Now
    }

    /// When so much can be had at the earliest, behind all who wait.
    pub(super) fn earliest(&self, now: Timestamp, cost: Cost) -> Timestamp {
        let ahead = self.waiters.iter().fold(Cost::ZERO, |sum, waiter| sum.plus(waiter.cost));
        let each = self.rules.iter().filter_map(|(limit, meter)| {
            let dimension = limit.dimension();
            meter.earliest(now, ahead.along(dimension), cost.along(dimension))
        });
        each.fold(now, Timestamp::max)
    }

    fn check(&self, now: Timestamp, cost: Cost) -> Turn {
        let mut ready_at = now;
        for (limit, meter) in &self.rules {
            let amount = cost.along(limit.dimension());
            match if amount == 0 { Room::Ready } else { meter.check(now, amount) } {
                Room::Ready => {}
                Room::NotBefore(at) => ready_at = ready_at.max(at),
                Room::Never => return Turn::Unknown,
            }
        }
        if ready_at > now { Turn::At(ready_at) } else { Turn::Now }
    }

    pub(super) fn charge(&mut self, now: Timestamp, cost: Cost) {
        self.each(cost, |meter, amount| meter.charge(now, now, amount));
    }

    pub(super) fn refund(&mut self, charged_at: Timestamp, cost: Cost) {
        self.each(cost, |meter, amount| {
            meter.refund(charged_at, charged_at, amount);
        });
    }

    pub(super) fn owe(&mut self, now: Timestamp, cost: Cost) {
        self.each(cost, |meter, amount| meter.owe(now, amount));
    }

    fn each(&mut self, cost: Cost, mut change: impl FnMut(&mut Meter<Local>, u32)) {
        for (limit, meter) in &mut self.rules {
            change(meter, u32::try_from(cost.along(limit.dimension())).unwrap_or(u32::MAX));
        }
    }

    /// Whether nobody waits and nothing counts any more.
    pub(super) fn is_as_new(&self, now: Timestamp) -> bool {
        self.waiters.is_empty() && self.rules.iter().all(|(_, meter)| meter.empty_at() <= now)
    }

    /// Queues somebody behind all others, under the ticket that is returned.
    pub(super) fn enter(&mut self, cost: Cost, wake: Wake) -> u64 {
        self.waited += 1;
        self.waiters.push_back(Waiter { ticket: self.waited, cost, wake });
        self.waited
    }

    /// When it is the turn of whoever has this ticket, who takes so much.
    pub(super) fn turn(&self, ticket: u64, now: Timestamp, cost: Cost) -> Turn {
        // Only the first knows when its turn is; the others are woken by whoever leaves before them.
        let is_first = self.waiters.front().is_some_and(|first| first.ticket == ticket);
        if is_first { self.check(now, cost) } else { Turn::Unknown }
    }

    /// Takes one out of the queue and wakes who is first then.
    pub(super) fn leave(&mut self, ticket: u64) {
        self.waiters.retain(|waiter| waiter.ticket != ticket);
        self.wake_first();
    }

    pub(super) fn wake_first(&self) {
        match self.waiters.front().map(|first| &first.wake) {
            Some(Wake::Thread(thread)) => thread.unpark(),
            #[cfg(feature = "local-async")]
            Some(Wake::Task(task)) => task.notify_one(),
            None => {}
        }
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiters.len()
    }
}
