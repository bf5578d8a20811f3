//! Grants and verdicts that come too late.

use super::*;

#[test]
fn a_stale_grant_puts_its_waiter_back_at_its_old_place_and_returns_the_slot() {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, acquire(margins(wait(1))), &[asks(1)]),
        (1, acquire(margins(wait(2))), &[]),
        (2, acquire(margins(wait(3))), &[]),
        (3, charged(1), &[Release(1), asks(1)]),
        (80, charged(1), &[Release(2)]),
        // Its grant is 130 ms old: 1 comes back in front of 3, and its slot is asked for anew.
        (130, In::Stale(1), &[Returns(1), asks(1)]),
        (131, charged(1), &[Release(1)]),
        (131, In::Wake, &[]),
    ]);
    assert_eq!(owner.throttle.queue().first().unwrap().request, RequestId::new(3));
    let [one, two] = [1, 2].map(|request| owner.grants[&request]);
    assert!(one.arrival < two.arrival && one.waits_since.get() > two.release.get(), "2 overtook nobody: {one:?} {two:?}");
}

#[test]
fn a_grant_is_stale_from_the_first_nanosecond_over_its_delivery_bound() {
    let mut owner = Owner::new();
    owner.expect(&[(7, acquire(margins(wait(1))), &[asks(1)]), (9, charged(1), &[Release(1)])]);
    let grant = owner.grants[&1];
    assert_eq!((grant.proposed_at, grant.released_at), (local(7), local(9)));
    assert!(!grant.is_stale(local(107)));
    assert!(grant.is_stale(local(107) + Duration::from_nanos(1)));
}

#[test]
fn a_grant_without_a_delivery_bound_is_never_stale() {
    assert!(!full().grants[&91].is_stale(local(1_000_000)));
}

#[test]
fn a_verdict_later_than_the_delivery_bound_releases_nothing_returns_everything_and_widens_the_next_bound() {
    let mut owner = Owner::new();
    let mut slowest = SlowestDelivery::default();
    owner.expect(&[(0, acquire(margins(wait(1))), &[asks(1)]), (1, acquire(margins(wait(2))), &[])]);
    for at in [101, 201, 301, 401] {
        slowest.observe(local(at), ms(101));
    }
    owner.slowest = slowest.get(local(401));
    owner.expect(&[(101, charged(1), &[Returns(1), asks(2)])]);
    assert_eq!(owner.asked.as_ref().unwrap().delivery, ms(404));
    owner.expect(&[(101 + 404, charged(2), &[Release(1), Release(2)])]);
}

#[test]
fn a_verdict_exactly_at_the_delivery_bound_still_releases() {
    let mut owner = Owner::new();
    owner.expect(&[(0, acquire(margins(wait(1))), &[asks(1)]), (100, charged(1), &[Release(1)])]);
}

#[test]
fn a_stale_try_is_told_not_now() {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, acquire(margins(tries(1))), &[asks(1)]),
        (1, charged(1), &[Release(1)]),
        (120, In::Stale(1), &[Refuse(1, not_now(0)), Returns(1)]),
    ]);
}

#[test]
fn a_stale_request_that_was_sent_again_meanwhile_waits_once() {
    let mut owner = Owner::new();
    let once = |reply| Acquire { retryable: false, reply, ..margins(wait(1)) };
    owner.expect(&[
        (0, acquire(once(1)), &[asks(1)]),
        (1, charged(1), &[Release(1)]),
        (2, In::Pause(60_000), &[]),
        (3, acquire(once(2)), &[]),
        (120, In::Stale(1), &[Refuse(2, Refusal::Superseded), Returns(1)]),
    ]);
    assert_eq!(owner.throttle.queue().len(), 1);
}

#[test]
fn a_verdict_that_nobody_waits_for_changes_nothing() {
    let mut owner = full();
    let before = owner.throttle.limiter().clone();
    owner.expect(&[(5, charged(2), &[]), (6, In::Moved, &[])]);
    assert_eq!(*owner.throttle.limiter(), before);
}
