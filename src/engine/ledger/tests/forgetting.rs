//! What the ledger forgets, and when.

use super::*;

#[test]
fn connections_are_forgotten_in_order_of_expiry() {
    let mut log = Log::new();
    let owner = run(NODE, 1);
    for (name, window) in [("c", 3000), ("a", 1000), ("b", 2000)] {
        log.propose(0, owner, name, ask(1, &per(1, window)));
    }
    let tracked = |log: &Log| ["a", "b", "c"].map(|name| log.held(name));
    for (millis, expected) in [(900, [1, 1, 1]), (1001, [0, 1, 1]), (2001, [0, 0, 1]), (3001, [0, 0, 0])] {
        log.tick(millis);
        assert_eq!(tracked(&log), expected, "at {millis} ms");
    }
    assert_eq!(log.ledger.tracked(), 0);
}

#[test]
fn the_memory_of_a_hundred_thousand_idle_connections_comes_back_in_bounded_steps() {
    let mut log = Log::new();
    let (owner, limits, epoch) = (run(NODE, 1), per(1, 1000), log.ledger.ring().epoch());
    let proposal = |number: u32| Proposal { epoch, key: key(&format!("{number}")), action: ask(1, &limits) };
    log.batch(10, owner, 1, (0..100_000).map(proposal).collect());
    assert_eq!(log.ledger.tracked(), 100_000);
    log.tick(1009);
    assert_eq!(log.ledger.tracked(), 100_000);
    let mut before = 100_000;
    for step in 0..25 {
        log.tick(1010 + step);
        let pruned = before - log.ledger.tracked();
        assert!(pruned <= 4_096, "{pruned} in one entry");
        before = log.ledger.tracked();
    }
    assert_eq!((before, log.ledger.expiries.len()), (0, 0));
}

#[test]
fn a_busy_connection_is_listed_once_and_not_forgotten_while_it_is_busy() {
    let mut log = Log::new();
    for round in 0..50 {
        log.propose(round * 300, run(NODE, 1), "a", ask(1, &per(9, 1000)));
        assert_eq!((log.ledger.tracked(), log.ledger.expiries.len()), (1, 1), "round {round}");
    }
    assert_eq!(log.held("a"), 4);
}

#[test]
fn a_limit_is_forgotten_only_one_span_after_its_last_statement_although_nothing_is_charged_any_more() {
    let mut log = Log::new();
    let owner = run(NODE, 1);
    log.propose(10, owner, "a", ask(1, &per(2, 1000)));
    log.propose(20, owner, "a", give_back(at(10), 1));
    log.tick(500);
    assert_eq!(log.propose(600, owner, "a", ask(1, &per(5, 1000))), charged(at(600), 1));
    assert_eq!(log.propose(700, owner, "a", ask(2, &per(5, 1000))), Verdict::NotBefore { stamp: at(700), at: at(1600) });
    assert_eq!(log.propose(1010, owner, "a", ask(4, &per(5, 1000))), charged(at(1010), 4));
}
