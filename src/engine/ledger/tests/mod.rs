//! Who may charge and return, what is remembered, and when it is forgotten.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the answer it expects")]

mod forgetting;
mod holding;
mod reconciling;
mod returns;

use std::num::NonZeroU64;

use super::*;
use crate::engine::cost::{Cost, Dimension};
use crate::engine::grant::Charge;
use crate::engine::rate::{Limits, RateLimit};

const NODE: NodeId = NodeId::new(1);
const OTHER: NodeId = NodeId::new(2);

fn run(node: NodeId, run: u64) -> Incarnation {
    Incarnation { node, run: NonZeroU64::new(run).unwrap() }
}

fn key(name: &str) -> ConnectionKey {
    ConnectionKey::new("slack", name).unwrap()
}

fn at(millis: u64) -> LedgerTime {
    LedgerTime::from_nanos(millis * 1_000_000)
}

/// A limit without margins.
fn per(count: u32, millis: u64) -> Limits {
    let limit = RateLimit::new(count, Duration::from_millis(millis)).unwrap();
    let bare = limit.with_delivery_bound(Duration::ZERO).unwrap().with_guard(Duration::ZERO).unwrap();
    Limits::new([bare]).unwrap()
}

fn ask(units: u64, limits: &Limits) -> Action {
    let cost = Cost::of(units);
    let ask = Ask { limits: limits.clone(), delivery: Duration::ZERO, least: cost, most: cost };
    Action::Slots { returns: Vec::new(), ask: Some(ask) }
}

fn give_back(stamp: LedgerTime, units: u64) -> Action {
    let charge = Charge { stamp, delivery: Duration::ZERO };
    Action::Slots { returns: vec![Return { charge, cost: Cost::of(units) }], ask: None }
}

/// A ledger, the indices of its log, and the numbers of the batches.
#[derive(Debug, Clone)]
struct Log {
    ledger: Ledger,
    index: u64,
    number: u64,
}

impl Log {
    /// With one member, `run(NODE, 1)`.
    fn new() -> Self {
        let mut log = Self { ledger: Ledger::new(), index: 0, number: 0 };
        log.join(0, run(NODE, 1));
        log
    }

    fn entry(&mut self, millis: u64, command: Command) -> Answer {
        self.index += 1;
        let mut answers = self.ledger.apply(LogIndex(self.index), &LedgerEntry { stamp: at(millis), commands: vec![command] });
        answers.pop().expect("one answer for one command")
    }

    fn join(&mut self, millis: u64, incarnation: Incarnation) -> Epoch {
        let seen = self.ledger.ring().epoch();
        match self.entry(millis, Command::Join { incarnation, shards: ShardCount::MIN, seen }) {
            Answer::Joined { epoch } => epoch,
            other => unreachable!("a join is answered with its epoch, not {other:?}"),
        }
    }

    fn batch(&mut self, millis: u64, owner: Incarnation, number: u64, proposals: Vec<Proposal>) -> Answer {
        let number = BatchNumber(NonZeroU64::new(number).unwrap());
        self.entry(millis, Command::Propose(Batch { owner, number, proposals }))
    }

    /// One proposal, in a batch of its own, by the ring in force.
    fn propose(&mut self, millis: u64, owner: Incarnation, name: &str, action: Action) -> Verdict {
        self.number += 1;
        let proposals = vec![Proposal { epoch: self.ledger.ring().epoch(), key: key(name), action }];
        match self.batch(millis, owner, self.number, proposals) {
            Answer::Verdicts(mut verdicts) => verdicts.pop().expect("one verdict for one proposal"),
            other => unreachable!("a fresh batch has verdicts, not {other:?}"),
        }
    }

    fn held(&self, name: &str) -> u64 {
        self.ledger
            .limiter(&key(name))
            .and_then(|limiter| {
                limiter
                    .fill(self.ledger.now())
                    .filter(|(limit, _)| limit.dimension() == Dimension::Units)
                    .map(|(_, held)| held)
                    .max()
            })
            .unwrap_or(0)
    }

    fn tick(&mut self, millis: u64) {
        assert_eq!(self.entry(millis, Command::Tick), Answer::Ticked);
    }
}

fn charged(stamp: LedgerTime, units: u64) -> Verdict {
    Verdict::Charged { stamp, cost: Cost::of(units) }
}

#[test]
fn a_proposal_of_a_wrong_epoch_is_moved_and_charges_nothing() {
    let mut log = Log::new();
    let epoch = log.ledger.ring().epoch();
    for wrong in [Epoch(LogIndex(0)), Epoch(LogIndex(epoch.0.0 + 1))] {
        let proposals = vec![Proposal { epoch: wrong, key: key("a"), action: ask(1, &per(5, 1000)) }];
        log.number += 1;
        assert_eq!(log.batch(1, run(NODE, 1), log.number, proposals), Answer::Verdicts(vec![Verdict::Moved { epoch }]));
    }
    assert_eq!(log.ledger.tracked(), 0);
}

