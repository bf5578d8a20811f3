//! The replicated accountant: every charge of every connection, in the order of the log.
//!
//! Promises: no window over its limit in ledger time, whoever asks and whatever they believe; the same log gives the same state, the
//! same answers and the same snapshot; a batch counts once however often it arrives.
//! Must not: know who waits, or why. Nor read a clock: time comes with the entries.

mod account;
mod command;
mod given_back;
mod hold;
mod leader_clock;
mod level;
mod open_permits;
mod policies;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::command::{
    Action, Adjusted, Adjustment, Answer, Ask, Batch, BatchNumber, Command, LedgerEntry, PermitId, Proposal, Reconcile, Release,
    Return, Verdict,
};
pub use self::leader_clock::LeaderClock;
pub use self::level::{Level, UnknownLevel};
pub use self::policies::{MAX_POLICIES, Policies};

use self::account::Account;
use self::hold::Hold;
use crate::engine::fault::Fault;
use crate::engine::grant::{Epoch, Incarnation, LogIndex, NodeId, ShardCount};
use crate::engine::key::ConnectionKey;
use crate::engine::limiter::Limiter;
use crate::engine::ring::Ring;
use crate::engine::time::LedgerTime;

/// The most connections that one entry prunes, so that a million of them expiring together stall nobody.
const MAX_PRUNED_PER_ENTRY: usize = 4096;

/// A run of a node that owns keys, and the memory of its last batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    incarnation: Incarnation,
    shards: ShardCount,
    /// A lost answer is asked for again under the same number.
    answered: Option<(BatchNumber, Vec<Verdict>)>,
}

/// The state machine behind the log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    level: Level,
    now: LedgerTime,
    epoch: Epoch,
    members: BTreeMap<NodeId, Member>,
    accounts: BTreeMap<ConnectionKey, Account>,
    /// `None` as soon as it is over.
    hold: Option<Hold>,
    policies: Policies,
    /// The entry that has changed them last.
    policies_changed: LogIndex,
    /// Charges after which more counted than a limit has. One is a bug.
    over_grants: u64,
    /// (when to look, account), derived from the accounts.
    #[serde(skip)]
    expiries: BTreeSet<(LedgerTime, ConnectionKey)>,
    /// Derived from the members.
    #[serde(skip)]
    ring: Ring,
}

impl Ledger {
    /// A ledger that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Completes a ledger that was read from a snapshot: what is derived is not stored.
    #[must_use]
    pub fn restored(mut self) -> Self {
        self.expiries = self.accounts.iter().map(|(key, account)| (account.listed_at, key.clone())).collect();
        self.ring = self.build_ring();
        self
    }

    /// Applies the entry at `index` of the log, which has passed [`LedgerEntry::check`]: one answer for each of its commands.
    pub fn apply(&mut self, index: LogIndex, entry: &LedgerEntry) -> Vec<Answer> {
        // Strictly increasing, so that a stamp names one entry.
        self.now = entry.stamp.max(self.now + Duration::from_nanos(1));
        let answers = entry.commands.iter().map(|command| self.execute(index, command)).collect();
        self.prune();
        answers
    }

    fn execute(&mut self, index: LogIndex, command: &Command) -> Answer {
        match command {
            Command::Join { incarnation, shards, seen } => self.join(index, *incarnation, *shards, *seen),
            Command::MarkDown { incarnation } => self.mark_down(index, *incarnation),
            Command::Propose(batch) => self.settle(batch),
            Command::Tick => Answer::Ticked,
            Command::Hold { at_most } => self.hold_back(*at_most),
            Command::Raise { to } => {
                self.level = self.level.max(*to);
                Answer::Raised { level: self.level }
            }
            Command::SetLimits { pattern, limits } => {
                self.policies_changed = index;
                let set = self.policies.set(pattern, limits);
                set.map_or_else(|max| Answer::TooManyPolicies { max }, |has_replaced| Answer::LimitsSet { has_replaced })
            }
            Command::DeleteLimits { pattern } => {
                self.policies_changed = index;
                Answer::LimitsDeleted { were_set: self.policies.delete(pattern) }
            }
        }
    }

    fn join(&mut self, index: LogIndex, incarnation: Incarnation, shards: ShardCount, seen: Epoch) -> Answer {
        let is_member = self.members.get(&incarnation.node).is_some_and(|member| member.incarnation == incarnation);
        if !is_member {
            // A join that was long on its way may be of a run that a later one has replaced.
            if seen != self.epoch {
                return Answer::Outdated { epoch: self.epoch };
            }
            if let Some(former) = self.members.insert(incarnation.node, Member { incarnation, shards, answered: None }) {
                self.bury(former.incarnation);
            }
            self.epoch = Epoch(index);
            self.ring = self.build_ring();
        }
        Answer::Joined { epoch: self.epoch }
    }

    fn mark_down(&mut self, index: LogIndex, incarnation: Incarnation) -> Answer {
        if self.members.get(&incarnation.node).is_some_and(|member| member.incarnation == incarnation) {
            self.members.remove(&incarnation.node);
            self.bury(incarnation);
            self.epoch = Epoch(index);
            self.ring = self.build_ring();
        }
        Answer::MarkedDown { epoch: self.epoch }
    }

    /// Nothing is done about what a run has charged that is over: it leaves with its window.
    fn bury(&mut self, gone: Incarnation) {
        if Fault::DeadOwnersSlotsGivenBack.is_planted() {
            self.accounts.retain(|_, account| account.charger.is_none_or(|(charger, _)| charger != gone));
        }
    }

