//! The replicated log: what is on its way to it, and the real ledger behind it.
//!
//! Consensus is taken for granted: there is one order of entries, and an entry that is committed stays. All that a proposer can't know is
//! here: a message may be committed at any later moment, whether or not its sender still lives, or never.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use turnstile::engine::cost::Cost;
use turnstile::engine::grant::{Charge, Epoch, Incarnation, LogIndex, NodeId, ShardCount};
use turnstile::engine::key::ConnectionKey;
use turnstile::engine::ledger::{
    Action, Answer, Ask, Batch, BatchNumber, Command, Ledger, LedgerEntry, Proposal, Return, Verdict,
};
use turnstile::engine::rate::{Limits, RateLimit};
use turnstile::engine::time::LedgerTime;

use super::variant::Variant;

/// A moment of the model. Clocks and ledger time share it: what they may differ by is the guard's business.
pub type Tick = u8;

/// The one connection, and what it may take.
#[derive(Debug, Clone)]
pub struct Connection {
    key: ConnectionKey,
    limits: Limits,
    /// How many starts a window allows.
    pub count: u8,
    /// In ticks.
    pub window: Tick,
    /// How late a grant may start, in ticks from its proposal.
    pub delivery: Tick,
}

/// How long a tick is for the ledger.
fn ticks(ticks: Tick) -> Duration {
    Duration::from_millis(u64::from(ticks))
}

impl Connection {
    /// At most `count` starts in `window` ticks.
    pub fn new(count: u8, window: Tick, delivery: Tick) -> Self {
        let limit = RateLimit::new(u32::from(count), ticks(window)).unwrap();
        let limit = limit.with_guard(Duration::ZERO).unwrap().with_delivery_bound(ticks(delivery)).unwrap();
        let key = ConnectionKey::new("platform", "one").unwrap();
        Self { key, limits: Limits::new([limit]).unwrap(), count, window, delivery }
    }

    fn action(&self, give_back: Option<LedgerTime>, asks: bool) -> Action {
        let delivery = ticks(self.delivery);
        let charge = |stamp| Charge { stamp, delivery };
        let returns = give_back.map(|stamp| Return { charge: charge(stamp), cost: Cost::ONE }).into_iter().collect();
        let ask = Ask { limits: self.limits.clone(), delivery, least: Cost::ONE, most: Cost::ONE };
        Action::Slots { returns, ask: asks.then_some(ask) }
    }

    /// Free slots at `now`.
    fn room(&self, ledger: &Ledger, now: LedgerTime) -> u64 {
        let count = u64::from(self.count);
        ledger.limiter(&self.key).map_or(count, |mut limiter| limiter.room(now).units.min(count))
    }
}

/// What a run sends to the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// It wants to own.
    Join { run: Incarnation, seen: Epoch },
    /// A batch with one proposal.
    Propose { run: Incarnation, number: NonZeroU64, epoch: Epoch, seen: u8, give_back: Option<LedgerTime>, asks: bool },
}

/// What the ledger answers, without what nobody here looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Said {
    Joined,
    Outdated,
    Charged { stamp: LedgerTime },
    NotBefore,
    Done,
    Moved,
    Superseded,
    NotMember,
}

impl From<&Answer> for Said {
    fn from(answer: &Answer) -> Self {
        match answer {
            Answer::Joined { .. } => Self::Joined,
            Answer::Outdated { .. } => Self::Outdated,
            Answer::Superseded => Self::Superseded,
            Answer::NotMember => Self::NotMember,
            Answer::MarkedDown { .. }
            | Answer::Ticked
            | Answer::Held
            | Answer::Raised { .. }
            | Answer::LimitsSet { .. }
            | Answer::TooManyPolicies { .. }
            | Answer::LimitsDeleted { .. } => Self::Done,
            Answer::Verdicts(verdicts) => match verdicts.as_slice() {
                [Verdict::Charged { stamp, .. }] => Self::Charged { stamp: *stamp },
                [Verdict::NotBefore { .. }] => Self::NotBefore,
                [Verdict::Moved { .. }] => Self::Moved,
                _ => Self::Done,
            },
        }
    }
}

/// What a committed message has done, for whoever watches.
#[derive(Debug, Clone, Copy)]
pub struct Applied {
    pub said: Said,
    /// The charge that this entry made, and not one that was remembered.
    pub charged: Option<LedgerTime>,
    /// The charge that this entry took back.
    pub taken_back: Option<LedgerTime>,
}

/// The ledger after so many entries. Two are the same when their snapshots are.
#[derive(Debug, Clone)]
pub struct Log {
    pub length: u64,
    /// How many charges it has made.
    pub charges: u8,
    ledger: Arc<Ledger>,
    snapshot: Arc<[u8]>,
    /// Of the snapshot, which is hashed once for all states that share it.
    digest: u64,
}

