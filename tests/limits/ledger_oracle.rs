//! What the ledger may and may not charge, kept by someone who only reads the log and the answers.
//!
//! *In force*: a limit holds for a connection from the entry that states it (an ask that was judged, whether or not anything was
//! charged) until one span of it after the entry that stated it last, the end excluded. Its span is the window and the guard.
//!
//! *Counts*: a charge counts for a limit that was in force when it was made. For one that is stated anew, a former charge counts
//! if it still counted then for another limit in force of the same dimension: that is the history there is. For a window it counts
//! from its stamp until one span after its stamp and its delivery bound, less what was validly returned. For a bucket, until as much as has been
//! charged up to it has leaked, at a steady rate from the latest moment on at which it may have arrived. A bucket that is stated over more history than it has room
//! for keeps as much as fills it, the latest: the platform that counts so has refused the rest, and nobody later counts that.
//!
//! *Ruling*: of the limits that were set for patterns that fit a connection, those of the longest. They are in force alone, whatever an ask states.
//!
//! *Valid*: a return by the incarnation that made the charge, while no other has charged the connection since, of no more than what
//! is left of the charge. Charges of one entry can share a name; the last one, for which no fewer limits count, is taken back first.
//!
//! *Held back*: from the entry of a hold on, for as long as a charge of that moment would count for the limit in force that counts it longest, and no
//! longer than the hold. Of two holds the one that ends later holds, of equals the later one.
//!
//! *The law*: whenever something is charged, no limit in force counts more than it allows, and nothing is paused or held back. A bucket allows its count, and what
//! leaks in that time, since any of its charges may have arrived.

use std::collections::BTreeMap;
use std::time::Duration;

use turnstile::engine::grant::{Epoch, Incarnation, LogIndex, NodeId, ShardCount};
use turnstile::engine::key::ConnectionKey;
use turnstile::engine::ledger::{Action, Adjusted, Adjustment, Answer, Batch, BatchNumber, Command, MAX_POLICIES, Verdict};
use turnstile::engine::pattern::LimitPattern;
use turnstile::engine::rate::Limits;
use turnstile::engine::ring::Ring;
use turnstile::engine::time::LedgerTime;

use crate::account_oracle::Connection;

/// A member, and the last batch that was judged of it.
#[derive(Debug)]
struct Member {
    incarnation: Incarnation,
    shards: ShardCount,
    last: Option<(BatchNumber, Vec<Verdict>)>,
}

/// All that was ever decided.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    now: LedgerTime,
    epoch: Epoch,
    ring: Ring,
    members: BTreeMap<NodeId, Member>,
    connections: BTreeMap<ConnectionKey, Connection>,
    /// Since when, and for how long at most.
    hold: Option<(LedgerTime, Duration)>,
    policies: Vec<(LimitPattern, Limits)>,
}

impl Oracle {
    /// The entry at `index` got this stamp from the ledger.
    pub(crate) fn begin(&mut self, proposed: LedgerTime, stamp: LedgerTime) {
        assert!(stamp > self.now, "stamps strictly increase");
        assert!(stamp >= proposed, "the ledger is never behind the proposer");
        self.now = stamp;
    }

    /// Judges the ledger's answer to one command.
    pub(crate) fn judge(&mut self, index: LogIndex, command: &Command, answer: &Answer) {
        match command {
            Command::Tick => assert_eq!(*answer, Answer::Ticked),
            Command::Hold { at_most } => {
                let ends_at = |(since, at_most): (LedgerTime, Duration)| since + at_most;
                let hold = (self.now, *at_most);
                self.hold = self.hold.filter(|former| ends_at(*former) > ends_at(hold)).or(Some(hold));
                assert_eq!(*answer, Answer::Held);
            }
            Command::Raise { to } => assert_eq!(*answer, Answer::Raised { level: *to }),
            Command::Join { incarnation, shards, seen } => {
                let is_member = self.members.get(&incarnation.node).is_some_and(|member| member.incarnation == *incarnation);
                if !is_member && *seen != self.epoch {
                    assert_eq!(*answer, Answer::Outdated { epoch: self.epoch });
                } else {
                    self.join(index, *incarnation, *shards);
                    assert_eq!(*answer, Answer::Joined { epoch: self.epoch });
                }
            }
            Command::MarkDown { incarnation } => {
                if self.members.get(&incarnation.node).is_some_and(|member| member.incarnation == *incarnation) {
                    self.members.remove(&incarnation.node);
                    self.turn(index);
                }
                assert_eq!(*answer, Answer::MarkedDown { epoch: self.epoch });
            }
            Command::Propose(batch) => self.judge_batch(batch, answer),
            Command::SetLimits { pattern, limits } => {
                let others = self.policies.len();
                self.policies.retain(|(other, _)| other != pattern);
                let has_replaced = self.policies.len() < others;
                self.policies.push((pattern.clone(), limits.clone()));
                assert!(self.policies.len() <= MAX_POLICIES, "no case sets so many");
                assert_eq!(*answer, Answer::LimitsSet { has_replaced });
            }
            Command::DeleteLimits { pattern } => {
                let others = self.policies.len();
                self.policies.retain(|(other, _)| other != pattern);
                assert_eq!(*answer, Answer::LimitsDeleted { were_set: self.policies.len() < others });
            }
        }
    }

