//! One connection, its owner, the ledger and the workers, in virtual time.
//!
//! ```text
//! caller ─► throttle ─► batch ─(commit delay, may be lost)─► ledger ─(answer delay)─► throttle ─(delivery delay)─► worker ─► platform
//! ```
//!
//! Everything that is slow, lost or late is drawn beforehand ([`Fate`], [`Delivery`]), so that one input replays one run.

mod happenings;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU64;
use std::time::Duration;

use turnstile::engine::cost::Cost;
use turnstile::engine::grant::{Grant, Incarnation, LogIndex, NodeId, Sequence, ShardCount};
use turnstile::engine::key::ConnectionKey;
use turnstile::engine::ledger::{Action, Answer, Batch, BatchNumber, Command, Ledger, LedgerEntry, Proposal, Verdict};
use turnstile::engine::limiter::Limiter;
use turnstile::engine::rate::Limits;
use turnstile::engine::throttle::{Acquire, Effect, LedgerClock, Now, SlowestDelivery, Throttle};
use turnstile::engine::time::{LedgerTime, Timestamp};

use crate::fate::{Delivery, Fate, Loss, Released, Start};

#[derive(Debug)]
enum Event {
    Commit { batch: Batch, fate: Fate },
    Answered { verdict: Verdict, number: BatchNumber },
    Delivered { grant: Grant, acquire: Acquire<usize>, delivery: Delivery },
}

/// How long an owner waits before it sends a proposal again.
const RESEND: Duration = Duration::from_millis(40);

pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) throttle: Throttle<usize>,
    pub(crate) now: Timestamp,
    pub(crate) fates: VecDeque<Fate>,
    pub(crate) deliveries: VecDeque<Delivery>,
    pub(crate) starts: Vec<Start>,
    pub(crate) released: Vec<Released>,
    /// What the ledger charged, and what went back to it.
    pub(crate) charged: Cost,
    pub(crate) returned: Cost,
    /// How many answers each call got.
    pub(crate) answers: Vec<u32>,
    /// How far ledger time lags.
    lag: Duration,
    acquires: Vec<Acquire<usize>>,
    /// The calls of a worker of whom nobody hears for the time being.
    silent: BTreeSet<usize>,
    sequence: Sequence,
    clock: LedgerClock,
    slowest: SlowestDelivery,
    guard: Duration,
    key: ConnectionKey,
    owner: Incarnation,
    index: u64,
    number: u64,
    /// The last number that an answer came for; a repeated one is charged no second time.
    answered: u64,
    proposed_at: Timestamp,
    events: BTreeMap<(Timestamp, u64), Event>,
    scheduled: u64,
    wake_at: Option<Timestamp>,
}

impl World {
    pub(crate) fn new(limits: &Limits) -> Self {
        let owner = Incarnation { node: NodeId::new(1), run: NonZeroU64::MIN };
        let mut world = Self {
            ledger: Ledger::new(),
            throttle: Throttle::new(Limiter::default()),
            now: Timestamp::from_nanos(1_000_000_000),
            fates: VecDeque::new(),
            deliveries: VecDeque::new(),
            starts: Vec::new(),
            released: Vec::new(),
            charged: Cost::ZERO,
            returned: Cost::ZERO,
            answers: Vec::new(),
            lag: Duration::ZERO,
            acquires: Vec::new(),
            silent: BTreeSet::new(),
            sequence: Sequence::default(),
            clock: LedgerClock::starting(LedgerTime::ZERO, Timestamp::ZERO),
            slowest: SlowestDelivery::default(),
            guard: limits.iter().map(|limit| limit.guard()).min().expect("a connection has a limit"),
            key: ConnectionKey::new("platform", "connection").unwrap(),
            owner,
            index: 0,
            number: 0,
            answered: 0,
            proposed_at: Timestamp::ZERO,
            events: BTreeMap::new(),
            scheduled: 0,
            wake_at: None,
        };
        world.apply(Command::Join {
            incarnation: owner,
            shards: ShardCount::MIN,
            seen: turnstile::engine::grant::Epoch::default(),
        });
        world
    }

    /// Runs what is due until `until`, in order; then it is that time.
    pub(crate) fn run_until(&mut self, until: Timestamp) {
        while self.next_at().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = until;
    }

