//! Who is served first.

use super::*;

#[test]
fn equal_niceness_leaves_in_arrival_order() {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, acquire(wait(1)), &[asks(1)]),
        (1, acquire(wait(2)), &[]),
        (2, acquire(wait(3)), &[]),
        (3, charged(1), &[Release(1), asks(1)]),
        (4, charged(1), &[Release(2)]),
        (10_002, In::Wake, &[]),
        (10_003, In::Wake, &[asks(1)]),
        (10_003, charged(1), &[Release(3)]),
    ]);
}

#[test]
fn lower_niceness_overtakes_and_also_the_one_that_arrives_while_a_proposal_is_in_flight() {
    let mut owner = full();
    owner.expect(&[
        (10, acquire(nice(1, 7)), &[]),
        (20, acquire(nice(2, 3)), &[]),
        (10_000, In::Wake, &[asks(2)]),
        (10_001, acquire(nice(3, 0)), &[]),
        (10_002, charged(2), &[Release(3), Release(2)]),
        (20_002, In::Wake, &[asks(1)]),
        (20_002, charged(1), &[Release(1)]),
    ]);
}

#[test]
fn niceness_0_is_first_and_niceness_u32_max_is_last() {
    let mut owner = full();
    for (request, niceness) in [(1, u32::MAX), (2, 1), (3, u32::MAX - 1), (4, 0)] {
        owner.expect(&[(1, acquire(nice(request, niceness)), &[])]);
    }
    owner.expect(&[
        (10_000, In::Wake, &[asks(2)]),
        (10_000, charged(2), &[Release(4), Release(2)]),
        (20_000, In::Wake, &[asks(2)]),
        (20_000, charged(2), &[Release(3), Release(1)]),
    ]);
}

#[test]
fn strict_priority_starves_the_nicer_one_for_as_long_as_more_urgent_ones_come() {
    let mut owner = full();
    owner.expect(&[(1, acquire(nice(1, 9)), &[])]);
    for window in 1_u32..50 {
        let (request, millis) = (100 + u128::from(window) * 2, u64::from(window) * 10_000);
        let (first, second) = (nice(request, 0), nice(request + 1, 0));
        let (a, b) = (first.reply, second.reply);
        owner.expect(&[
            (millis - 1, acquire(first), &[]),
            (millis - 1, acquire(second), &[]),
            (millis, In::Wake, &[asks(2)]),
            (millis, charged(2), &[Release(a), Release(b)]),
        ]);
    }
    assert_eq!(owner.throttle.queue().len(), 1);
}

#[test]
fn a_low_priority_call_already_granted_is_not_interrupted() {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, acquire(nice(1, 9)), &[asks(1)]),
        (0, charged(1), &[Release(1)]),
        (1, acquire(nice(2, 0)), &[asks(1)]),
        (1, charged(1), &[Release(2)]),
        (2, acquire(nice(3, 0)), &[]),
    ]);
}

#[test]
fn a_large_cost_at_the_head_holds_back_small_ones() {
    let mut owner = Owner::new();
    let of_five = |acquire| limited(acquire, &[(5, 10)]);
    owner.expect(&[
        (0, acquire(of_five(costly(1, 3))), &[Asks(3, 3)]),
        (0, charged(3), &[Release(1)]),
        (1, acquire(of_five(costly(2, 3))), &[]),
        (2, acquire(of_five(costly(3, 1))), &[]),
        (3, acquire(of_five(nice(4, 6))), &[]),
        (10_000, In::Wake, &[Asks(3, 5)]),
        (10_000, charged(5), &[Release(2), Release(3), Release(4)]),
    ]);
}

#[test]
fn a_head_that_needs_more_than_was_charged_gets_none_of_it_and_the_slots_go_back() {
    let mut owner = Owner::new();
    let of_five = |acquire| limited(acquire, &[(5, 10)]);
    owner.expect(&[
        (0, acquire(of_five(costly(1, 4))), &[Asks(4, 4)]),
        (1, acquire(of_five(Acquire { niceness: Niceness::URGENT, ..costly(2, 5) })), &[]),
        (2, charged(4), &[Returns(4), Asks(5, 5)]),
        (3, charged(5), &[Release(2)]),
        (10_003, In::Wake, &[Asks(4, 4)]),
        (10_003, charged(4), &[Release(1)]),
    ]);
}

#[test]
fn arrivals_and_releases_are_numbered_by_one_counter() {
    let owner = full();
    let numbers = |request: u128| (owner.grants[&request].arrival.get(), owner.grants[&request].release.get());
    assert_eq!((numbers(91), numbers(92)), ((1, 3), (2, 4)));
}

#[test]
fn a_waiting_request_can_be_told_its_place_and_how_many_wait_at_each_niceness() {
    let mut owner = full();
    for (request, niceness) in [(1, 5), (2, 0), (3, 5), (4, 9)] {
        owner.expect(&[(1, acquire(nice(request, niceness)), &[])]);
    }
    let queue = owner.throttle.queue();
    let place = |request: u128| queue.iter().position(|waiter| waiter.request.get() == request);
    assert_eq!([place(2), place(1), place(3), place(4), place(5)], [Some(0), Some(1), Some(2), Some(3), None]);
    let depths: Vec<(u32, usize)> = queue.depths().map(|(niceness, depth)| (niceness.get(), depth)).collect();
    assert_eq!(depths, [(0, 1), (5, 2), (9, 1)]);
    assert_eq!(queue.load_before(Niceness::new(5)), Cost::of(3));
}

#[test]
fn order_is_the_owners_arrival_order_and_never_the_callers_idea_of_the_time() {
    let mut owner = full();
    // The callers' deadlines, the only times they send, are in the opposite order.
    owner.expect(&[
        (1, acquire(until(1, 90_000)), &[]),
        (1, acquire(until(2, 50_000)), &[]),
        (1, acquire(wait(3)), &[]),
        (10_000, In::Wake, &[asks(2)]),
        (10_000, charged(2), &[Release(1), Release(2)]),
    ]);
}
