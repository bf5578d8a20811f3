//! The ledger under any log: lawful by an independent oracle, and the same for everyone who reads it.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU64};

use proptest::prelude::*;
use turnstile::engine::algorithm::Algorithm;
use turnstile::engine::cost::{Cost, Dimension};
use turnstile::engine::grant::{Charge, Epoch, Incarnation, LogIndex, NodeId, ReleaseNumber, RequestId, Tenure};
use turnstile::engine::key::ConnectionKey;
use turnstile::engine::ledger::{
    Action, Adjustment, Answer, Ask, Batch, BatchNumber, Command, Ledger, LedgerEntry, PermitId, Proposal, Reconcile, Release,
    Return, Verdict,
};
use turnstile::engine::pattern::LimitPattern;
use turnstile::engine::rate::{Limits, RateLimit};
use turnstile::engine::time::LedgerTime;

use crate::ledger_oracle::{Oracle, ms};
use crate::{LEDGER_CASES, cases};

/// What one entry is made of, before the state of the log is known.
#[derive(Debug, Clone)]
enum Draft {
    /// By the current ring, or by none.
    Join(Incarnation, NonZeroU16, bool),
    MarkDown(Incarnation),
    Hold(u64),
    Propose {
        owner: Incarnation,
        number: Number,
        proposals: Vec<(DraftEpoch, u8, DraftAction)>,
    },
    Tick,
    /// For a connection, or for all; by one of the lists.
    SetLimits(DraftPattern, usize),
    SetPolicy(DraftPattern, Limits),
    DeleteLimits(DraftPattern),
}

/// `None` for all connections.
type DraftPattern = Option<u8>;

/// Which number a batch has, among those of its incarnation.
#[derive(Debug, Clone, Copy)]
enum Number {
    Next,
    /// The same batch once more, as it was, from so many before.
    Repeated(usize),
    /// A number of before, for something else.
    Reused(u64),
}

#[derive(Debug, Clone, Copy)]
enum DraftEpoch {
    Current,
    Wrong(u64),
}

#[derive(Debug, Clone)]
enum DraftAction {
    Slots {
        returns: Vec<DraftReturn>,
        ask: Option<Ask>,
    },
    Penalize(u64),
    Pause,
    Resume,
    /// Of a charge that was made, by a permit of this number.
    Release {
        of: usize,
        permit: u64,
        cost: Cost,
    },
    /// Of a charge that was made, counted from the last one; by a permit of this number.
    Reconcile {
        of: usize,
        permit: u64,
        estimate: Cost,
        actual: Cost,
    },
}

#[derive(Debug, Clone)]
enum DraftReturn {
    /// Of a charge that was made, counted from the last one, whoever made it.
    Of(usize, Cost),
    MadeUp(Return),
}

fn incarnation() -> impl Strategy<Value = Incarnation> {
    // Mostly the same two, so that they get somewhere.
    let node = prop_oneof![3 => Just(1), 2 => Just(2), 1 => Just(3)];
    let run = prop_oneof![3 => Just(1), 1 => Just(2)];
    (node, run).prop_map(|(node, run)| Incarnation { node: NodeId::new(node), run: NonZeroU64::new(run).unwrap() })
}

fn cost(most: u64) -> impl Strategy<Value = Cost> {
    (0..=most, prop_oneof![2 => Just(0), 1 => 0..=most]).prop_map(|(units, tokens)| Cost::of(units).with_tokens(tokens))
}

fn limits() -> impl Strategy<Value = Limits> {
    let count = prop_oneof![6 => 1..7_u32, 1 => Just(u32::MAX)];
    let algorithm = prop_oneof![2 => Just(0), 3 => 1..Algorithm::ALL.len()];
    let limit = (count, prop_oneof![Just(5), Just(10), Just(20), Just(80)], 0..3_u64, any::<bool>(), algorithm);
    let limit = limit.prop_map(|(count, window, guard, tokens, algorithm)| {
        let dimension = if tokens { Dimension::Tokens } else { Dimension::Units };
        let limit = RateLimit::new(count, ms(window)).unwrap().counting(dimension).with_guard(ms(guard)).unwrap();
        limit.by(Algorithm::ALL[algorithm])
    });
    prop::collection::vec(limit, 1..4).prop_map(|limits| Limits::new(limits).unwrap())
}

