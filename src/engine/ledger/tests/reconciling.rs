//! Estimates, and what calls have taken.

use super::*;
use crate::engine::algorithm::Algorithm;
use crate::engine::grant::{ReleaseNumber, RequestId, Tenure};

/// 100 tokens per 10 s, and more requests than anybody makes, without margins.
fn tokens(algorithm: Algorithm) -> Limits {
    let bare = |count| {
        let limit = RateLimit::new(count, Duration::from_secs(10)).unwrap();
        limit.with_delivery_bound(Duration::ZERO).unwrap().with_guard(Duration::ZERO).unwrap()
    };
    Limits::new([bare(1000), bare(100).counting(Dimension::Tokens).by(algorithm)]).unwrap()
}

fn estimates(tokens: u64, limits: &Limits) -> Action {
    let cost = Cost::ONE.with_tokens(tokens);
    let ask = Ask { limits: limits.clone(), delivery: Duration::ZERO, least: cost, most: cost };
    Action::Slots { returns: Vec::new(), ask: Some(ask) }
}

/// What permit `number` says of a charge of that moment.
fn taken(number: u64, charged_at: u64, estimate: u64, actual: u64) -> Action {
    let permit = PermitId { tenure: Tenure::new(7), release: ReleaseNumber::from_wire(number) };
    let charge = Charge { stamp: at(charged_at), delivery: Duration::ZERO };
    let of = |tokens| Cost::ONE.with_tokens(tokens);
    Action::Adjust(Adjustment::Reconcile(Reconcile { permit, charge, estimate: of(estimate), actual: of(actual) }))
}

fn adjusted(verdict: Verdict) -> Adjusted {
    match verdict {
        Verdict::Adjusted { adjusted, .. } => adjusted,
        other => unreachable!("an adjustment is answered as one, not {other:?}"),
    }
}

/// When so many tokens are granted that are asked for at that moment and then whenever the ledger says.
fn granted_at(log: &mut Log, mut millis: u64, wanted: u64, limits: &Limits) -> u64 {
    loop {
        match log.propose(millis, run(NODE, 1), "a", estimates(wanted, limits)) {
            Verdict::Charged { stamp, .. } => return stamp.as_nanos() / 1_000_000,
            Verdict::NotBefore { at, .. } => millis = at.as_nanos().div_ceil(1_000_000),
            other => unreachable!("an ask is answered as one, not {other:?}"),
        }
    }
}

/// `estimate` is charged at 1 ms and turns out to be `actual` a millisecond later; when `wanted` is granted then, counted from the charge.
fn wait_after(algorithm: Algorithm, estimate: u64, actual: u64, wanted: u64) -> u64 {
    let (mut log, limits) = (Log::new(), tokens(algorithm));
    assert_eq!(granted_at(&mut log, 1, estimate, &limits), 1);
    log.propose(2, run(NODE, 1), "a", taken(1, 1, estimate, actual));
    granted_at(&mut log, 3, wanted, &limits) - 1
}

#[test]
fn what_was_taken_counts_as_the_specification_says() {
    for algorithm in Algorithm::ALL {
        // The debt is charged a millisecond after the estimate.
        let (more, most) = if algorithm.is_bucket() { (2_000, 18_000) } else { (10_000, 10_001) };
        assert_eq!(wait_after(algorithm, 60, 90, 30), more, "{algorithm}: too little was estimated");
        assert_eq!(wait_after(algorithm, 60, 20, 80), 2, "{algorithm}: too much was estimated");
        assert_eq!(wait_after(algorithm, 10, 250, 30), most, "{algorithm}: more was taken than the limit has");
    }
}

#[test]
fn a_late_refund_makes_no_room_that_more_than_the_limit_could_use() {
    for algorithm in Algorithm::ALL {
        let (mut log, limits) = (Log::new(), tokens(algorithm));
        assert_eq!(granted_at(&mut log, 1, 60, &limits), 1);
        log.propose(6_001, run(NODE, 1), "a", taken(1, 1, 60, 0));
        assert_eq!(granted_at(&mut log, 6_002, 100, &limits), 6_002, "{algorithm}");
        let next = granted_at(&mut log, 6_003, 60, &limits);
        assert!(next >= 12_002, "{algorithm}: 60 more at {next}");
    }
}

