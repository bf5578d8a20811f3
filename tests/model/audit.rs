//! Who watches: what the log charged, what was started, and which promise that broke.
//!
//! The audit sees what no node sees, and nobody acts by it.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use turnstile::engine::grant::Incarnation;
use turnstile::engine::time::LedgerTime;

use super::log::{Applied, Connection, Message, Tick};
use super::node::Slot;
use super::variant::Promise;

/// One slot that the log has charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Charged {
    pub stamp: LedgerTime,
    pub by: Incarnation,
    /// Of the batch.
    number: NonZeroU64,
    pub is_started: bool,
    pub is_given_back: bool,
}

/// All that was ever charged, and the starts of the last window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Audit {
    pub charges: Vec<Charged>,
    starts: Vec<Tick>,
    broken: BTreeSet<Promise>,
}

impl Audit {
    /// Whether a promise was kept so far.
    pub fn holds(&self, promise: Promise) -> bool {
        !self.broken.contains(&promise)
    }

    fn demand(&mut self, promise: Promise, holds: bool) {
        if !holds {
            self.broken.insert(promise);
        }
    }

    fn charge_of(&mut self, stamp: LedgerTime) -> Option<&mut Charged> {
        self.charges.iter_mut().find(|charged| charged.stamp == stamp)
    }

    /// A message was committed.
    pub fn committed(&mut self, message: Message, applied: Applied) {
        self.taken_back(applied);
        if let (Message::Propose { run, number, seen, .. }, Some(stamp)) = (message, applied.charged) {
            let has_seen_all = self.charges.iter().skip(usize::from(seen)).all(|charged| charged.by == run);
            self.demand(Promise::Succession, has_seen_all);
            let is_repeated = self.charges.iter().any(|charged| (charged.by, charged.number) == (run, number));
            self.demand(Promise::Once, !is_repeated);
            self.charges.push(Charged { stamp, by: run, number, is_started: false, is_given_back: false });
        }
    }

    /// An entry may have taken a slot back.
    pub fn taken_back(&mut self, applied: Applied) {
        if let Some(charged) = applied.taken_back.and_then(|stamp| self.charge_of(stamp)) {
            charged.is_given_back = true;
            let was_started = charged.is_started;
            self.demand(Promise::GivenBack, !was_started);
        }
    }

    /// A worker starts a grant.
    pub fn started(&mut self, connection: &Connection, now: Tick, slot: Slot) {
        self.starts.push(now);
        self.passed(connection, now);
        self.demand(Promise::Limit, self.starts.len() <= usize::from(connection.count));
        let Some(charged) = slot.stamp.and_then(|stamp| self.charge_of(stamp)) else {
            return self.demand(Promise::Charged, false);
        };
        let (was_started, was_given_back, by) = (charged.is_started, charged.is_given_back, charged.by);
        charged.is_started = true;
        self.demand(Promise::Charged, !was_started);
        self.demand(Promise::GivenBack, !was_given_back);
        self.demand(Promise::Own, by == slot.run);
    }

    /// Time has passed: windows are half-open, so a start that is one window old has left.
    pub fn passed(&mut self, connection: &Connection, now: Tick) {
        self.starts.retain(|start| start + connection.window > now);
    }
}
