//! What the log carries: commands for the ledger, and its answers.

use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::level::{Level, UnknownLevel};
use crate::engine::cost::Cost;
use crate::engine::grant::{Charge, Epoch, Incarnation, ReleaseNumber, RequestId, ShardCount, Tenure};
use crate::engine::key::ConnectionKey;
use crate::engine::pattern::LimitPattern;
use crate::engine::rate::Limits;
use crate::engine::time::LedgerTime;

/// One entry of the log: what a leader gathered, under one stamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Ledger time by the leader that proposed it.
    pub stamp: LedgerTime,
    /// In the order in which they are applied.
    pub commands: Vec<Command>,
}

impl LedgerEntry {
    /// Whether this release knows the rules that hold after this entry. One that does not must apply neither this nor any later entry.
    ///
    /// # Errors
    /// [`UnknownLevel`].
    pub fn check(&self) -> Result<(), UnknownLevel> {
        self.commands.iter().try_for_each(|command| if let Command::Raise { to } = command { to.check() } else { Ok(()) })
    }
}

/// One thing the ledger does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// This run of a node owns keys from now on, and no earlier run of it does.
    Join {
        /// Who joins.
        incarnation: Incarnation,
        /// How many owning actors it runs.
        shards: ShardCount,
        /// The ring that it has seen. By a later one it is not let in: then what it says may be long past.
        seen: Epoch,
    },
    /// This run of a node has been silent, or goes: it owns nothing any more. A later run of it is not meant.
    MarkDown {
        /// Who is marked.
        incarnation: Incarnation,
    },
    /// What the owners on one node decided.
    Propose(Batch),
    /// Time has passed.
    Tick,
    /// Nobody knows what was granted before: from now on each connection is held back for as long as a charge of this moment would count there.
    Hold {
        /// The longest that any is held back. Windows that are longer are promised from one window of theirs later only.
        at_most: Duration,
    },
    /// From the next command on, the rules of this level hold; those of a later one go on.
    Raise {
        /// A level that all replicas know.
        to: Level,
    },
    /// From now on these limits rule over the connections that the pattern means, whatever their callers say.
    SetLimits {
        /// Which connections.
        pattern: LimitPattern,
        /// What rules.
        limits: Limits,
    },
    /// The limits of exactly this pattern rule no more. Where they did, they go on for one window beside those that rule then.
    DeleteLimits {
        /// Which.
        pattern: LimitPattern,
    },
}

/// The number of a batch among those of its incarnation: 1, 2, 3, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BatchNumber(pub NonZeroU64);

/// The proposals of one node's owners, applied once however often they arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Whose.
    pub owner: Incarnation,
    /// Which of theirs. The next one is sent only after this one's answer.
    pub number: BatchNumber,
    /// In order; each is judged by itself.
    pub proposals: Vec<Proposal>,
}

/// What an owner wants for one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The ring by which the proposer is the owner.
    pub epoch: Epoch,
    /// The connection.
    pub key: ConnectionKey,
    /// What is to happen.
    pub action: Action,
}

/// What an owner asks of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Gives slots back, then asks for others.
    Slots {
        /// Charged by this owner, never released.
        returns: Vec<Return>,
        /// What is wanted, if anything is.
        ask: Option<Ask>,
    },
    /// Changes what counts, for nobody who waits.
    Adjust(Adjustment),
}

/// What changes a connection's limiter beside the charges for those who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Adjustment {
    /// Lets nothing through for so long, counted from the entry's stamp.
    Penalize(Duration),
    /// Lets nothing through until it is resumed.
    Pause,
    /// Ends every pause.
    Resume,
    /// Counts what a call has taken instead of what it was estimated to take.
    Reconcile(Reconcile),
    /// Takes a slot back with which nothing was started, whoever owns the connection by now.
    Release(Release),
}

/// A slot that goes back by its permit's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Release {
    /// Whose slot: it goes back once.
    pub permit: PermitId,
    /// To which request it was granted: it may be granted again.
    pub request: RequestId,
    /// Where it was charged.
    pub charge: Charge,
    /// What was charged.
    pub cost: Cost,
}

/// Names a grant: the release number, in the tenure that has drawn it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PermitId {
    /// Whose number it is.
    pub tenure: Tenure,
    /// Its number.
    pub release: ReleaseNumber,
}

