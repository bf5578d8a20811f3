//! When the owner asks, when it must not, and when it has nothing left to do.

use super::*;

/// Waiters have until then to come back, however many do.
fn settling(until_millis: u64) -> Settling {
    let span = Duration::from_millis(until_millis);
    Settling::starting(local(0), span, span)
}

#[test]
fn nothing_is_granted_before_waiters_have_settled_and_then_they_are_numbered_by_age() {
    let mut owner = Owner::of(Throttle::taken_over(Limiter::default(), settling(500)));
    let waited = |request, millis| Acquire { waited: ms(millis), ..wait(request) };
    owner.expect(&[
        (100, acquire(waited(1, 20)), &[]),
        (200, acquire(waited(2, 180)), &[]),
        (300, acquire(waited(3, 250)), &[]),
        (400, acquire(Acquire { niceness: Niceness::URGENT, ..waited(4, 0) }), &[]),
    ]);
    assert_eq!(owner.throttle.next_wake(now(400)), Some(local(500)));
    owner.expect(&[
        (499, In::Wake, &[]),
        (500, In::Wake, &[asks(2)]),
        (500, charged(2), &[Release(4), Release(2)]),
        (10_500, In::Wake, &[asks(2)]),
        (10_500, charged(2), &[Release(3), Release(1)]),
    ]);
    let arrivals = [2, 3, 1, 4].map(|request| owner.grants[&request].arrival.get());
    assert_eq!(arrivals, [5, 6, 7, 8]);
}

#[test]
fn a_try_that_comes_before_waiters_have_settled_is_refused_at_once() {
    let mut owner = Owner::of(Throttle::taken_over(Limiter::default(), settling(500)));
    owner.expect(&[
        (100, acquire(tries(1)), &[Refuse(1, not_now(400))]),
        (200, acquire(at_most_until(2, 300)), &[Refuse(2, not_now(300))]),
    ]);
}

#[test]
fn a_deadline_ends_while_waiters_settle_too() {
    let mut owner = Owner::of(Throttle::taken_over(Limiter::default(), settling(500)));
    owner.expect(&[(100, acquire(until(1, 300)), &[]), (300, In::Wake, &[Refuse(1, Refusal::Deadline { waited: ms(200) })])]);
}

#[test]
fn an_owner_that_takes_over_in_mid_window_starts_nothing_a_second_time() {
    let mirror = full().throttle.limiter().clone();
    let mut owner = Owner::of(Throttle::taken_over(mirror, settling(5_000)));
    owner.expect(&[
        (5_000, In::Wake, &[]),
        (5_001, acquire(tries(1)), &[Refuse(1, not_now(4_999))]),
        (5_002, acquire(wait(2)), &[]),
        (10_000, In::Wake, &[asks(1)]),
    ]);
}

#[test]
fn a_hand_over_sends_all_waiters_on_in_their_order() {
    let mut owner = full();
    owner.expect(&[
        (1, acquire(wait(1)), &[]),
        (2, acquire(wait(2)), &[]),
        (3, acquire(nice(3, 0)), &[]),
        (4, In::HandOver, &[Refuse(3, Refusal::Moved), Refuse(1, Refusal::Moved), Refuse(2, Refusal::Moved)]),
    ]);
    assert!(owner.throttle.queue().is_empty());
}

#[test]
fn who_comes_back_to_an_owner_that_others_wait_at_takes_the_place_of_its_age() {
    let mut owner = full();
    owner.expect(&[(1_000, acquire(wait(1)), &[])]);
    owner.throttle.settle(settling(1_100));
    let older = Acquire { waited: ms(900), ..wait(2) };
    owner.expect(&[(1_001, In::Acquire(older), &[])]);
    owner.step(2_500, In::Wake);
    let order: Vec<u128> = owner.throttle.queue().iter().map(|waiter| waiter.request.get()).collect();
    assert_eq!(order, [2, 1]);
}

#[test]
fn an_owner_that_stays_asks_again_by_the_new_ring_and_returns_what_it_was_to_return() {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, acquire(wait(1)), &[asks(1)]),
        (1, In::Moved, &[asks(1)]),
        (2, charged(1), &[Release(1)]),
        (3, In::Unused(1), &[Returns(1)]),
        (4, acquire(wait(2)), &[]),
        (5, In::Moved, &[Returns(1), asks(1)]),
    ]);
}