    /// Runs until nothing is left to happen.
    pub(crate) fn run_out(&mut self) {
        let mut steps = 0;
        while self.next_at().is_some() {
            self.step();
            steps += 1;
            assert!(steps < 20_000, "it never ends");
        }
    }

    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        let event = self.events.keys().next().map(|&(at, _)| at);
        event.into_iter().chain(self.wake_at).min()
    }

    /// One event, or one wake.
    pub(crate) fn step(&mut self) {
        let event_at = self.events.keys().next().map(|&(at, _)| at);
        if event_at.is_none() || self.wake_at.is_some_and(|wake| Some(wake) < event_at) {
            self.now = self.now.max(self.wake_at.take().expect("something is to happen"));
            self.settle(Vec::new());
            return;
        }
        if let Some(((at, _), event)) = self.events.pop_first() {
            self.now = self.now.max(at);
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        let mut effects = Vec::new();
        match event {
            Event::Commit { batch, fate } => {
                let sent_again = Event::Commit { batch: batch.clone(), fate: Fate { loss: Loss::Nothing, ..fate } };
                match fate.loss {
                    Loss::Proposal => return self.schedule(RESEND, sent_again),
                    Loss::Answer => self.schedule(RESEND, sent_again),
                    Loss::Repeated => self.schedule(RESEND * 3, sent_again),
                    Loss::Nothing => {}
                }
                let number = batch.number;
                let Answer::Verdicts(verdicts) = self.apply(Command::Propose(batch)) else { return };
                if !matches!(fate.loss, Loss::Answer) {
                    let [verdict] = verdicts.try_into().expect("one verdict for one proposal");
                    self.schedule(fate.answer_after, Event::Answered { verdict, number });
                }
                return;
            }
            Event::Answered { number, .. } if number.0.get() != self.number => return,
            Event::Answered { verdict, number } => {
                self.slowest.observe(self.now, self.now.saturating_since(self.proposed_at));
                if let Some(stamp) = stamp_of(&verdict) {
                    self.clock.observe(stamp, self.proposed_at, self.now);
                }
                let is_first = std::mem::replace(&mut self.answered, number.0.get()) < number.0.get();
                if let Verdict::Charged { cost, .. } = verdict
                    && is_first
                {
                    self.charged = self.charged.plus(cost);
                }
                let now = self.both();
                let is_present = |reply: &usize, _| !self.silent.contains(reply);
                self.throttle.verdict(now, &verdict, &mut self.sequence, &mut effects, is_present);
            }
            Event::Delivered { grant, acquire, delivery } => self.deliver(&grant, acquire, delivery, &mut effects),
        }
        self.settle(effects);
    }

    fn deliver(&mut self, grant: &Grant, acquire: Acquire<usize>, delivery: Delivery, effects: &mut Vec<Effect<usize>>) {
        self.slowest.observe(self.now, self.now.saturating_since(grant.proposed_at));
        if delivery.unused {
            self.throttle.give_back(acquire.request, grant);
            self.answer(acquire.reply);
        } else if grant.is_stale(self.now) {
            self.throttle.requeue(self.both(), grant, acquire, &mut self.sequence, effects);
        } else {
            let way = self.guard / 1000 * delivery.way.min(1000);
            self.starts.push(Start { request: acquire.request, cost: grant.cost, reached_at: self.now + way });
            self.answer(acquire.reply);
        }
    }

    /// Performs effects, then polls and proposes, or notes when to wake.
    fn settle(&mut self, mut effects: Vec<Effect<usize>>) {
        let now = self.both();
        let slowest = self.slowest.get(self.now);
        let is_present = |reply: &usize, _| !self.silent.contains(reply);
        let action = self.throttle.poll(now, slowest, &mut self.sequence, &mut effects, is_present);
        let changed = !effects.is_empty();
        for effect in effects {
            self.perform(effect);
        }
        self.wake_at = self.throttle.next_wake(now);
        if let Some(action) = action {
            if let Action::Slots { returns, .. } = &action {
                self.returned = returns.iter().fold(self.returned, |sum, given_back| sum.plus(given_back.cost));
            }
            let batch = self.batch(action);
            self.proposed_at = self.now;
            let fate = self.fates.pop_front().unwrap_or_default();
            self.schedule(fate.commit_after, Event::Commit { batch, fate });
        } else if !self.is_waiting() {
            let spins = self.wake_at.is_some_and(|at| at <= self.now) && !changed;
            assert!(!spins, "nothing to propose at {now:?}, and yet it wants to wake at {:?}", self.wake_at);
        }
    }

    fn perform(&mut self, effect: Effect<usize>) {
        match effect {
            Effect::Refuse { reply, .. } => self.answer(reply),
            Effect::Release { reply, request, grant } => {
                let acquire = self.acquires[reply].clone();
                assert_eq!(acquire.request, request);
                assert!(!grant.is_stale(self.now), "released when it was stale");
                assert!(!self.silent.contains(&reply), "released to somebody of whom nobody hears");
                let (arrival, waits_since) = (grant.arrival.get(), grant.waits_since.get());
                self.released.push(Released { niceness: grant.niceness, arrival, waits_since, release: grant.release.get() });
                let delivery = self.deliveries.pop_front().unwrap_or_default();
                self.schedule(delivery.after, Event::Delivered { grant, acquire, delivery });
            }
        }
    }

    fn answer(&mut self, reply: usize) {
        self.answers[reply] += 1;
        assert_eq!(self.answers[reply], 1, "call {reply} is answered twice");
    }

    fn both(&self) -> Now {
        self.clock.now(self.now)
    }

    /// Whether the connection could leave its owner's memory.
    pub(crate) fn is_idle(&mut self) -> bool {
        let now = self.both();
        self.throttle.is_idle(now)
    }

    /// Whether a proposal is on its way, or its answer.
    fn is_waiting(&self) -> bool {
        self.events.values().any(|event| !matches!(event, Event::Delivered { .. }))
    }

    fn batch(&mut self, action: Action) -> Batch {
        self.number += 1;
        let proposals = vec![Proposal { epoch: self.ledger.ring().epoch(), key: self.key.clone(), action }];
        let number = BatchNumber(NonZeroU64::new(self.number).expect("counted from 1"));
        Batch { owner: self.owner, number, proposals }
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.scheduled += 1;
        self.events.insert((self.now + after, self.scheduled), event);
    }

    pub(crate) fn apply(&mut self, command: Command) -> Answer {
        self.index += 1;
        let stamp = LedgerTime::from_nanos(self.now.as_nanos()).saturating_sub(self.lag);
        let mut answers = self.ledger.apply(LogIndex(self.index), &LedgerEntry { stamp, commands: vec![command] });
        answers.pop().expect("one answer for one command")
    }
}

fn stamp_of(verdict: &Verdict) -> Option<LedgerTime> {
    match verdict {
        Verdict::Charged { stamp, .. }
        | Verdict::NotBefore { stamp, .. }
        | Verdict::Done { stamp }
        | Verdict::Adjusted { stamp, .. } => Some(*stamp),
        Verdict::Moved { .. } => None,
    }
}