/// What a call was estimated to take, and what it has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reconcile {
    /// Whose call: the first reconcile of a permit counts.
    pub permit: PermitId,
    /// Where its estimate was charged.
    pub charge: Charge,
    /// What was charged for it.
    pub estimate: Cost,
    /// What it has taken. Units are what they were.
    pub actual: Cost,
}

/// What became of an [`Adjustment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Adjusted {
    /// Nothing is let through before this moment.
    Paused {
        /// The end of this pause, and that of all time when it is to be resumed; another may end later.
        until: LedgerTime,
    },
    /// Nothing is paused any more.
    Resumed,
    /// What was taken counts from now on, not what was estimated.
    Reconciled {
        /// Where the estimate was charged.
        charge: Charge,
        /// What of it does not count any more: at most what was estimated too much, less where part of that has left already.
        refunded: Cost,
        /// What counts beside it from this entry on, whether there was room or not: what was estimated too little.
        owed: Cost,
    },
    /// The slot is free again.
    Released {
        /// To which request it was granted.
        request: RequestId,
        /// Where it was charged.
        charge: Charge,
        /// What has come back: less than was charged where part of it has left already.
        refunded: Cost,
    },
    /// It was reconciled, or given back, before: nothing was done.
    Known,
    /// No permit of this charge is open: its windows have passed, no limit on tokens was charged, or it was given back and not reconciled, or the other way round. Nothing was
    /// done.
    Unknown,
}

/// Slots that go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Return {
    /// Where they were charged.
    pub charge: Charge,
    /// How many.
    pub cost: Cost,
}

/// Slots that are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ask {
    /// What the waiters that these slots are for say the connection may take.
    pub limits: Limits,
    /// How late the slots may reach their workers.
    pub delivery: Duration,
    /// Less than this is of no use: what the first waiter takes.
    pub least: Cost,
    /// More than this is of no use: what all of them take.
    pub most: Cost,
}

/// What the ledger says to a [`Proposal`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Charged, at the entry's stamp. Between `least` and `most`.
    Charged {
        /// Ledger time of the charge.
        stamp: LedgerTime,
        /// How much.
        cost: Cost,
    },
    /// Nothing was charged: there is no room before `at`.
    NotBefore {
        /// Ledger time now.
        stamp: LedgerTime,
        /// When to ask again.
        at: LedgerTime,
    },
    /// Nothing was asked for; returns are done.
    Done {
        /// Ledger time now.
        stamp: LedgerTime,
    },
    /// The answer to an adjustment.
    Adjusted {
        /// Ledger time now.
        stamp: LedgerTime,
        /// What became of it.
        adjusted: Adjusted,
    },
    /// The proposer does not own the key, or not by the ring it named. Nothing was done.
    Moved {
        /// The ring that rules.
        epoch: Epoch,
    },
}

/// What the ledger says to a [`Command`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The member owns keys by the ring of this epoch.
    Joined {
        /// The new ring.
        epoch: Epoch,
    },
    /// The member was not let in: the ring has moved to this epoch.
    Outdated {
        /// The ring that rules.
        epoch: Epoch,
    },
    /// The run owns nothing by the ring of this epoch, or a later one.
    MarkedDown {
        /// The ring that rules.
        epoch: Epoch,
    },
    /// One verdict for each proposal, in order.
    Verdicts(Vec<Verdict>),
    /// The batch's number is older than the last one of its incarnation, or a later run of its node has joined. Nothing was done.
    Superseded,
    /// The batch's owner is no member: it was marked down. Nothing was done.
    NotMember,
    /// Time has passed.
    Ticked,
    /// What was granted before can break no window, but those longer than was asked for.
    Held,
    /// The rules of this level hold.
    Raised {
        /// The one that was asked for, or a later one.
        level: Level,
    },
    /// The pattern's limits rule.
    LimitsSet {
        /// Whether it had others before.
        has_replaced: bool,
    },
    /// There are too many patterns: nothing was done.
    TooManyPolicies {
        /// The bound.
        max: usize,
    },
    /// The pattern has no limits.
    LimitsDeleted {
        /// Whether it had any before.
        were_set: bool,
    },
}
