//! Limits that differ, change, or hold too little.

use super::*;

#[test]
fn a_cost_above_the_count_is_refused_at_once() {
    let mut owner = Owner::new();
    let refusal = Refusal::CostOverLimit { cost: Cost::of(3), limit: bare(2, 10) };
    owner.expect(&[(0, acquire(costly(1, 3)), &[Refuse(1, refusal)])]);
    assert!(owner.throttle.queue().is_empty());
}

#[test]
fn a_limit_that_tightens_while_requests_wait_takes_effect_at_once_and_keeps_the_history() {
    let mut owner = Owner::new();
    let five = |acquire| limited(acquire, &[(5, 10)]);
    owner.expect(&[
        (0, acquire(five(costly(1, 3))), &[Asks(3, 3)]),
        (0, charged(3), &[Release(1)]),
        (1, acquire(five(costly(2, 4))), &[]),
        (2, acquire(five(costly(3, 2))), &[]),
        // Two in ten seconds from now on: 2 never fits, and the three of 0 ms count against the new limit.
        (3, acquire(wait(4)), &[Refuse(2, Refusal::CostOverLimit { cost: Cost::of(4), limit: bare(2, 10) })]),
        (4, In::Wake, &[]),
        (10_000, In::Wake, &[Asks(2, 2)]),
        (10_000, charged(2), &[Release(3)]),
        (20_000, In::Wake, &[asks(1)]),
    ]);
}

#[test]
fn a_looser_limit_rules_when_the_stricter_was_not_stated_for_its_window() {
    let mut owner = full();
    owner.expect(&[
        (
            1,
            acquire(limited(costly(1, 3), &[(5, 10)])),
            &[Refuse(1, Refusal::CostOverLimit { cost: Cost::of(3), limit: bare(2, 10) })],
        ),
        (9_999, acquire(limited(wait(2), &[(5, 10)])), &[]),
        (10_000, acquire(limited(costly(3, 3), &[(5, 10)])), &[Asks(1, 4)]),
    ]);
}

#[test]
fn callers_of_different_limits_are_asked_for_together_under_all_of_them() {
    let mut owner = full();
    owner.expect(&[
        (1, acquire(limited(wait(1), &[(2, 10), (9, 20)])), &[]),
        (2, acquire(limited(wait(2), &[(2, 10), (7, 30)])), &[]),
        (10_000, In::Wake, &[asks(2)]),
    ]);
    assert_eq!(owner.asked.as_ref().unwrap().limits, limits(&[(2, 10), (9, 20), (7, 30)]));
}

#[test]
fn strict_limits_refuses_a_differing_one_and_names_what_rules() {
    let mut owner = full();
    owner.bounds.strict_limits = true;
    let differs = Refusal::LimitsDiffer { in_force: vec![bare(2, 10)] };
    owner.expect(&[
        (1, acquire(limited(wait(1), &[(3, 10)])), &[Refuse(1, differs.clone())]),
        (2, acquire(limited(wait(2), &[(2, 10), (9, 60)])), &[Refuse(2, differs)]),
        (3, acquire(wait(3)), &[]),
    ]);
}

#[test]
fn strict_limits_takes_another_limit_once_the_former_was_not_stated_for_its_window() {
    let mut owner = full();
    owner.bounds.strict_limits = true;
    owner.expect(&[(10_000, acquire(limited(wait(1), &[(3, 10)])), &[asks(1)])]);
}

#[test]
fn more_different_limits_than_a_connection_carries_are_refused_until_the_first_lapses() {
    let mut owner = Owner::new();
    for count in 1..=8_u32 {
        let request = u128::from(count);
        owner.step(u64::from(count), acquire(limited(wait(request), &[(count, 10)])));
    }
    let too_many = Refusal::TooManyLimits { retry_after: ms(10_001 - 100) };
    owner.expect(&[(100, acquire(limited(wait(9), &[(9, 10)])), &[Refuse(9, too_many)])]);
    assert_eq!(owner.throttle.limiter().limits().count(), crate::engine::rate::MAX_LIMITS);
}

