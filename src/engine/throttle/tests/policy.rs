//! Limits that an operator has set, and pauses.

use super::*;

fn rule(stated: &[(u32, u64)]) -> In {
    In::Rule(Some(limits(stated)))
}

#[test]
fn a_policy_rules_over_what_callers_say_whether_it_is_stricter_or_looser() {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, rule(&[(3, 10)]), &[]),
        // Its own limit is 2, and then 9.
        (1, acquire(costly(1, 3)), &[Asks(3, 3)]),
        (1, charged(3), &[Release(1)]),
        (2, acquire(limited(wait(2), &[(9, 10)])), &[]),
        (10_001, In::Wake, &[asks(1)]),
        (10_001, charged(1), &[Release(2)]),
    ]);
    assert!(owner.throttle.limiter().limits().eq(limits(&[(3, 10)]).iter().copied()));
    let refusal = Refusal::CostOverLimit { cost: Cost::of(4), limit: bare(3, 10) };
    owner.expect(&[(10_002, acquire(limited(costly(3, 4), &[(9, 10)])), &[Refuse(3, refusal)])]);
}

#[test]
fn a_policy_that_comes_while_requests_wait_takes_effect_at_once_and_keeps_places_and_history() {
    let mut owner = full();
    let refusal = Refusal::CostOverLimit { cost: Cost::of(2), limit: bare(1, 20) };
    owner.expect(&[
        (1, acquire(costly(1, 2)), &[]),
        (2, acquire(wait(2)), &[]),
        (3, acquire(nice(3, 0)), &[]),
        (4, rule(&[(1, 20)]), &[Refuse(1, refusal)]),
        // The two of 0 ms count against it, and for its own window.
        (10_000, In::Wake, &[]),
        (20_000, In::Wake, &[asks(1)]),
        (20_000, charged(1), &[Release(3)]),
        // Five at once: the next has not to wait any more.
        (20_001, rule(&[(5, 20)]), &[asks(1)]),
        (20_001, charged(1), &[Release(2)]),
    ]);
}

#[test]
fn a_policy_that_is_deleted_goes_on_for_a_window_beside_what_callers_say() {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, rule(&[(1, 10)]), &[]),
        (0, acquire(wait(1)), &[asks(1)]),
        (0, charged(1), &[Release(1)]),
        (1, In::Rule(None), &[]),
        (2, acquire(wait(2)), &[]),
        (9_999, In::Wake, &[]),
        (10_000, In::Wake, &[asks(1)]),
    ]);
}

#[test]
fn strict_limits_refuses_nobody_where_a_policy_rules() {
    let mut owner = full();
    owner.bounds.strict_limits = true;
    owner.expect(&[(1, rule(&[(3, 10)]), &[]), (2, acquire(limited(wait(1), &[(9, 10)])), &[asks(1)])]);
}

#[test]
fn a_retry_is_the_same_request_after_a_policy_has_come() {
    let mut owner = full();
    owner.expect(&[
        (1, acquire(wait(1)), &[]),
        (2, rule(&[(1, 20)]), &[]),
        (3, acquire(Acquire { reply: 11, ..wait(1) }), &[Refuse(1, Refusal::Superseded)]),
        (4, acquire(wait(91)), &[Refuse(91, Refusal::AlreadyGranted)]),
    ]);
}

#[test]
fn what_is_paused_until_it_is_resumed_wakes_for_nothing_and_goes_on_in_order_when_it_is() {
    let mut owner = Owner::new();
    let not_now = Refusal::NotNow { retry_after: Duration::from_secs(7 * 24 * 3600) };
    owner.expect(&[
        (0, In::Forever, &[]),
        (1, acquire(wait(1)), &[]),
        (2, acquire(nice(2, 0)), &[]),
        (3, acquire(tries(3)), &[Refuse(3, not_now)]),
        (1_000_000, In::Wake, &[]),
    ]);
    let explained = owner.throttle.explain(now(1_000_000), RequestId::new(1)).expect("it waits");
    assert_eq!((explained.position, explained.estimated_wait), (2, None));
    owner.expect(&[(1_000_001, In::Resume, &[asks(2)]), (1_000_001, charged(2), &[Release(2), Release(1)])]);
}
