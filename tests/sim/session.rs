//! A session between a router and the owners of another node: what each end keeps, and what travels. By the same rules as the product's sessions.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use turnstile::engine::cost::Cost;
use turnstile::engine::grant::{Epoch, Grant, RequestId};
use turnstile::engine::key::ConnectionKey;
use turnstile::engine::rate::{Limits, Niceness};
use turnstile::engine::shard::Caller;
use turnstile::engine::throttle::{Acquire, Patience, Refusal};
use turnstile::engine::time::Timestamp;

use crate::clock::Moment;

/// A silence shorter than this says nothing.
const LEAST_SILENCE: Duration = Duration::from_millis(4);

/// When a session's router was heard.
#[derive(Debug)]
pub struct Presence {
    pub heard_at: Cell<Timestamp>,
    pub is_missed: Cell<bool>,
}

/// Where an answer goes.
#[derive(Debug, Clone)]
pub enum To {
    /// To a call on this node.
    Here(usize),
    /// To a session's acquire of this number.
    There { session: u64, number: u64, presence: Rc<Presence> },
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub to: To,
    pub is_gone: Rc<Cell<bool>>,
}

impl Caller for Reply {
    fn is_present(&self, now: Timestamp, silence: Duration) -> bool {
        let To::There { presence, .. } = &self.to else { return true };
        let is_heard = now.saturating_since(presence.heard_at.get()) <= silence.max(LEAST_SILENCE);
        presence.is_missed.set(presence.is_missed.get() || !is_heard);
        is_heard
    }

    fn is_gone(&self) -> bool {
        self.is_gone.get()
    }
}

/// How long an acquire still waits.
#[derive(Debug, Clone, Copy)]
pub enum Left {
    Endless,
    Deadline(Duration),
    MaxWait(Duration),
    Never,
}

/// What a router asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    pub key: ConnectionKey,
    pub epoch: Epoch,
    pub request: RequestId,
    pub retryable: bool,
    pub niceness: Niceness,
    pub cost: Cost,
    pub limits: Limits,
    /// When it began to wait, by the router's clock, if it comes back.
    pub began_at: Option<Timestamp>,
    pub left: Left,
}

impl Asked {
    /// What its owner is asked at `now`.
    pub fn to_acquire(&self, now: Timestamp, waited: Duration, reply: Reply) -> Acquire<Reply> {
        let patience = match self.left {
            Left::Endless => Patience::Endless,
            Left::Deadline(left) => Patience::Deadline(now + left),
            Left::MaxWait(left) => Patience::MaxWait(now + left),
            Left::Never => Patience::Never,
        };
        let Self { request, retryable, niceness, cost, ref limits, .. } = *self;
        Acquire { request, retryable, niceness, cost, limits: limits.clone(), waited, patience, reply }
    }
}

#[derive(Debug, Clone)]
pub enum ToOwner {
    Acquire(u64, Asked),
    Cancel(u64),
    TooLate(u64),
    GiveBack(u64),
    Done(u64),
    Nothing,
}

#[derive(Debug, Clone)]
pub enum ToRouter {
    /// With the newest stamp that the owner had, and how old it was then.
    Granted {
        number: u64,
        grant: Grant,
        echoed: Timestamp,
        age: Duration,
    },
    Refused(u64, Refusal),
    MovedBy(u64, Epoch),
}

#[derive(Debug, Clone)]
pub enum Frame {
    /// With the router's stamp.
    Down(Timestamp, ToOwner),
    Up(ToRouter),
}

/// One direction: what is sent arrives in order, however late, unless the session ends.
#[derive(Debug, Default)]
pub struct Stream {
    pub last: Moment,
    /// Sent while the way was cut.
    pub held_up: VecDeque<Frame>,
}

/// The router's end.
#[derive(Debug, Default)]
pub struct RouterEnd {
    pub is_over: bool,
    pub ends_at: Option<Moment>,
    pub last_number: u64,
    pub open: BTreeMap<u64, usize>,
    pub stamped_at: Moment,
}

/// What is open at the owner's end.
#[derive(Debug)]
pub enum Open {
    Waiting { asked: Asked, shard: usize, is_gone: Rc<Cell<bool>> },
    Granted { asked: Asked, shard: usize, grant: Grant },
}

/// The owner's end.
#[derive(Debug)]
pub struct OwnerEnd {
    pub is_over: bool,
    pub ends_at: Option<Moment>,
    pub open: BTreeMap<u64, Open>,
    /// Those whose ring is on its way, and until when they wait for it.
    pub parked: Vec<(u64, Asked, Timestamp)>,
    pub presence: Rc<Presence>,
    /// The router's newest stamp, and how far this clock is ahead of the router's by the shortest way seen.
    pub newest: Timestamp,
    pub shift: i128,
}

impl OwnerEnd {
    pub fn new(now: Timestamp, stamp: Timestamp) -> Self {
        let presence = Rc::new(Presence { heard_at: Cell::new(now), is_missed: Cell::new(false) });
        let shift = i128::from(now.as_nanos()) - i128::from(stamp.as_nanos());
        Self { is_over: false, ends_at: None, open: BTreeMap::new(), parked: Vec::new(), presence, newest: stamp, shift }
    }

    /// Notes a stamp; whether those behind this session are to be recalled.
    pub fn hear(&mut self, now: Timestamp, stamp: Timestamp) -> bool {
        self.newest = self.newest.max(stamp);
        if self.open.is_empty() {
            self.shift = self.shift.min(i128::from(now.as_nanos()) - i128::from(stamp.as_nanos()));
        }
        self.presence.heard_at.set(now.max(self.presence.heard_at.get()));
        self.presence.is_missed.replace(false)
    }

    pub fn waited_since(&self, began_at: Timestamp, now: Timestamp) -> Duration {
        let began_at = (i128::from(began_at.as_nanos()) + self.shift).max(0);
        now.saturating_since(Timestamp::from_nanos(u64::try_from(began_at).unwrap_or(u64::MAX)))
    }
}

#[derive(Debug)]
pub struct Session {
    pub router: usize,
    pub owner: usize,
    pub down: Stream,
    pub up: Stream,
    pub at_router: RouterEnd,
    pub at_owner: OwnerEnd,
}