/// Three lists of limits that one case uses again and again, as callers do.
fn action() -> impl Strategy<Value = (DraftAction, usize)> {
    let made_up = (0..40_u64, 0..6_u64, cost(4))
        .prop_map(|(stamp, delivery, cost)| Return { charge: Charge { stamp: at(stamp), delivery: ms(delivery) }, cost });
    let given_back = prop_oneof![
        3 => (0..4_usize, cost(4)).prop_map(|(back, cost)| DraftReturn::Of(back, cost)),
        1 => made_up.prop_map(DraftReturn::MadeUp),
    ];
    let any_limits = Limits::new([RateLimit::new(1, ms(1)).unwrap()]).unwrap();
    let ask = (0..6_u64, cost(3), cost(6)).prop_map(move |(delivery, least, more)| {
        let (limits, most) = (any_limits.clone(), least.plus(more));
        Ask { limits, delivery: ms(delivery), least, most }
    });
    let slots = (prop::collection::vec(given_back, 0..2), prop::option::weighted(0.8, ask))
        .prop_map(|(returns, ask)| DraftAction::Slots { returns, ask });
    let reconcile = (0..3_usize, 0..3_u64, cost(3), cost(8));
    let reconcile = reconcile.prop_map(|(of, permit, estimate, actual)| DraftAction::Reconcile { of, permit, estimate, actual });
    let release = (0..3_usize, 0..3_u64, cost(3)).prop_map(|(of, permit, cost)| DraftAction::Release { of, permit, cost });
    let penalty = (1..20_u64).prop_map(DraftAction::Penalize);
    let pauses = prop_oneof![3 => penalty, 1 => Just(DraftAction::Pause), 3 => Just(DraftAction::Resume)];
    (prop_oneof![15 => slots, 2 => pauses, 4 => reconcile, 3 => release], 0..6_usize)
}

fn pattern() -> impl Strategy<Value = DraftPattern> {
    prop::option::weighted(0.7, 0..2_u8)
}

/// A batch, its proposals with the list of limits that each will state.
type DraftBatch = (Incarnation, Number, Vec<(DraftEpoch, u8, (DraftAction, usize))>);

/// Entries: how much later than the one before, and what is in them.
fn drafts() -> impl Strategy<Value = Vec<(i64, Vec<Draft>)>> {
    let epoch = prop_oneof![12 => Just(DraftEpoch::Current), 1 => (0..9_u64).prop_map(DraftEpoch::Wrong)];
    let lists = prop::collection::vec(limits(), 3);
    let number = prop_oneof![8 => Just(Number::Next), 1 => (0..3_usize).prop_map(Number::Repeated), 1 => (1..9_u64).prop_map(Number::Reused)];
    let proposals = prop::collection::vec((epoch, 0..2_u8, action()), 1..3);
    let propose = (incarnation(), number, proposals).prop_map(|(owner, number, proposals)| (owner, number, proposals));
    let draft = prop_oneof![
        1 => (incarnation(), 1..3_u16, prop::bool::weighted(0.9)).prop_map(|(incarnation, shards, is_current)| {
            Err(Draft::Join(incarnation, NonZeroU16::new(shards).unwrap(), is_current))
        }),
        12 => propose.prop_map(Ok),
        1 => incarnation().prop_map(|incarnation| Err(Draft::MarkDown(incarnation))),
        1 => (0..60_u64).prop_map(|millis| Err(Draft::Hold(millis))),
        1 => Just(Err(Draft::Tick)),
        1 => (pattern(), 0..3_usize).prop_map(|(pattern, list)| Err(Draft::SetLimits(pattern, list))),
        1 => pattern().prop_map(|pattern| Err(Draft::DeleteLimits(pattern))),
    ];
    let stamps = prop_oneof![4 => 0..4_i64, 1 => 0..60_i64, 1 => -30..0_i64];
    (lists, prop::collection::vec((stamps, prop::collection::vec(draft, 1..3)), 1..30)).prop_map(|(lists, drafts)| {
        let with_limits = |(action, list): (DraftAction, usize)| match action {
            DraftAction::Slots { returns, ask: Some(ask) } => {
                // The first list twice as often as the others together.
                let limits = lists.get(list).unwrap_or(&lists[0]).clone();
                DraftAction::Slots { returns, ask: Some(Ask { limits, ..ask }) }
            }
            other => other,
        };
        let complete = |draft: Result<DraftBatch, Draft>| match draft {
            Err(Draft::SetLimits(pattern, list)) => Draft::SetPolicy(pattern, lists[list].clone()),
            Err(draft) => draft,
            Ok((owner, number, proposals)) => {
                let proposals = proposals.into_iter().map(|(epoch, key, action)| (epoch, key, with_limits(action))).collect();
                Draft::Propose { owner, number, proposals }
            }
        };
        drafts.into_iter().map(|(stamp, drafts)| (stamp, drafts.into_iter().map(complete).collect())).collect()
    })
}

