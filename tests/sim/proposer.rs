//! A node's proposals on their way to the ledger: gathered while a batch is under way, numbered, and sent again until they are answered. By the same
//! rules as the product's proposer.

use std::num::NonZeroU64;

use turnstile::engine::grant::{Epoch, Incarnation, ShardCount};
use turnstile::engine::ledger::{Answer, Batch, BatchNumber, Command, Proposal, Verdict};
use turnstile::engine::shard::Settled;
use turnstile::engine::time::Timestamp;

use crate::clock::Moment;

#[derive(Debug)]
pub struct Waiting {
    pub proposal: Proposal,
    pub proposed_at: Timestamp,
    /// Whose: a shard, and how often it had crashed then.
    pub shard: (usize, u64),
}

/// What became of a command.
#[derive(Debug)]
pub enum Outcome {
    /// Go on.
    Nothing,
    /// Verdicts, by shard.
    Settled(Vec<((usize, u64), Vec<Settled>)>),
    /// A later run of this node is there: this one is over.
    Superseded,
}

#[derive(Debug)]
pub struct Proposer {
    pub member: Incarnation,
    shards: ShardCount,
    seen: Epoch,
    /// By which ring it is in.
    joined: Option<Epoch>,
    pub waiting: Vec<Waiting>,
    in_flight: Option<Vec<Waiting>>,
    number: NonZeroU64,
    /// The request whose answer counts, to whom it went, and when.
    pub asked: Option<(u64, usize, Moment)>,
}

impl Proposer {
    pub const fn new(member: Incarnation, shards: ShardCount) -> Self {
        Self {
            member,
            shards,
            seen: Epoch(turnstile::engine::grant::LogIndex(0)),
            joined: None,
            waiting: Vec::new(),
            in_flight: None,
            number: NonZeroU64::MIN,
            asked: None,
        }
    }

    pub const fn joined(&self) -> Option<Epoch> {
        self.joined
    }

    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_none()
    }

    /// Makes a batch of what waits, if none is under way.
    pub fn gather(&mut self) -> bool {
        let gathers = self.joined.is_some() && self.in_flight.is_none() && !self.waiting.is_empty();
        if gathers {
            self.in_flight = Some(std::mem::take(&mut self.waiting));
            self.asked = None;
        }
        gathers
    }

    /// Has found itself out of the ring: asks whether it is.
    pub fn doubt(&mut self) {
        if self.joined.is_some() && self.in_flight.is_none() {
            self.in_flight = Some(Vec::new());
            self.asked = None;
        }
    }

    /// What is to be answered now, of a node that may join or not.
    pub fn command(&self, may_own: bool) -> Option<Command> {
        if self.joined.is_none() {
            return may_own.then_some(Command::Join { incarnation: self.member, shards: self.shards, seen: self.seen });
        }
        let batch = self.in_flight.as_ref()?;
        let proposals = batch.iter().map(|waiting| waiting.proposal.clone()).collect();
        Some(Command::Propose(Batch { owner: self.member, number: BatchNumber(self.number), proposals }))
    }

    /// This run is no member any more; the next one may be.
    pub fn is_out(&mut self) {
        (self.member, self.joined, self.asked) = (self.member.next(), None, None);
    }

    /// Has owners told that another owns what they propose for, by a ring that this node, which is no member, has no part in.
    pub fn send_away(&mut self, ring: Epoch) -> Vec<((usize, u64), Vec<Settled>)> {
        let batch = self.in_flight.take().into_iter().flatten().chain(std::mem::take(&mut self.waiting));
        settle(batch.collect(), |_| Verdict::Moved { epoch: ring })
    }

    /// Takes the answer to the command that was asked last.
    pub fn answered(&mut self, answer: Answer) -> Outcome {
        self.asked = None;
        match answer {
            Answer::Joined { epoch } if self.joined.is_none() => {
                self.joined = Some(epoch);
                self.number = NonZeroU64::MIN;
                match self.in_flight.take() {
                    // What the former run had charged by a lost answer leaves with its window.
                    Some(batch) => Outcome::Settled(settle(batch, |_| Verdict::Moved { epoch })),
                    None => Outcome::Nothing,
                }
            }
            Answer::Outdated { epoch } => {
                self.seen = epoch;
                Outcome::Nothing
            }
            Answer::Verdicts(verdicts) => {
                let Some(batch) = self.in_flight.take() else { return Outcome::Nothing };
                self.number = self.number.saturating_add(1);
                let mut verdicts = verdicts.into_iter();
                Outcome::Settled(settle(batch, |_| verdicts.next().expect("a verdict for each proposal")))
            }
            Answer::NotMember => {
                self.is_out();
                Outcome::Nothing
            }
            _ => Outcome::Superseded,
        }
    }
}

fn settle(batch: Vec<Waiting>, mut verdict: impl FnMut(&Proposal) -> Verdict) -> Vec<((usize, u64), Vec<Settled>)> {
    let mut by_shard: Vec<((usize, u64), Vec<Settled>)> = Vec::new();
    for Waiting { proposal, proposed_at, shard } in batch {
        let settled = Settled { verdict: verdict(&proposal), key: proposal.key, proposed_at };
        match by_shard.iter_mut().find(|(other, _)| *other == shard) {
            Some((_, all)) => all.push(settled),
            None => by_shard.push((shard, vec![settled])),
        }
    }
    by_shard
}
