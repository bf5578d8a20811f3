//! What names a request on its way: its id, its place, its charge; and what names nodes and clusters.

use std::num::{NonZeroU16, NonZeroU64};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::cost::Cost;
use crate::engine::fault::Fault;
use crate::engine::rate::Niceness;
use crate::engine::time::{LedgerTime, Timestamp};

/// What makes a retried acquire the same acquire: 128 bits that its caller chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(u128);

impl RequestId {
    /// The id with these bits. Different requests need different ones: draw them at random, or use a UUID.
    #[must_use]
    pub const fn new(bits: u128) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }
}

/// A node's identity: 64 random bits that are kept with its log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(u64);

impl std::fmt::Debug for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl NodeId {
    /// The node with these bits.
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The node with these 16 hexadecimal digits, the reverse of its `Display`; `None` for any other text: an id that lost a digit on its way is
    /// not another id.
    #[must_use]
    pub fn from_digits(digits: &str) -> Option<Self> {
        let is_id = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_id.then(|| u64::from_str_radix(digits, 16).map(Self).ok())?
    }
}

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A cluster's identity: 128 bits that its founder has drawn at random. Two clusters never talk to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub u128);

impl std::fmt::Display for ClusterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One run of one node: a restarted node is a new incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// Whose run.
    pub node: NodeId,
    /// Which run: random bits drawn at each start.
    pub run: NonZeroU64,
}

impl Incarnation {
    /// The run after this one, of the same process: it was marked down and joins again.
    #[must_use]
    pub fn next(self) -> Self {
        Self { run: self.run.checked_add(1).unwrap_or(NonZeroU64::MIN), ..self }
    }
}

/// How many owning actors a node runs.
pub type ShardCount = NonZeroU16;

/// An owning actor: one shard of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardId {
    /// The node it runs on.
    pub node: NodeId,
    /// Its number there, from 0.
    pub index: u16,
}

/// A place in an index of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct LogIndex(pub u64);

/// Which ring: the log index of the membership entry that produced it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Epoch(pub LogIndex);

/// The place of an acquire in the order in which its owner received them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ArrivalNumber(u64);

impl ArrivalNumber {
    /// A number that its owner has drawn, on another node.
    #[must_use]
    pub const fn from_wire(number: u64) -> Self {
        Self(number)
    }

    /// The number itself, comparable with release numbers of the same owner.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The place of a release in the order in which its owner made them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReleaseNumber(u64);

impl ReleaseNumber {
    /// A number that its owner has drawn, on another node.
    #[must_use]
    pub const fn from_wire(number: u64) -> Self {
        Self(number)
    }

    /// The number itself, comparable with arrival numbers of the same owner.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// One run of one owner, which numbers arrivals and releases: those of different tenures don't compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Tenure(u64);

impl Tenure {
    /// The tenure with these bits: drawn at random, once for each run of an owner.
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The one counter from which an owner draws arrival and release numbers, so that "it waited already
/// when that was released" can be told from the numbers alone.
#[derive(Debug, Clone, Default)]
pub struct Sequence {
    tenure: Tenure,
    last: u64,
}

impl Sequence {
    /// The counter of a tenure that goes on after `last`.
    #[must_use]
    pub const fn after(tenure: Tenure, last: u64) -> Self {
        Self { tenure, last }
    }

    /// Whose numbers these are.
    #[must_use]
    pub const fn tenure(&self) -> Tenure {
        self.tenure
    }

    /// The number drawn last.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Numbers the next arrival.
    pub fn arrival(&mut self) -> ArrivalNumber {
        self.last += 1;
        ArrivalNumber(self.last)
    }

    /// Numbers the next release.
    pub fn release(&mut self) -> ReleaseNumber {
        self.last += 1;
        ReleaseNumber(self.last)
    }
}

/// Where in the ledger a grant's slots are: what a return names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Charge {
    /// Ledger time of the entry that charged them.
    pub stamp: LedgerTime,
    /// How late they may reach their worker: they count from `stamp + delivery`.
    pub delivery: Duration,
}

impl Charge {
    /// The moment from which the window counts the slots.
    #[must_use]
    pub fn counted_from(self) -> LedgerTime {
        if Fault::MarginIgnored.is_planted() {
            return self.stamp;
        }
        self.stamp + self.delivery
    }
}

/// A committed charge, released to one waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Whose numbers `arrival` and `release` are.
    pub tenure: Tenure,
    /// The waiter's place in its owner's order of arrival.
    pub arrival: ArrivalNumber,
    /// From when on it waited without a break: its arrival, or later if a grant reached it too late or nobody heard of it for a while.
    pub waits_since: ArrivalNumber,
    /// The grant's own number, in its owner's order of release.
    pub release: ReleaseNumber,
    /// The waiter's niceness.
    pub niceness: Niceness,
    /// What was charged for it.
    pub cost: Cost,
    /// Where it was charged.
    pub charge: Charge,
    /// What the way to the platform may take.
    pub guard: Duration,
    /// When the charge was proposed, by the owner's clock: the grant's age counts from here.
    pub proposed_at: Timestamp,
    /// When the waiter arrived, by the owner's clock.
    pub arrived_at: Timestamp,
    /// When it was released, by the owner's clock.
    pub released_at: Timestamp,
}

impl Grant {
    /// Whether a worker whose clock is the owner's must not start this grant any more at `now`.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        !self.charge.delivery.is_zero() && now.saturating_since(self.proposed_at) > self.charge.delivery
    }
}