#[test]
fn all_limits_of_a_connection_must_have_room() {
    let mut owner = Owner::new();
    let both = |acquire| limited(acquire, &[(2, 1), (3, 10)]);
    owner.expect(&[
        (0, acquire(both(costly(1, 2))), &[Asks(2, 2)]),
        (0, charged(2), &[Release(1)]),
        (1, acquire(both(wait(2))), &[]),
        (1, acquire(both(wait(3))), &[]),
        (1_000, In::Wake, &[asks(1)]),
        (1_000, charged(1), &[Release(2)]),
        (2_000, In::Wake, &[]),
        (10_000, In::Wake, &[asks(1)]),
    ]);
}

#[test]
fn tokens_are_counted_beside_the_requests() {
    let mut owner = Owner::new();
    let per_minute = bare(100, 60).counting(crate::engine::cost::Dimension::Tokens);
    let tokens = |request, tokens| {
        let limits = Limits::new([bare(5, 60), per_minute]).unwrap();
        Acquire { limits, cost: Cost::ONE.with_tokens(tokens), ..wait(request) }
    };
    owner.expect(&[
        (0, acquire(tokens(1, 90)), &[asks(1)]),
        (0, In::Charged(Cost::of(1).with_tokens(90)), &[Release(1)]),
        (1, acquire(tokens(2, 11)), &[]),
        (2, acquire(tokens(3, 10)), &[]),
        (60_000, In::Wake, &[asks(2)]),
    ]);
    assert_eq!(owner.asked.as_ref().unwrap().most, Cost::of(2).with_tokens(21));
}

#[test]
fn a_request_that_contradicts_its_own_limit_changes_nothing_for_the_others() {
    let mut owner = full();
    let refusal = Refusal::CostOverLimit { cost: Cost::of(2), limit: bare(1, 60) };
    owner.expect(&[
        (1, acquire(costly(1, 2)), &[]),
        (2, acquire(limited(costly(2, 2), &[(1, 60)])), &[Refuse(2, refusal)]),
        (10_000, In::Wake, &[Asks(2, 2)]),
        (10_000, charged(2), &[Release(1)]),
    ]);
}

#[test]
fn a_slot_charged_without_a_waiters_own_limit_is_not_released_to_it() {
    let mut owner = Owner::new();
    let five = |acquire| limited(acquire, &[(5, 10)]);
    owner.expect(&[
        (0, acquire(five(wait(1))), &[asks(1)]),
        (1, acquire(limited(nice(2, 0), &[(1, 10)])), &[]),
        // The ledger has not heard of the limit of 2, which is first now.
        (2, charged(1), &[Returns(1), asks(1)]),
    ]);
    assert!(owner.asked.as_ref().unwrap().limits.iter().any(|limit| *limit == bare(1, 10)));
    owner.expect(&[(3, charged(1), &[Release(2)]), (10_003, In::Wake, &[asks(1)]), (10_003, charged(1), &[Release(1)])]);
}

#[test]
fn strict_limits_refuses_a_differing_one_before_anything_was_charged_too() {
    let mut owner = Owner::new();
    owner.bounds.strict_limits = true;
    let differs = Refusal::LimitsDiffer { in_force: vec![bare(2, 10)] };
    owner.expect(&[(0, acquire(wait(1)), &[asks(1)]), (1, acquire(limited(wait(2), &[(3, 10)])), &[Refuse(2, differs)])]);
}

#[test]
fn a_limit_that_tightens_refuses_those_who_never_fit_wherever_they_wait() {
    let mut owner = full();
    let five = |acquire| limited(acquire, &[(5, 60)]);
    let refusal = || Refusal::CostOverLimit { cost: Cost::of(2), limit: bare(1, 10) };
    owner.throttle = Throttle::new(Limiter::default());
    owner.expect(&[
        (0, In::Pause(1_000), &[]),
        (1, acquire(five(costly(1, 1))), &[]),
        (2, acquire(five(costly(2, 2))), &[]),
        (3, acquire(five(costly(3, 1))), &[]),
        (4, acquire(five(costly(4, 2))), &[]),
        (5, acquire(limited(wait(5), &[(1, 10)])), &[Refuse(2, refusal()), Refuse(4, refusal())]),
        (1_000, In::Wake, &[asks(1)]),
    ]);
}