const fn at(millis: u64) -> LedgerTime {
    LedgerTime::from_nanos(millis * 1_000_000)
}

/// Turns drafts into commands that fit the log, and keeps what later ones refer to.
#[derive(Default)]
struct Writer {
    numbers: BTreeMap<Incarnation, u64>,
    batches: Vec<Batch>,
    charges: Vec<Charge>,
}

impl Writer {
    fn write(&mut self, draft: Draft, current: Epoch) -> Command {
        match draft {
            Draft::Tick => Command::Tick,
            Draft::Join(incarnation, shards, is_current) => {
                let seen = if is_current { current } else { Epoch(LogIndex(0)) };
                Command::Join { incarnation, shards, seen }
            }
            Draft::MarkDown(incarnation) => Command::MarkDown { incarnation },
            Draft::SetPolicy(pattern, limits) => Command::SetLimits { pattern: limit_pattern(pattern), limits },
            Draft::DeleteLimits(pattern) => Command::DeleteLimits { pattern: limit_pattern(pattern) },
            Draft::SetLimits(..) => unreachable!("its limits were looked up"),
            Draft::Hold(millis) => Command::Hold { at_most: ms(millis) },
            Draft::Propose { owner, number, proposals } => {
                let number = match number {
                    Number::Next => {
                        let last = self.numbers.entry(owner).or_default();
                        *last += 1;
                        *last
                    }
                    Number::Reused(number) => number,
                    Number::Repeated(back) => match self.batches.iter().rev().nth(back) {
                        Some(batch) => return Command::Propose(batch.clone()),
                        None => return Command::Tick,
                    },
                };
                let number = BatchNumber(NonZeroU64::new(number).unwrap());
                let proposals = proposals.into_iter().map(|proposal| self.proposal(proposal, current)).collect();
                let batch = Batch { owner, number, proposals };
                self.batches.push(batch.clone());
                Command::Propose(batch)
            }
        }
    }

    fn proposal(&self, (epoch, key, action): (DraftEpoch, u8, DraftAction), current: Epoch) -> Proposal {
        let epoch = match epoch {
            DraftEpoch::Current => current,
            DraftEpoch::Wrong(index) => Epoch(LogIndex(index)),
        };
        let action = match action {
            DraftAction::Penalize(millis) => Action::Adjust(Adjustment::Penalize(ms(millis))),
            DraftAction::Pause => Action::Adjust(Adjustment::Pause),
            DraftAction::Resume => Action::Adjust(Adjustment::Resume),
            DraftAction::Release { of, permit, cost } => {
                let (charge, permit) = self.permit(of, permit);
                let request = RequestId::new(u128::from(permit.release.get()));
                Action::Adjust(Adjustment::Release(Release { permit, request, charge, cost }))
            }
            DraftAction::Reconcile { of, permit, estimate, actual } => {
                let (charge, permit) = self.permit(of, permit);
                Action::Adjust(Adjustment::Reconcile(Reconcile { permit, charge, estimate, actual }))
            }
            DraftAction::Slots { returns, ask } => {
                let returns = returns.into_iter().filter_map(|given_back| self.given_back(given_back)).collect();
                Action::Slots { returns, ask }
            }
        };
        Proposal { epoch, key: ConnectionKey::new("platform", &key.to_string()).unwrap(), action }
    }

