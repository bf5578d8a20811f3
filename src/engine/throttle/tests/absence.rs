//! Waiters that are silent when there is a slot for them.

use super::*;

fn waiting(request: u128) -> In {
    acquire(margins(wait(request)))
}

/// The limit of 2 in 10 s was used up at 0 ms; 1 to 4 wait, of whom 1 and 3 are silent.
fn half_silent() -> Owner {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, acquire(margins(costly(90, 2))), &[Asks(2, 2)]),
        (0, charged(2), &[Release(90)]),
        (1, waiting(1), &[]),
        (2, waiting(2), &[]),
        (3, waiting(3), &[]),
        (4, waiting(4), &[]),
        (5, In::Silent(&[1, 3]), &[]),
    ]);
    owner
}

/// When the slots of 0 ms have left the window, with its margins.
const ROOM_AT: u64 = 10_155;

#[test]
fn slots_go_to_those_who_are_heard_and_who_was_silent_is_next_when_heard_again() {
    let mut owner = half_silent();
    owner.expect(&[
        (ROOM_AT, In::Wake, &[asks(2)]),
        (ROOM_AT, charged(2), &[Release(2), Release(4)]),
        (ROOM_AT + 1, waiting(5), &[]),
        (ROOM_AT + 2, In::HeardBut(&[]), &[]),
        (2 * ROOM_AT, In::Wake, &[asks(2)]),
        (2 * ROOM_AT, charged(2), &[Release(1), Release(3)]),
        (3 * ROOM_AT, In::Wake, &[asks(1)]),
        (3 * ROOM_AT, charged(1), &[Release(5)]),
    ]);
    let [one, two, three, four, five] = [1, 2, 3, 4, 5].map(|request| owner.grants[&request]);
    assert!(one.waits_since.get() > two.release.get().max(four.release.get()), "by its number it missed what it did miss");
    assert!((one.arrival, three.arrival) < (three.arrival, five.arrival), "the old order");
}

#[test]
fn who_is_silent_while_there_is_no_slot_misses_nothing() {
    let mut owner = half_silent();
    owner.expect(&[
        (9_000, In::HeardBut(&[]), &[]),
        (ROOM_AT, In::Wake, &[asks(2)]),
        (ROOM_AT, charged(2), &[Release(1), Release(2)]),
    ]);
    // After the arrival and the release of 90.
    assert_eq!((owner.grants[&1].arrival.get(), owner.grants[&1].waits_since.get()), (3, 3));
}

#[test]
fn when_all_are_silent_nothing_is_asked_and_nothing_wakes_before_somebody_is_heard() {
    let mut owner = half_silent();
    owner.expect(&[(6, In::Silent(&[1, 2, 3, 4]), &[]), (ROOM_AT, In::Wake, &[])]);
    assert_eq!((owner.throttle.queue().len(), owner.throttle.next_wake(now(ROOM_AT))), (4, None));
    assert!(!owner.throttle.is_idle(now(ROOM_AT)));
    owner.expect(&[(ROOM_AT + 7, In::HeardBut(&[1, 2, 3]), &[asks(1)]), (ROOM_AT + 7, charged(1), &[Release(4)])]);
}

#[test]
fn a_slot_whose_waiters_have_fallen_silent_goes_to_others_and_else_back() {
    let mut owner = half_silent();
    owner.expect(&[
        (6, In::HeardBut(&[]), &[]),
        (ROOM_AT, In::Wake, &[asks(2)]),
        (ROOM_AT, In::Silent(&[1, 2, 4]), &[]),
        (ROOM_AT + 1, charged(2), &[Release(3), Returns(1)]),
        (ROOM_AT + 2, In::Done, &[]),
        (ROOM_AT + 3, waiting(5), &[asks(1)]),
        (ROOM_AT + 4, charged(1), &[Release(5)]),
    ]);
}

#[test]
fn a_newcomer_does_not_wait_for_those_who_are_silent() {
    let mut owner = half_silent();
    owner.expect(&[
        (6, In::Silent(&[1, 2, 3, 4]), &[]),
        (ROOM_AT, In::Wake, &[]),
        (ROOM_AT + 1, acquire(margins(tries(5))), &[asks(1)]),
        (ROOM_AT + 1, charged(1), &[Release(5)]),
        (ROOM_AT + 1, acquire(margins(at_most_until(6, ROOM_AT + 2))), &[asks(1)]),
    ]);
}

#[test]
fn a_try_that_falls_silent_is_refused_all_the_same() {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, acquire(margins(tries(1))), &[asks(1)]),
        (1, In::Silent(&[1]), &[]),
        (2, charged(1), &[Refuse(1, not_now(0)), Returns(1)]),
    ]);
}

#[test]
fn a_deadline_and_a_cancel_reach_those_who_are_silent() {
    let mut owner = half_silent();
    owner.expect(&[
        (6, acquire(margins(until(5, ROOM_AT + 100))), &[]),
        (7, In::Silent(&[1, 2, 3, 4, 5]), &[]),
        (ROOM_AT, In::Wake, &[]),
        (ROOM_AT + 1, In::Cancel(1), &[]),
    ]);
    assert_eq!(owner.throttle.next_wake(now(ROOM_AT + 1)), Some(local(ROOM_AT + 100)));
    let waited = ms(ROOM_AT + 94);
    owner.expect(&[
        (ROOM_AT + 100, In::Wake, &[Refuse(5, Refusal::Deadline { waited })]),
        (ROOM_AT + 101, In::HeardBut(&[]), &[asks(2)]),
        (ROOM_AT + 101, charged(2), &[Release(2), Release(3)]),
    ]);
}

#[test]
fn a_retry_by_somebody_who_is_heard_brings_its_request_back() {
    let mut owner = half_silent();
    let retry = Acquire { reply: 7, ..margins(wait(1)) };
    owner.expect(&[
        (6, In::Silent(&[1, 2, 3, 4]), &[]),
        (ROOM_AT, In::Wake, &[]),
        (ROOM_AT + 1, acquire(retry), &[Refuse(1, Refusal::Superseded), asks(1)]),
        (ROOM_AT + 2, charged(1), &[Release(7)]),
    ]);
}

#[test]
fn a_hand_over_sends_those_who_are_silent_on_as_well() {
    let mut owner = half_silent();
    owner.expect(&[(ROOM_AT, In::Wake, &[asks(2)])]);
    assert!(owner.throttle.queue().has_aside());
    owner.expect(&[(ROOM_AT + 1, In::HandOver, &[1, 2, 3, 4].map(|reply| Refuse(reply, Refusal::Moved)))]);
}

#[test]
fn how_long_somebody_may_be_silent_is_half_of_the_bound_that_the_charge_has() {
    let mut owner = half_silent();
    owner.slowest = ms(26);
    owner.expect(&[(ROOM_AT, In::Wake, &[asks(2)]), (ROOM_AT + 1, charged(2), &[Release(1), Release(2)])]);
    assert_eq!(owner.grants[&1].charge.delivery, ms(104));
}

#[test]
fn without_a_delivery_bound_nobody_is_set_aside() {
    let mut owner = full();
    owner.expect(&[
        (1, acquire(wait(1)), &[]),
        (2, In::Silent(&[1]), &[]),
        (10_000, In::Wake, &[asks(1)]),
        (10_000, charged(1), &[Release(1)]),
    ]);
}