    /// How many connections are paused until somebody resumes them.
    pub(crate) fn paused_for_good(&self) -> usize {
        self.connections.values().filter(|connection| connection.is_paused_for_good()).count()
    }

    fn join(&mut self, index: LogIndex, incarnation: Incarnation, shards: ShardCount) {
        if self.members.get(&incarnation.node).is_none_or(|member| member.incarnation != incarnation) {
            self.members.insert(incarnation.node, Member { incarnation, shards, last: None });
            self.turn(index);
        }
    }

    /// A new ring.
    fn turn(&mut self, index: LogIndex) {
        self.epoch = Epoch(index);
        self.ring = Ring::new(self.epoch, self.members.iter().map(|(&node, member)| (node, member.shards)).collect());
    }

    fn judge_batch(&mut self, batch: &Batch, answer: &Answer) {
        let Some(member) = self.members.get_mut(&batch.owner.node) else {
            return assert_eq!(*answer, Answer::NotMember, "it never joined, or was marked down");
        };
        if member.incarnation != batch.owner {
            return assert_eq!(*answer, Answer::Superseded, "a later run has joined");
        }
        match &member.last {
            Some((last, verdicts)) if *last == batch.number => {
                return assert_eq!(*answer, Answer::Verdicts(verdicts.clone()), "a repeated batch is answered alike");
            }
            Some((last, _)) if *last > batch.number => return assert_eq!(*answer, Answer::Superseded, "an old batch"),
            _ => {}
        }
        let Answer::Verdicts(verdicts) = answer else { panic!("a fresh batch is judged, not {answer:?}") };
        member.last = Some((batch.number, verdicts.clone()));
        assert_eq!(verdicts.len(), batch.proposals.len());
        for (proposal, verdict) in batch.proposals.iter().zip(verdicts) {
            let owns = self.ring.owner(&proposal.key).is_some_and(|shard| shard.node == batch.owner.node);
            if !owns || proposal.epoch != self.epoch {
                assert_eq!(*verdict, Verdict::Moved { epoch: self.epoch });
                continue;
            }
            let connection = self.connections.entry(proposal.key.clone()).or_default();
            match &proposal.action {
                Action::Adjust(adjustment) => {
                    let Verdict::Adjusted { stamp, adjusted } = verdict else {
                        panic!("{adjustment:?} is answered by {verdict:?}")
                    };
                    assert_eq!(*stamp, self.now);
                    adjust(connection, adjustment, adjusted, self.now);
                    continue;
                }
                Action::Slots { returns, ask } => {
                    returns.iter().for_each(|given_back| connection.give_back(batch.owner, given_back));
                    if let Some(ask) = ask {
                        let fitting = self.policies.iter().filter(|(pattern, _)| pattern.fits(&proposal.key));
                        // The longest says most; one without a star more than one of the same length with it.
                        let rank = |pattern: &LimitPattern| pattern.connection().trim_end_matches('*').len();
                        let policy = fitting.max_by_key(|(pattern, _)| (rank(pattern), !pattern.connection().ends_with('*')));
                        let policy = policy.map(|(_, limits)| limits);
                        connection.judge(batch.owner, ask, policy, verdict, self.now, self.hold);
                        continue;
                    }
                }
            }
            assert_eq!(*verdict, Verdict::Done { stamp: self.now });
        }
    }
}

fn adjust(connection: &mut Connection, adjustment: &Adjustment, adjusted: &Adjusted, now: LedgerTime) {
    let pauses_until = match adjustment {
        Adjustment::Reconcile(reconcile) => return connection.reconcile(reconcile, adjusted, now),
        Adjustment::Release(release) => return connection.release(release, adjusted, now),
        Adjustment::Resume => {
            connection.resume();
            return assert_eq!(*adjusted, Adjusted::Resumed);
        }
        Adjustment::Penalize(pause) => now + *pause,
        Adjustment::Pause => LedgerTime::END,
    };
    connection.pause(pauses_until);
    assert_eq!(*adjusted, Adjusted::Paused { until: pauses_until });
}

/// A pause, a delivery bound, a window: anything short.
pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
