//! The calls of a run: who calls where, for what, and how patiently.

use std::time::Duration;

use rand::RngExt as _;
use turnstile::engine::cost::Cost;
use turnstile::engine::grant::{Epoch, RequestId};
use turnstile::engine::rate::{Limits, Niceness};
use turnstile::engine::throttle::Refusal;
use turnstile::engine::time::Timestamp;

use crate::clock::{MILLISECOND, Moment, SECOND};
use crate::world::{Event, World};

/// How long a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    Endless,
    Deadline(Duration),
    MaxWait(Duration),
    Never,
}

/// Where a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It has not begun.
    Outside,
    /// For a ring that is at least this new, or for the way to an owner.
    Nowhere(Epoch),
    Here(usize),
    There(u64, u64),
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Started,
    GivenBack,
    Refused(Refusal),
    /// Its router gave it up: its owner did not say anything in time.
    RanOut,
    Cancelled,
}

/// One call.
#[derive(Debug)]
pub struct Call {
    /// On which node.
    pub node: usize,
    /// Of which connection, and by which of its limits.
    pub connection: usize,
    pub limits: Limits,
    pub request: RequestId,
    pub retryable: bool,
    pub niceness: Niceness,
    pub cost: Cost,
    pub patience: Patience,
    pub place: Place,
    /// When it began, by its node's clock, and when.
    pub began_at: Timestamp,
    pub began: Moment,
    pub comes_back: bool,
    /// The flag of its reply on this node.
    pub is_gone: std::rc::Rc<std::cell::Cell<bool>>,
    pub ends: Vec<End>,
    /// Its process has crashed.
    pub is_orphaned: bool,
}

impl Call {
    pub fn is_open(&self) -> bool {
        self.place != Place::Outside && self.ends.is_empty() && !self.is_orphaned
    }
}

impl World {
    /// Draws all calls of a run.
    pub fn load(&mut self) {
        for connection in 0..self.scenario.connections.len() {
            let (calls, every) = (self.scenario.connections[connection].calls, self.scenario.connections[connection].every);
            let mut at = SECOND;
            for _ in 0..calls {
                at += self.random.random_range(0..=2 * every);
                self.draw(connection, at);
            }
        }
    }

    fn draw(&mut self, connection: usize, at: Moment) {
        let node = self.random.random_range(0..self.nodes.len());
        let described = &self.scenario.connections[connection];
        let units = if self.random.random_ratio(1, 5) { self.random.random_range(1..=described.units) } else { 1 };
        let limits = described.limits[usize::from(self.random.random_ratio(1, 4)) % described.limits.len()].clone();
        let patience = match self.random.random_range(0..20) {
            0 | 1 => Patience::Deadline(Duration::from_millis(self.random.random_range(200..5_000))),
            2 => Patience::MaxWait(Duration::from_millis(self.random.random_range(0..3_000))),
            3 | 4 => Patience::Never,
            _ => Patience::Endless,
        };
        let retryable = self.random.random_ratio(1, 10);
        let call = Call {
            node,
            connection,
            limits,
            request: RequestId::new(self.random.random()),
            retryable,
            niceness: Niceness::new(self.random.random_range(0..4)),
            cost: Cost::of(units),
            patience,
            place: Place::Outside,
            began_at: Timestamp::ZERO,
            began: 0,
            comes_back: false,
            is_gone: std::rc::Rc::default(),
            ends: Vec::new(),
            is_orphaned: false,
        };
        if retryable {
            // Said again, there or elsewhere.
            let node = if self.random.random_ratio(1, 2) { node } else { self.random.random_range(0..self.nodes.len()) };
            let again = Call { node, is_gone: std::rc::Rc::default(), ends: Vec::new(), limits: call.limits.clone(), ..call };
            let after = self.random.random_range(0..3 * SECOND);
            self.enter(again, at + after);
        }
        let number = self.enter(call, at);
        if self.random.random_ratio(1, 20) {
            let after = self.random.random_range(0..2 * SECOND);
            self.schedule(at + after + MILLISECOND, Event::GiveUp(number));
        }
    }

    fn enter(&mut self, call: Call, at: Moment) -> usize {
        self.calls.push(call);
        self.schedule(at, Event::Call(self.calls.len() - 1));
        self.calls.len() - 1
    }
}