impl PartialEq for Log {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && self.snapshot == other.snapshot
    }
}

impl Eq for Log {}

impl Hash for Log {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.length, self.digest).hash(state);
    }
}

impl Log {
    /// A log without entries.
    pub fn new() -> Self {
        Self { length: 0, charges: 0, ledger: Arc::new(Ledger::new()), snapshot: Arc::from([]), digest: 0 }
    }

    /// The ring in force.
    pub fn epoch(&self) -> Epoch {
        self.ledger.ring().epoch()
    }

    /// The node that owns the connection.
    pub fn owner(&self, connection: &Connection) -> Option<NodeId> {
        self.ledger.ring().owner(&connection.key).map(|shard| shard.node)
    }

    /// The run that is a member for this node.
    pub fn member(&self, node: NodeId) -> Option<Incarnation> {
        self.ledger.incarnation(node)
    }

    /// A message becomes an entry.
    pub fn commit(&mut self, connection: &Connection, variant: Variant, now: Tick, message: Message) -> Applied {
        match message {
            Message::Join { run, seen } => {
                let join = Command::Join { incarnation: variant.named(run), shards: ShardCount::MIN, seen };
                self.settle(connection, now, vec![join], None)
            }
            Message::Propose { run, number, epoch, give_back, asks, .. } => {
                let epoch = variant.stated(epoch, self.epoch());
                let proposal = Proposal { epoch, key: connection.key.clone(), action: connection.action(give_back, asks) };
                let (owner, number) = (variant.named(run), BatchNumber(number));
                let batch = Command::Propose(Batch { owner, number, proposals: vec![proposal] });
                self.settle(connection, now, vec![batch], give_back)
            }
        }
    }

    /// A member is marked down, and `give_back` is taken from what it charged: nothing, but for one broken variant.
    pub fn mark_down(
        &mut self,
        connection: &Connection,
        now: Tick,
        member: Incarnation,
        give_back: Option<LedgerTime>,
    ) -> Applied {
        let proposal = Proposal { epoch: self.epoch(), key: connection.key.clone(), action: connection.action(give_back, false) };
        let in_its_name = Batch { owner: member, number: BatchNumber(NonZeroU64::MAX), proposals: vec![proposal] };
        let given_back = give_back.map(|_| Command::Propose(in_its_name));
        let commands = given_back.into_iter().chain([Command::MarkDown { incarnation: member }]).collect();
        self.settle(connection, now, commands, give_back)
    }

    fn settle(&mut self, connection: &Connection, now: Tick, commands: Vec<Command>, give_back: Option<LedgerTime>) -> Applied {
        let before = self.clone();
        let answers = self.apply(now, commands);
        let stamp = self.ledger.now();
        let said = answers.first().map_or(Said::Done, Said::from);
        let charged = (said == Said::Charged { stamp }).then_some(stamp);
        // The ledger takes or refuses a return without a word: the room tells.
        let (former_room, room) = (connection.room(&before.ledger, stamp), connection.room(&self.ledger, stamp));
        let taken_back = give_back.filter(|_| room + u64::from(charged.is_some()) > former_room);
        let is_idle = match said {
            // Not alone in its entry.
            _ if answers.len() > 1 => false,
            Said::Charged { .. } => charged.is_none(),
            Said::Outdated | Said::Moved | Said::Superseded | Said::NotMember => true,
            Said::Joined => self.epoch() == before.epoch(),
            Said::NotBefore | Said::Done => false,
        };
        if is_idle {
            // What does nothing leaves nothing but its stamp. Without that, states are fewer.
            assert_eq!((room, self.epoch()), (former_room, before.epoch()), "{said:?} and yet something was done");
            assert!(self.ledger.members().eq(before.ledger.members()), "{said:?} and yet a member came or went");
            *self = before;
        }
        self.charges += u8::from(charged.is_some());
        Applied { said, charged, taken_back }
    }

    fn apply(&mut self, now: Tick, commands: Vec<Command>) -> Vec<Answer> {
        self.length += 1;
        let stamp = LedgerTime::ZERO + ticks(now);
        let ledger = Arc::make_mut(&mut self.ledger);
        let answers = ledger.apply(LogIndex(self.length), &LedgerEntry { stamp, commands });
        let mut snapshot = Vec::new();
        ciborium::into_writer(ledger, &mut snapshot).unwrap();
        let mut digest = DefaultHasher::new();
        snapshot.hash(&mut digest);
        (self.snapshot, self.digest) = (snapshot.into(), digest.finish());
        answers
    }
}