#[test]
fn the_first_reconcile_counts_whoever_passes_it_on() {
    let (mut log, limits) = (Log::new(), tokens(Algorithm::SlidingWindow));
    let owner = run(NODE, 1);
    log.propose(10, owner, "a", estimates(60, &limits));
    let charge = Charge { stamp: at(10), delivery: Duration::ZERO };
    let (refunded, owed) = (Cost::ZERO.with_tokens(40), Cost::ZERO);
    assert_eq!(adjusted(log.propose(20, owner, "a", taken(1, 10, 60, 20))), Adjusted::Reconciled { charge, refunded, owed });
    // Its node comes back as another run: the connection has another owner.
    log.join(30, run(NODE, 2));
    for actual in [20, 0, 500] {
        assert_eq!(adjusted(log.propose(40, run(NODE, 2), "a", taken(1, 10, 60, actual))), Adjusted::Known);
    }
}

#[test]
fn a_permit_that_is_not_open_changes_nothing() {
    let (mut log, limits) = (Log::new(), tokens(Algorithm::SlidingWindow));
    let owner = run(NODE, 1);
    log.propose(10, owner, "a", estimates(60, &limits));
    log.propose(10, owner, "b", ask(1, &per(5, 10_000)));
    let before = log.ledger.limiter(&key("a"));
    for (name, action) in [
        ("a", taken(1, 9, 60, 0)),  // no such charge
        ("a", taken(1, 10, 61, 0)), // more than was charged
        ("b", taken(1, 11, 1, 5)),  // no limit on tokens
        ("c", taken(1, 10, 60, 0)), // nobody's connection
    ] {
        assert_eq!(adjusted(log.propose(20, owner, name, action)), Adjusted::Unknown, "{name}");
    }
    assert_eq!(log.ledger.limiter(&key("a")), before);
    // Of 60, 20 were never let go: nobody's estimate has them.
    let returned = Return { charge: Charge { stamp: at(10), delivery: Duration::ZERO }, cost: Cost::ZERO.with_tokens(20) };
    log.propose(30, owner, "a", Action::Slots { returns: vec![returned], ask: None });
    assert_eq!(adjusted(log.propose(40, owner, "a", taken(2, 10, 41, 0))), Adjusted::Unknown);
    // The window has passed.
    assert_eq!(adjusted(log.propose(10_010, owner, "a", taken(3, 10, 30, 0))), Adjusted::Unknown);
}

#[test]
fn several_permits_of_one_charge_are_reconciled_each_for_itself() {
    let (mut log, limits) = (Log::new(), tokens(Algorithm::SlidingWindow));
    let owner = run(NODE, 1);
    let three = Cost::of(3).with_tokens(60);
    let ask = Ask { limits: limits.clone(), delivery: Duration::ZERO, least: three, most: three };
    log.propose(10, owner, "a", Action::Slots { returns: Vec::new(), ask: Some(ask) });
    for number in 1..=3 {
        let first = adjusted(log.propose(20, owner, "a", taken(number, 10, 20, 10)));
        assert!(matches!(first, Adjusted::Reconciled { refunded, .. } if refunded.tokens == 10), "{number}: {first:?}");
    }
    assert_eq!(adjusted(log.propose(30, owner, "a", taken(4, 10, 1, 0))), Adjusted::Unknown, "all of it is spoken for");
    assert_eq!(granted_at(&mut log, 40, 70, &limits), 40, "30 of 100 are taken");
}

#[test]
fn a_reconcile_that_owes_nothing_leaves_the_others_of_its_charge_theirs_to_give_back() {
    let (mut log, limits) = (Log::new(), tokens(Algorithm::SlidingWindow));
    let (owner, two, way) = (run(NODE, 1), Cost::of(2).with_tokens(20), Duration::from_millis(3));
    let ask = Ask { limits, delivery: way, least: two, most: two };
    log.propose(10, owner, "a", Action::Slots { returns: Vec::new(), ask: Some(ask) });
    let charge = Charge { stamp: at(10), delivery: way };
    let permit = |number| PermitId { tenure: Tenure::new(7), release: ReleaseNumber::from_wire(number) };
    let half = Cost::ONE.with_tokens(10);
    // At the very moment from which the charge counts.
    let reconcile = Reconcile { permit: permit(1), charge, estimate: half, actual: half };
    let reconciled = adjusted(log.propose(13, owner, "a", Action::Adjust(Adjustment::Reconcile(reconcile))));
    assert_eq!(reconciled, Adjusted::Reconciled { charge, refunded: Cost::ZERO, owed: Cost::ZERO });
    let request = RequestId::new(2);
    let release = Release { permit: permit(2), request, charge, cost: half };
    let released = adjusted(log.propose(14, owner, "a", Action::Adjust(Adjustment::Release(release))));
    assert_eq!(released, Adjusted::Released { request, charge, refunded: half });
}