    /// A charge that was made, and a permit of it.
    fn permit(&self, of: usize, number: u64) -> (Charge, PermitId) {
        let charge = self.charges.iter().rev().nth(of).copied();
        let charge = charge.unwrap_or(Charge { stamp: at(1), delivery: ms(0) });
        let number = charge.stamp.as_nanos() * 8 + number;
        (charge, PermitId { tenure: Tenure::new(1), release: ReleaseNumber::from_wire(number) })
    }

    fn given_back(&self, given_back: DraftReturn) -> Option<Return> {
        match given_back {
            DraftReturn::MadeUp(made_up) => Some(made_up),
            DraftReturn::Of(back, cost) => self.charges.iter().rev().nth(back).map(|&charge| Return { charge, cost }),
        }
    }

    fn note(&mut self, command: &Command, answer: &Answer) {
        if let (Command::Propose(batch), Answer::Verdicts(verdicts)) = (command, answer) {
            for (proposal, verdict) in batch.proposals.iter().zip(verdicts) {
                if let (Action::Slots { ask: Some(ask), .. }, &Verdict::Charged { stamp, .. }) = (&proposal.action, verdict) {
                    self.charges.push(Charge { stamp, delivery: ask.delivery });
                }
            }
        }
    }
}

fn limit_pattern(pattern: DraftPattern) -> LimitPattern {
    LimitPattern::new("platform", &pattern.map_or("*".to_owned(), |key| key.to_string())).unwrap()
}

fn bytes_of(ledger: &Ledger) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(ledger, &mut bytes).unwrap();
    bytes
}

fn through_a_snapshot(ledger: &Ledger) -> Ledger {
    ciborium::from_reader::<Ledger, _>(bytes_of(ledger).as_slice()).unwrap().restored()
}

proptest! {
    #![proptest_config(cases(LEDGER_CASES))]

    #[test]
    fn no_log_makes_the_ledger_break_a_limit_in_force_and_every_reader_of_it_agrees(
        drafts in drafts(),
        restored_at in 0..30_usize,
    ) {
        let first = Incarnation { node: NodeId::new(1), run: NonZeroU64::MIN };
        let join = Draft::Join(first, NonZeroU16::MIN, true);
        let (mut ledger, mut copy) = (Ledger::new(), Ledger::new());
        let (mut oracle, mut writer, mut millis) = (Oracle::default(), Writer::default(), 0_i64);
        for (place, (passed, drafts)) in [(0, vec![join])].into_iter().chain(drafts).enumerate() {
            let stamp = at(u64::try_from(millis + passed).unwrap_or(0));
            millis += passed.max(0);
            let index = LogIndex(u64::try_from(place).unwrap() + 1);
            let commands = drafts.into_iter().map(|draft| writer.write(draft, ledger.ring().epoch())).collect();
            let entry = LedgerEntry { stamp, commands };
            let answers = ledger.apply(index, &entry);
            oracle.begin(stamp, ledger.now());
            for (command, answer) in entry.commands.iter().zip(&answers) {
                oracle.judge(index, command, answer);
                writer.note(command, answer);
            }
            if place == restored_at {
                copy = through_a_snapshot(&copy);
            }
            prop_assert_eq!(copy.apply(index, &entry), answers);
        }
        prop_assert_eq!(&copy, &ledger);
        prop_assert_eq!(bytes_of(&copy), bytes_of(&ledger));

        // No debt takes longer, by the slowest of the buckets.
        let entry = LedgerEntry { stamp: at(u64::try_from(millis).unwrap() + 60_000), commands: vec![Command::Tick] };
        ledger.apply(LogIndex(99), &entry);
        prop_assert_eq!(ledger.tracked(), oracle.paused_for_good());
        prop_assert_eq!(ledger.over_grants(), 0);
    }
}
