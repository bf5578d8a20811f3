//! Waiters that leave, wait no longer, or never wait.

use super::*;
use crate::engine::limiter::Room;
use crate::engine::time::LedgerTime;

#[test]
fn a_waiter_cancelled_while_a_proposal_is_in_flight_leaves_its_slot_to_the_next() {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, acquire(wait(1)), &[asks(1)]),
        (1, acquire(nice(2, 9)), &[]),
        (2, In::Cancel(1), &[]),
        (3, charged(1), &[Release(2)]),
    ]);
}

#[test]
fn a_waiter_that_is_cancelled_or_times_out_costs_no_slot() {
    let mut owner = full();
    owner.expect(&[
        (1, acquire(wait(1)), &[]),
        (2, acquire(until(2, 9_000)), &[]),
        (3, acquire(wait(3)), &[]),
        (4, In::Cancel(1), &[]),
        (9_000, In::Wake, &[Refuse(2, Refusal::Deadline { waited: ms(8_998) })]),
        (10_000, In::Wake, &[asks(1)]),
        (10_000, charged(1), &[Release(3)]),
        (10_001, acquire(wait(4)), &[asks(1)]),
    ]);
}

#[test]
fn a_deadline_ends_the_wait_at_its_moment_and_not_before() {
    let mut owner = full();
    owner.expect(&[(100, acquire(until(1, 500)), &[])]);
    assert_eq!(owner.throttle.next_wake(now(100)), Some(local(500)));
    owner.expect(&[(499, In::Wake, &[]), (500, In::Wake, &[Refuse(1, Refusal::Deadline { waited: ms(400) })])]);
}

#[test]
fn a_deadline_ends_the_wait_while_a_proposal_is_in_flight_too() {
    let mut owner = Owner::new();
    owner.expect(&[(0, acquire(until(1, 50)), &[asks(1)])]);
    assert_eq!(owner.throttle.next_wake(now(1)), Some(local(50)));
    owner.expect(&[(50, In::Wake, &[Refuse(1, Refusal::Deadline { waited: ms(50) })]), (60, charged(1), &[Returns(1)])]);
}

#[test]
fn max_wait_is_refused_at_once_when_the_wait_is_known_to_be_longer() {
    let mut owner = full();
    owner.expect(&[
        (1_000, acquire(at_most_until(1, 9_999)), &[Refuse(1, not_now(9_000))]),
        (1_000, acquire(at_most_until(2, 10_000)), &[]),
        (1_000, acquire(at_most_until(3, 10_000)), &[]),
        // Two wait in front: it needs a window of its own.
        (1_000, acquire(at_most_until(4, 19_999)), &[Refuse(4, not_now(19_000))]),
        (1_000, acquire(Acquire { niceness: Niceness::URGENT, ..at_most_until(5, 10_000) }), &[]),
    ]);
}

#[test]
fn max_wait_that_turns_out_longer_ends_with_a_retry_after() {
    let mut owner = full();
    owner.expect(&[
        (1, acquire(at_most_until(1, 10_500)), &[]),
        (2, In::Pause(60_000), &[]),
        (10_000, In::Wake, &[]),
        (10_500, In::Wake, &[Refuse(1, not_now(49_500))]),
    ]);
}

#[test]
fn a_try_that_finds_none_free_is_refused_at_once_and_nothing_is_charged() {
    let mut owner = full();
    let before = owner.throttle.limiter().clone();
    owner.expect(&[(4_000, acquire(tries(1)), &[Refuse(1, not_now(6_000))])]);
    let now = LedgerTime::from_nanos(4_000_000_000);
    assert!(owner.throttle.limiter().fill(now).eq(before.fill(now)));
    assert!(owner.throttle.queue().is_empty());
}

#[test]
fn a_try_that_finds_one_free_asks_exactly_once() {
    let mut owner = Owner::new();
    owner.expect(&[(0, acquire(tries(1)), &[asks(1)]), (1, In::Wake, &[]), (2, charged(1), &[Release(1)]), (3, In::Wake, &[])]);
}

#[test]
fn a_try_that_the_ledger_has_no_room_for_is_refused_when_the_verdict_comes() {
    let mut owner = Owner::new();
    owner.expect(&[(0, acquire(tries(1)), &[asks(1)]), (5, In::NotBefore(700), &[Refuse(1, not_now(695))])]);
}

#[test]
fn who_comes_while_the_ledger_holds_everything_back_is_told_when_that_ends() {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, acquire(tries(1)), &[asks(1)]),
        (1, In::NotBefore(60_000), &[Refuse(1, not_now(59_999))]),
        (2, acquire(tries(2)), &[Refuse(2, not_now(59_998))]),
        (3, acquire(at_most_until(3, 59_999)), &[Refuse(3, not_now(59_997))]),
        (4, acquire(at_most_until(4, 60_001)), &[]),
        (60_000, In::Wake, &[asks(1)]),
    ]);
}

#[test]
fn a_try_never_waits_for_more_than_the_proposal_in_flight() {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, acquire(wait(1)), &[asks(1)]),
        (1, acquire(tries(2)), &[]),
        (2, acquire(tries(3)), &[Refuse(3, not_now(10_000))]),
    ]);
}

#[test]
fn a_try_behind_a_waiter_that_needs_the_room_is_refused_and_overtakes_nobody() {
    let mut owner = full();
    owner.expect(&[
        (1, acquire(costly(1, 2)), &[]),
        (10_000, acquire(tries(2)), &[Refuse(2, not_now(10_000)), Asks(2, 2)]),
        (10_000, charged(2), &[Release(1)]),
    ]);
}

#[test]
fn a_try_that_needs_more_than_was_charged_sends_it_back_and_asks_for_its_own() {
    let mut owner = Owner::new();
    let of_three = |acquire| limited(acquire, &[(3, 10)]);
    owner.expect(&[
        (0, acquire(of_three(costly(1, 2))), &[Asks(2, 2)]),
        (1, acquire(of_three(nice(3, 6))), &[]),
        (2, acquire(of_three(Acquire { niceness: Niceness::URGENT, ..Acquire { cost: Cost::of(3), ..tries(2) } })), &[]),
        (3, charged(2), &[Returns(2), Asks(3, 3)]),
        (4, In::Cancel(2), &[]),
        (5, charged(3), &[Release(1), Release(3)]),
    ]);
}

#[test]
fn a_slot_that_nobody_waits_for_any_more_goes_back_by_a_return() {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, acquire(wait(1)), &[asks(1)]),
        (1, In::Cancel(1), &[]),
        (2, charged(1), &[Returns(1)]),
        (3, In::Done, &[]),
    ]);
    assert_eq!(owner.throttle.limiter().check(ledger(3), Cost::of(2)), Room::Ready);
}