#[test]
fn a_run_that_is_marked_down_owns_nothing_until_it_joins_again_and_no_later_run_is_meant() {
    let mut log = Log::new();
    let stay = log.join(0, run(OTHER, 1));
    let Answer::MarkedDown { epoch } = log.entry(1, Command::MarkDown { incarnation: run(OTHER, 1) }) else { unreachable!() };
    assert!(epoch > stay, "the ring moves");
    assert_eq!(log.batch(2, run(OTHER, 1), 1, Vec::new()), Answer::NotMember);
    let again = log.join(3, run(OTHER, 2));
    // It was silent in its former run.
    assert_eq!(log.entry(4, Command::MarkDown { incarnation: run(OTHER, 1) }), Answer::MarkedDown { epoch: again });
    assert_eq!(log.ledger.members().collect::<Vec<_>>(), [run(NODE, 1), run(OTHER, 2)]);
}

#[test]
fn a_join_that_was_long_on_its_way_does_not_bring_a_former_run_back() {
    let mut log = Log::new();
    let (seen, shards) = (log.ledger.ring().epoch(), ShardCount::MIN);
    let late = Command::Join { incarnation: run(OTHER, 1), shards, seen };
    assert_eq!(log.entry(1, late.clone()), Answer::Joined { epoch: Epoch(LogIndex(2)) });
    // Its answer was lost: the same again is the same.
    assert_eq!(log.entry(2, late.clone()), Answer::Joined { epoch: Epoch(LogIndex(2)) });
    let epoch = log.join(3, run(OTHER, 2));
    assert_eq!(log.entry(4, late), Answer::Outdated { epoch });
    assert_eq!(log.ledger.incarnation(OTHER), Some(run(OTHER, 2)));
}

#[test]
fn a_proposal_of_a_wrong_incarnation_is_superseded_and_charges_nothing() {
    let mut log = Log::new();
    log.propose(1, run(NODE, 1), "a", ask(1, &per(5, 1000)));
    for (stranger, answer) in [(run(NODE, 2), Answer::Superseded), (run(OTHER, 1), Answer::NotMember)] {
        let epoch = log.ledger.ring().epoch();
        let proposals = vec![Proposal { epoch, key: key("a"), action: ask(1, &per(5, 1000)) }];
        assert_eq!(log.batch(2, stranger, 9, proposals), answer);
    }
    assert_eq!(log.held("a"), 1);
}

#[test]
fn a_proposal_of_a_member_that_does_not_own_the_key_is_moved_and_charges_nothing() {
    let mut log = Log::new();
    log.join(1, run(OTHER, 1));
    let owner_of = |log: &Log, name: &str| log.ledger.ring().owner(&key(name)).unwrap().node;
    let names: Vec<String> = (0..50).map(|number| format!("connection {number}")).collect();
    let mut owned = 0;
    for name in &names {
        let verdict = log.propose(2, run(NODE, 1), name, ask(1, &per(5, 1000)));
        let owns = owner_of(&log, name) == NODE;
        assert_eq!(matches!(verdict, Verdict::Charged { .. }), owns, "{name}: {verdict:?}");
        assert_eq!(log.held(name), u64::from(owns));
        owned += u64::from(owns);
    }
    assert!((10..40).contains(&owned), "{owned} of 50 belong to one of two");
}

#[test]
fn a_repeated_batch_number_is_answered_from_memory_and_charged_once() {
    let mut log = Log::new();
    let epoch = log.ledger.ring().epoch();
    let proposal = |name: &str| Proposal { epoch, key: key(name), action: ask(2, &per(5, 1000)) };
    let first = log.batch(1, run(NODE, 1), 1, vec![proposal("a"), proposal("b")]);
    let stamp = log.ledger.now();
    assert_eq!(first, Answer::Verdicts(vec![charged(stamp, 2), charged(stamp, 2)]));
    for millis in [2, 3, 500] {
        assert_eq!(log.batch(millis, run(NODE, 1), 1, vec![proposal("a"), proposal("b")]), first);
    }
    assert_eq!((log.held("a"), log.held("b")), (2, 2));
}

#[test]
fn an_older_batch_number_is_superseded() {
    let mut log = Log::new();
    let proposal = Proposal { epoch: log.ledger.ring().epoch(), key: key("a"), action: ask(1, &per(5, 1000)) };
    log.batch(1, run(NODE, 1), 7, vec![proposal.clone()]);
    assert_eq!(log.batch(2, run(NODE, 1), 6, vec![proposal.clone()]), Answer::Superseded);
    assert_eq!(log.held("a"), 1);
    // Numbers may have gaps: what was never sent is not missed.
    log.batch(3, run(NODE, 1), 9, vec![proposal]);
    assert_eq!(log.held("a"), 2);
}

#[test]
fn a_new_incarnation_moves_the_epoch_and_forgets_the_memory_of_the_one_before() {
    let mut log = Log::new();
    let old = log.ledger.ring().epoch();
    let proposal = |epoch| Proposal { epoch, key: key("a"), action: ask(1, &per(5, 1000)) };
    log.batch(1, run(NODE, 1), 7, vec![proposal(old)]);
    let new = log.join(2, run(NODE, 2));
    assert!(new > old);
    assert_eq!(log.ledger.incarnation(NODE), Some(run(NODE, 2)));
    assert_eq!(log.batch(3, run(NODE, 1), 7, vec![proposal(old)]), Answer::Superseded);
    let answer = log.batch(4, run(NODE, 2), 1, vec![proposal(new)]);
    assert_eq!(answer, Answer::Verdicts(vec![charged(log.ledger.now(), 1)]));
    assert_eq!(log.held("a"), 2, "what the former one charged still counts");
}