#[test]
fn not_before_is_obeyed_whatever_the_mirror_says() {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, acquire(wait(1)), &[asks(1)]),
        (1, In::NotBefore(3_000), &[]),
        (2, acquire(nice(2, 0)), &[]),
        (2_999, In::Wake, &[]),
    ]);
    assert_eq!(owner.throttle.next_wake(now(2_999)), Some(local(3_000)));
    owner.expect(&[(3_000, In::Wake, &[asks(2)])]);
}

#[test]
fn one_proposal_is_in_flight_and_whoever_comes_meanwhile_is_asked_for_together() {
    let mut owner = Owner::new();
    let ten = |acquire| limited(acquire, &[(10, 10)]);
    owner.expect(&[(0, acquire(ten(wait(1))), &[asks(1)])]);
    for request in 2..=8 {
        owner.expect(&[(1, acquire(ten(wait(request))), &[])]);
    }
    assert_eq!(owner.throttle.next_wake(now(1)), None);
    owner.expect(&[(2, charged(1), &[Release(1), asks(7)])]);
}

#[test]
fn one_ask_is_for_at_most_1024_waiters() {
    let mut owner = Owner::of(Throttle::taken_over(Limiter::default(), settling(5)));
    owner.bounds.max_waiters = 2_000;
    for request in 1..=2_000 {
        owner.expect(&[(1, acquire(limited(wait(request), &[(5_000, 10)])), &[])]);
    }
    owner.expect(&[(5, In::Wake, &[asks(1_024)])]);
}

#[test]
fn a_slot_given_back_wakes_those_who_wait() {
    let mut owner = full();
    owner.expect(&[(1, acquire(wait(1)), &[]), (2, In::Unused(92), &[Returns(1), asks(1)]), (3, charged(1), &[Release(1)])]);
}

#[test]
fn a_connection_whose_grant_was_given_back_wakes_when_it_can_forget_the_request() {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, acquire(wait(1)), &[asks(1)]),
        (0, charged(1), &[Release(1)]),
        (1, In::Unused(1), &[Returns(1)]),
        (2, In::Done, &[]),
    ]);
    let idle = owner.throttle.next_wake(now(2)).map_or(now(2), |at| Now { local: at, ledger: ledger(at.as_nanos() / 1_000_000) });
    assert!(owner.throttle.is_idle(idle));
}

#[test]
fn it_is_idle_when_nobody_waits_nothing_is_in_flight_and_the_window_is_empty() {
    let mut owner = Owner::new();
    assert!(owner.throttle.is_idle(now(0)));
    owner.expect(&[(0, acquire(wait(1)), &[asks(1)])]);
    assert!(!owner.throttle.is_idle(now(0)));
    owner.expect(&[(0, charged(1), &[Release(1)])]);
    assert!(!owner.throttle.is_idle(now(9_999)));
    assert_eq!(owner.throttle.next_wake(now(9_999)), Some(local(10_000)));
    assert!(owner.throttle.is_idle(now(10_000)));
    assert_eq!(owner.throttle.next_wake(now(10_000)), None);
}

#[test]
fn it_is_not_idle_while_waiters_may_still_come_back() {
    let mut owner = Owner::of(Throttle::taken_over(Limiter::default(), settling(500)));
    assert!(!owner.throttle.is_idle(now(499)));
    owner.expect(&[(500, In::Wake, &[])]);
    assert!(owner.throttle.is_idle(now(500)));
}

#[test]
fn a_pause_holds_everyone_back_and_waiters_keep_their_order() {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, In::Pause(2_000), &[]),
        (1, acquire(wait(1)), &[]),
        (2, acquire(nice(2, 0)), &[]),
        (3, acquire(tries(3)), &[Refuse(3, not_now(11_997))]),
        (1_999, In::Wake, &[]),
        (2_000, In::Wake, &[asks(2)]),
        (2_000, charged(2), &[Release(2), Release(1)]),
    ]);
}

#[test]
fn a_slot_given_back_is_asked_for_although_the_ledger_said_not_before() {
    let mut owner = full();
    owner.expect(&[
        (9_999, acquire(wait(1)), &[]),
        // The mirror's idea of the time was early.
        (10_000, In::Wake, &[asks(1)]),
        (10_000, In::NotBefore(10_800), &[]),
        (10_001, In::Unused(92), &[Returns(1), asks(1)]),
    ]);
}