    /// A later hold takes the place of an earlier one, unless that ends after it.
    fn hold_back(&mut self, at_most: Duration) -> Answer {
        let hold = Hold::new(self.now, at_most);
        if self.hold.is_none_or(|former| former.ends_at() <= hold.ends_at()) {
            self.hold = Some(hold);
        }
        Answer::Held
    }

    fn build_ring(&self) -> Ring {
        let members = self.members.iter().map(|(&node, member)| (node, member.shards)).collect();
        Ring::new(self.epoch, members)
    }

    /// Applies a batch, or answers it from memory.
    fn settle(&mut self, batch: &Batch) -> Answer {
        let Some(member) = self.members.get(&batch.owner.node) else {
            return Answer::NotMember;
        };
        if member.incarnation != batch.owner && !Fault::OwnerByNodeId.is_planted() {
            return Answer::Superseded;
        }
        match &member.answered {
            Some((number, verdicts)) if *number == batch.number && !Fault::NoDeduplication.is_planted() => {
                return Answer::Verdicts(verdicts.clone());
            }
            Some((number, _)) if *number > batch.number => return Answer::Superseded,
            Some(_) | None => {}
        }
        let verdicts: Vec<Verdict> = batch.proposals.iter().map(|proposal| self.judge(batch.owner, proposal)).collect();
        if let Some(member) = self.members.get_mut(&batch.owner.node) {
            member.answered = Some((batch.number, verdicts.clone()));
        }
        Answer::Verdicts(verdicts)
    }

    fn judge(&mut self, owner: Incarnation, proposal: &Proposal) -> Verdict {
        let owns = self.ring.owner(&proposal.key).is_some_and(|shard| shard.node == owner.node);
        if proposal.epoch != self.epoch && !Fault::EpochIgnored.is_planted() || !owns {
            return Verdict::Moved { epoch: self.epoch };
        }
        let (stamp, hold) = (self.now, self.hold);
        let account = self.accounts.entry(proposal.key.clone()).or_default();
        let verdict = match &proposal.action {
            Action::Slots { returns, ask } => {
                returns.iter().for_each(|given_back| account.give_back(owner, given_back));
                let policy = ask.as_ref().and_then(|_| self.policies.ruling(&proposal.key)).map(|(_, limits)| limits);
                ask.as_ref().map_or(Verdict::Done { stamp }, |ask| account.charge(owner, ask, policy, stamp, hold))
            }
            Action::Adjust(adjustment) => Verdict::Adjusted { stamp, adjusted: account.adjust(adjustment, stamp) },
        };
        if let Verdict::Charged { cost, .. } = verdict {
            self.over_grants += u64::from(account.limiter.is_over(cost));
            if let Some(rest) = self.level.rest_after_charge() {
                account.limiter.pause(stamp + rest);
            }
        }
        // A place in the order of expiry is only ever too early, and corrected when it comes up: a busy
        // connection moves once a window, not once a charge.
        if account.listed_at <= stamp || account.forgotten_at() < account.listed_at {
            self.expiries.remove(&(account.listed_at, proposal.key.clone()));
            account.listed_at = account.forgotten_at().max(stamp);
            self.expiries.insert((account.listed_at, proposal.key.clone()));
        }
        verdict
    }

    /// Forgets connections whose windows are empty and whose limits have lapsed, in order of expiry, and a hold that is over.
    fn prune(&mut self) {
        self.hold = self.hold.filter(|hold| hold.ends_at() > self.now);
        for _ in 0..MAX_PRUNED_PER_ENTRY {
            let Some((at, key)) = self.expiries.pop_first() else {
                break;
            };
            if at > self.now {
                self.expiries.insert((at, key));
                break;
            }
            let Some(account) = self.accounts.get_mut(&key) else {
                continue;
            };
            let forgotten_at = account.forgotten_at();
            if forgotten_at <= self.now {
                self.accounts.remove(&key);
            } else {
                account.listed_at = forgotten_at;
                self.expiries.insert((forgotten_at, key));
            }
        }
    }

    /// By which rules the next entry is applied.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Ledger time: the stamp of the newest entry.
    #[must_use]
    pub const fn now(&self) -> LedgerTime {
        self.now
    }

    /// Who owns what.
    #[must_use]
    pub const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The current run of a member.
    #[must_use]
    pub fn incarnation(&self, node: NodeId) -> Option<Incarnation> {
        self.members.get(&node).map(|member| member.incarnation)
    }

    /// The runs that own keys, by node.
    pub fn members(&self) -> impl Iterator<Item = Incarnation> + '_ {
        self.members.values().map(|member| member.incarnation)
    }

    /// A copy of a connection's limiter, if it is tracked.
    #[must_use]
    pub fn limiter(&self, key: &ConnectionKey) -> Option<Limiter> {
        self.accounts.get(key).map(|account| account.limiter.clone())
    }

    /// The limits that rule over callers', and the entry that has changed them last.
    #[must_use]
    pub const fn policies(&self) -> (&Policies, LogIndex) {
        (&self.policies, self.policies_changed)
    }

    /// How many charges were made after which more counted than a limit has: none, unless the ledger has a bug.
    #[must_use]
    pub const fn over_grants(&self) -> u64 {
        self.over_grants
    }

    /// Whether there are connections to forget that the newest entry left for the next.
    #[must_use]
    pub fn has_expired(&self) -> bool {
        self.expiries.first().is_some_and(|&(at, _)| at <= self.now)
    }

    /// How many connections are tracked.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.accounts.len()
    }
}

#[cfg(test)]
mod tests;