#[test]
fn a_join_that_is_repeated_changes_nothing() {
    let mut log = Log::new();
    let epoch = log.ledger.ring().epoch();
    log.propose(1, run(NODE, 1), "a", ask(1, &per(5, 1000)));
    assert_eq!(log.join(2, run(NODE, 1)), epoch);
    let proposals = vec![Proposal { epoch, key: key("a"), action: ask(1, &per(5, 1000)) }];
    assert!(matches!(log.batch(3, run(NODE, 1), 1, proposals), Answer::Verdicts(_)));
    assert_eq!(log.held("a"), 1, "and the memory of its last batch is kept");
}

#[test]
fn what_the_limit_has_no_room_for_is_refused_until_the_moment_when_it_has() {
    let mut log = Log::new();
    let (owner, limits) = (run(NODE, 1), per(3, 1000));
    assert_eq!(log.propose(100, owner, "a", ask(2, &limits)), charged(at(100), 2));
    assert_eq!(log.propose(200, owner, "a", ask(2, &limits)), Verdict::NotBefore { stamp: at(200), at: at(1100) });
    assert_eq!(log.propose(1099, owner, "a", ask(2, &limits)), Verdict::NotBefore { stamp: at(1099), at: at(1100) });
    assert_eq!(log.propose(1100, owner, "a", ask(2, &limits)), charged(at(1100), 2));
}

#[test]
fn an_ask_gets_what_there_is_between_least_and_most() {
    let mut log = Log::new();
    let limits = per(5, 1000);
    let ask = Ask { limits, delivery: Duration::ZERO, least: Cost::of(2), most: Cost::of(9) };
    let action = Action::Slots { returns: Vec::new(), ask: Some(ask) };
    assert_eq!(log.propose(1, run(NODE, 1), "a", action), charged(at(1), 5));
}

#[test]
fn a_connection_at_its_limit_delays_no_other() {
    let mut log = Log::new();
    let (owner, limits) = (run(NODE, 1), per(1, 60_000));
    let epoch = log.ledger.ring().epoch();
    log.propose(1, owner, "full", ask(1, &limits));
    let proposals = ["full", "other"].map(|name| Proposal { epoch, key: key(name), action: ask(1, &limits) }).to_vec();
    let refused = Verdict::NotBefore { stamp: at(2), at: at(60_001) };
    assert_eq!(log.batch(2, owner, 9, proposals), Answer::Verdicts(vec![refused, charged(at(2), 1)]));
}

#[test]
fn a_pause_counts_from_its_entry_and_holds_whoever_asks() {
    let mut log = Log::new();
    let (owner, limits) = (run(NODE, 1), per(3, 1000));
    let pause = Action::Adjust(Adjustment::Penalize(Duration::from_secs(5)));
    assert_eq!(
        log.propose(100, owner, "a", pause),
        Verdict::Adjusted { stamp: at(100), adjusted: Adjusted::Paused { until: at(5_100) } }
    );
    assert_eq!(log.propose(200, owner, "a", ask(1, &limits)), Verdict::NotBefore { stamp: at(200), at: at(5100) });
    assert_eq!(log.propose(5100, owner, "a", ask(1, &limits)), charged(at(5100), 1));
}

#[test]
fn stamps_strictly_increase_even_when_those_of_the_proposer_do_not() {
    let mut log = Log::new();
    let mut last = log.ledger.now();
    for millis in [5, 5, 3, 0, 6, 6, 1] {
        log.tick(millis);
        assert!(log.ledger.now() > last);
        assert!(log.ledger.now() >= at(millis));
        last = log.ledger.now();
    }
    assert_eq!(last, at(6) + Duration::from_nanos(2));
}

#[test]
fn a_ledger_that_went_through_a_snapshot_equals_the_original_and_goes_on_identically() {
    let mut log = Log::new();
    for number in 0..40 {
        log.propose(number * 10, run(NODE, 1), &format!("{}", number % 7), ask(1, &per(3, 200)));
    }
    log.join(405, run(OTHER, 3));
    let mut bytes = Vec::new();
    ciborium::into_writer(&log.ledger, &mut bytes).unwrap();
    let restored = ciborium::from_reader::<Ledger, _>(bytes.as_slice()).unwrap().restored();
    assert_eq!(restored, log.ledger);
    let mut copy = Log { ledger: restored, ..log.clone() };
    for number in 0..40 {
        let (millis, name) = (410 + number * 20, format!("{}", number % 9));
        let verdicts = [&mut log, &mut copy].map(|log| log.propose(millis, run(NODE, 1), &name, ask(1, &per(3, 200))));
        assert_eq!(verdicts[0], verdicts[1]);
        assert_eq!(copy.ledger, log.ledger);
    }
}
