//! Slots that come back.

use super::*;

#[test]
fn a_return_counts_once_and_no_more_than_was_charged() {
    let mut log = Log::new();
    let (owner, limits) = (run(NODE, 1), per(5, 1000));
    log.propose(10, owner, "a", ask(3, &limits));
    log.propose(20, owner, "a", ask(2, &limits));
    for (units, held) in [(2, 3), (2, 2), (2, 2)] {
        log.propose(30, owner, "a", give_back(at(10), units));
        assert_eq!(log.held("a"), held);
    }
}

#[test]
fn a_return_in_a_repeated_batch_counts_once() {
    let mut log = Log::new();
    let owner = run(NODE, 1);
    log.propose(10, owner, "a", ask(4, &per(5, 1000)));
    let proposal = Proposal { epoch: log.ledger.ring().epoch(), key: key("a"), action: give_back(at(10), 1) };
    for _ in 0..3 {
        log.batch(20, owner, 9, vec![proposal.clone()]);
        assert_eq!(log.held("a"), 3);
    }
}

#[test]
fn only_the_incarnation_that_charged_returns() {
    let mut log = Log::new();
    log.propose(10, run(NODE, 1), "a", ask(3, &per(5, 1000)));
    log.join(20, run(NODE, 2));
    log.propose(30, run(NODE, 2), "a", give_back(at(10), 3));
    assert_eq!(log.held("a"), 3, "a successor knows nothing of what its predecessor released");
    log.propose(40, run(NODE, 2), "a", ask(1, &per(5, 1000)));
    log.propose(50, run(NODE, 2), "a", give_back(at(10), 3));
    assert_eq!(log.held("a"), 4);
    log.propose(60, run(NODE, 2), "a", give_back(at(40), 1));
    assert_eq!(log.held("a"), 3);
}

#[test]
fn a_return_that_names_no_charge_gives_nothing_back() {
    let mut log = Log::new();
    let (owner, limits) = (run(NODE, 1), per(5, 1000));
    log.propose(10, owner, "a", ask(3, &limits));
    log.propose(20, owner, "a", give_back(at(15), 3));
    // Counted from the same moment, and yet another charge.
    let charge = Charge { stamp: at(5), delivery: Duration::from_millis(5) };
    let made_up = Action::Slots { returns: vec![Return { charge, cost: Cost::of(3) }], ask: None };
    log.propose(30, owner, "a", made_up);
    let charge = Charge { stamp: at(15), delivery: Duration::ZERO };
    let nothing = Action::Slots { returns: vec![Return { charge, cost: Cost::of(3) }], ask: None };
    log.propose(40, owner, "a", nothing);
    assert_eq!(log.held("a"), 3);
}

#[test]
fn returns_come_before_the_ask_of_the_same_proposal() {
    let mut log = Log::new();
    let (owner, limits) = (run(NODE, 1), per(3, 1000));
    log.propose(10, owner, "a", ask(3, &limits));
    let (Action::Slots { returns, .. }, Action::Slots { ask, .. }) = (give_back(at(10), 2), ask(2, &limits)) else {
        unreachable!()
    };
    assert_eq!(log.propose(20, owner, "a", Action::Slots { returns, ask }), charged(at(20), 2));
    assert_eq!(log.held("a"), 3);
}

#[test]
fn a_return_by_a_successor_never_reaches_a_charge_that_happens_to_count_from_the_same_moment() {
    let mut log = Log::new();
    let delayed = |units, delivery| {
        let (least, delivery) = (Cost::of(units), Duration::from_millis(delivery));
        Action::Slots { returns: Vec::new(), ask: Some(Ask { limits: per(9, 1000), delivery, least, most: least }) }
    };
    log.propose(100, run(NODE, 1), "a", delayed(5, 20));
    log.join(105, run(NODE, 2));
    log.propose(110, run(NODE, 2), "a", delayed(2, 10));
    let charge = Charge { stamp: at(110), delivery: Duration::from_millis(10) };
    let too_much = Action::Slots { returns: vec![Return { charge, cost: Cost::of(7) }], ask: None };
    log.propose(111, run(NODE, 2), "a", too_much);
    assert_eq!(log.held("a"), 5);
}
