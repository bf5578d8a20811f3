//! Request ids: a retry is the same request, and one request gets one grant.

use super::*;

/// The retry of a request, with a reply of its own.
fn again(request: u128, reply: u32) -> Acquire<u32> {
    Acquire { reply, ..wait(request) }
}

#[test]
fn a_retry_while_waiting_supersedes_the_one_before_and_keeps_its_place() {
    let mut owner = full();
    owner.expect(&[
        (1, acquire(wait(1)), &[]),
        (2, acquire(wait(2)), &[]),
        (3, acquire(again(1, 11)), &[Refuse(1, Refusal::Superseded)]),
        (10_000, In::Wake, &[asks(2)]),
        (10_000, charged(2), &[Release(11), Release(2)]),
    ]);
}

#[test]
fn who_comes_back_while_its_former_way_is_not_known_to_be_gone_waits_once_and_at_its_old_place() {
    let mut owner = full();
    let once = |request, reply, waited| Acquire { retryable: false, reply, waited: ms(waited), ..wait(request) };
    owner.expect(&[
        (1, acquire(once(1, 1, 0)), &[]),
        (2, acquire(once(2, 2, 0)), &[]),
        (3_000, acquire(once(1, 11, 2_999)), &[Refuse(1, Refusal::Superseded)]),
        (10_000, In::Wake, &[asks(2)]),
        (10_000, charged(2), &[Release(11), Release(2)]),
    ]);
    assert!(owner.throttle.queue().is_empty());
}

#[test]
fn a_retry_after_the_grant_is_told_so_until_its_slot_has_left_the_window() {
    let mut owner = full();
    owner.expect(&[
        (9_999, acquire(again(91, 11)), &[Refuse(11, Refusal::AlreadyGranted)]),
        (10_000, acquire(again(91, 12)), &[asks(1)]),
        (10_000, charged(1), &[Release(12)]),
    ]);
}

#[test]
fn a_request_that_may_not_be_sent_again_is_not_remembered() {
    let mut owner = Owner::new();
    let once = Acquire { retryable: false, ..wait(1) };
    owner.expect(&[(0, acquire(once.clone()), &[asks(1)]), (0, charged(1), &[Release(1)]), (1, acquire(once), &[asks(1)])]);
}

#[test]
fn an_id_that_is_used_with_other_arguments_is_refused_waiting_or_granted() {
    let mut owner = full();
    owner.expect(&[(1, acquire(wait(1)), &[])]);
    for id in [1, 91] {
        let others = [
            Acquire { niceness: Niceness::new(6), ..again(id, 77) },
            Acquire { cost: Cost::of(2), ..again(id, 77) },
            limited(again(id, 77), &[(3, 10)]),
        ];
        for other in others {
            owner.expect(&[(2, acquire(other), &[Refuse(77, Refusal::RequestIdReused)])]);
        }
    }
    assert_eq!(owner.throttle.queue().len(), 1);
}

#[test]
fn a_grant_that_was_given_back_unused_may_be_asked_for_again() {
    let mut owner = full();
    owner.expect(&[
        (1, In::Unused(91), &[Returns(1)]),
        (2, In::Done, &[]),
        (3, acquire(again(91, 11)), &[asks(1)]),
        (4, charged(1), &[Release(11)]),
        (5, acquire(again(91, 12)), &[Refuse(12, Refusal::AlreadyGranted)]),
    ]);
}

#[test]
fn a_queue_at_its_bound_refuses_with_the_bound_but_takes_a_retry() {
    let mut owner = full();
    owner.bounds.max_waiters = 2;
    owner.expect(&[
        (1, acquire(wait(1)), &[]),
        (1, acquire(wait(2)), &[]),
        (1, acquire(nice(3, 0)), &[Refuse(3, Refusal::QueueFull { max_waiters: 2 })]),
        (1, acquire(again(2, 12)), &[Refuse(2, Refusal::Superseded)]),
        (2, In::Cancel(1), &[]),
        (3, acquire(nice(3, 0)), &[]),
    ]);
}

#[test]
fn no_more_granted_requests_are_remembered_than_the_bound() {
    let mut owner = Owner::new();
    let many = u64::try_from(MAX_REMEMBERED).unwrap() + 1;
    let count = u32::try_from(many).unwrap();
    for request in 1..=u128::from(many) {
        let acquire = Acquire { limits: limits(&[(count * 2, 10)]), ..wait(request) };
        owner.step(0, In::Acquire(acquire));
        owner.step(0, charged(1));
    }
    let again = |request, reply| limited(again(request, reply), &[(count * 2, 10)]);
    owner.expect(&[(1, acquire(again(2, 7)), &[Refuse(7, Refusal::AlreadyGranted)]), (1, acquire(again(1, 8)), &[asks(1)])]);
}

#[test]
fn a_granted_request_is_remembered_for_a_window_although_no_limit_counts_its_cost() {
    let mut owner = Owner::new();
    let per_minute = Limits::new([bare(100, 60).counting(crate::engine::cost::Dimension::Tokens)]).unwrap();
    let free = |reply| Acquire { limits: per_minute.clone(), ..again(1, reply) };
    owner.expect(&[
        (0, acquire(free(1)), &[asks(1)]),
        (0, charged(1), &[Release(1)]),
        (59_999, acquire(free(2)), &[Refuse(2, Refusal::AlreadyGranted)]),
    ]);
    assert!(!owner.throttle.is_idle(now(59_999)), "it would forget");
    owner.expect(&[(60_000, acquire(free(3)), &[asks(1)])]);
}
