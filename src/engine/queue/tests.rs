//! Order, leaving, coming back.

use std::time::Duration;

use super::*;
use crate::engine::rate::RateLimit;

fn waiter(request: u128, niceness: u32, sequence: &mut Sequence) -> Waiter<u128> {
    let arrival = sequence.arrival();
    Waiter {
        request: RequestId::new(request),
        retryable: false,
        niceness: Niceness::new(niceness),
        cost: Cost::ONE,
        limits: Limits::new([RateLimit::new(10, Duration::from_secs(1)).unwrap()]).unwrap(),
        arrived_at: Timestamp::from_nanos(100),
        arrival,
        waits_since: arrival,
        patience: Patience::Endless,
        reply: request,
    }
}

fn queue_of(niceness: &[u32]) -> (Queue<u128>, Sequence) {
    let (mut queue, mut sequence) = (Queue::new(), Sequence::default());
    for (request, &niceness) in (1..).zip(niceness) {
        queue.insert(waiter(request, niceness, &mut sequence));
    }
    (queue, sequence)
}

fn order(queue: &Queue<u128>) -> Vec<u128> {
    queue.iter().map(|waiter| waiter.request.get()).collect()
}

#[test]
fn lower_niceness_is_first_and_equal_niceness_keeps_its_order() {
    let (queue, _) = queue_of(&[5, 0, u32::MAX, 5, 0]);
    assert_eq!(order(&queue), [2, 5, 1, 4, 3]);
}

#[test]
fn a_waiter_that_leaves_is_gone_from_order_load_and_expiry() {
    let (mut queue, mut sequence) = queue_of(&[1, 1, 1]);
    let expiring = Waiter { patience: Patience::Deadline(Timestamp::from_nanos(7)), ..waiter(9, 1, &mut sequence) };
    queue.insert(expiring);
    assert!(queue.remove(RequestId::new(2)).is_some());
    assert!(queue.remove(RequestId::new(9)).is_some());
    assert!(queue.remove(RequestId::new(9)).is_none());
    assert_eq!(order(&queue), [1, 3]);
    assert_eq!(queue.load_before(Niceness::new(1)), Cost::of(2));
    assert_eq!(queue.next_expiry(), None);
}

#[test]
fn a_request_that_comes_back_under_its_number_takes_its_old_place() {
    let (mut queue, _) = queue_of(&[3, 3, 3]);
    let second = queue.remove(RequestId::new(2)).unwrap();
    queue.insert(second);
    assert_eq!(order(&queue), [1, 2, 3]);
}

#[test]
fn a_reused_id_is_not_confused_with_the_dead_entry_it_left() {
    let (mut queue, mut sequence) = queue_of(&[3, 3, 3]);
    queue.remove(RequestId::new(2)).unwrap();
    queue.insert(waiter(2, 3, &mut sequence));
    assert_eq!(order(&queue), [1, 3, 2]);
    assert_eq!(queue.iter().count(), queue.len());
}

#[test]
fn leaving_from_the_middle_leaves_no_growing_trail() {
    let (mut queue, mut sequence) = queue_of(&[3]);
    for request in 10..10_000 {
        queue.insert(waiter(request, 3, &mut sequence));
        queue.remove(RequestId::new(request)).unwrap();
    }
    assert!(queue.lanes.values().all(|lane| lane.len() < 64));
}

#[test]
fn waiters_that_came_back_in_any_order_are_numbered_by_their_age() {
    let (mut queue, mut sequence) = (Queue::new(), Sequence::default());
    for (request, arrived_at) in [(1, 300), (2, 100), (3, 200)] {
        let arrived_at = Timestamp::from_nanos(arrived_at);
        queue.insert(Waiter { arrived_at, ..waiter(request, 0, &mut sequence) });
    }
    queue.renumber(&mut sequence);
    assert_eq!(order(&queue), [2, 3, 1]);
    let numbers: Vec<_> = queue.iter().map(|waiter| (waiter.arrival.get(), waiter.waits_since.get())).collect();
    assert_eq!(numbers, [(4, 4), (5, 5), (6, 6)]);
}

#[test]
fn a_retry_takes_the_place_but_waits_by_its_own_patience() {
    let (mut queue, mut sequence) = queue_of(&[3]);
    let first = Waiter { patience: Patience::Deadline(Timestamp::from_nanos(7)), ..waiter(9, 3, &mut sequence) };
    queue.insert(first);
    queue.insert(waiter(10, 3, &mut sequence));
    assert_eq!(queue.supersede(RequestId::new(9), Patience::Deadline(Timestamp::from_nanos(50)), 99), Some(9));
    assert_eq!(order(&queue), [1, 9, 10]);
    assert_eq!(queue.next_expiry(), Some(Timestamp::from_nanos(50)));
    assert_eq!(queue.get(RequestId::new(9)).map(|waiter| waiter.reply), Some(99));
    assert_eq!(queue.supersede(RequestId::new(77), Patience::Endless, 0), None);
}

#[test]
fn the_front_of_a_lane_is_alive_so_that_the_first_is_found_at_once() {
    let (mut queue, _) = queue_of(&[3, 3, 3, 3, 3]);
    for request in [3, 2, 4, 1] {
        queue.remove(RequestId::new(request)).unwrap();
        assert!(queue.lanes.values().all(|lane| lane.first().is_some()), "{request} left");
    }
}

/// Requests 1 to 6, of which the even ones are absent.
fn half_aside() -> (Queue<u128>, Sequence) {
    let (mut queue, sequence) = queue_of(&[3; 6]);
    for _ in 0..2 {
        queue.set_aside_while(|first| first.reply.is_multiple_of(2));
        queue.remove(queue.first().unwrap().request).unwrap();
    }
    queue.set_aside_while(|first| first.reply.is_multiple_of(2));
    (queue, sequence)
}

#[test]
fn who_is_set_aside_is_not_first_and_stands_before_nobody_but_waits_all_the_same() {
    let (mut queue, _) = half_aside();
    assert_eq!(order(&queue), [5, 6]);
    assert_eq!(queue.aside().map(|waiter| waiter.reply).collect::<Vec<_>>(), [2, 4]);
    assert_eq!((queue.len(), queue.load_before(Niceness::new(3))), (4, Cost::of(2)));
    assert!(queue.get(RequestId::new(2)).is_some());
    queue.set_aside_while(|_| true);
    assert!(queue.first().is_none() && !queue.is_empty());
}

#[test]
fn who_is_recalled_takes_the_old_place_and_waits_since_then() {
    let (mut queue, mut sequence) = half_aside();
    let last = sequence.last();
    queue.recall(&mut sequence, |waiter| waiter.reply == 4);
    assert_eq!(order(&queue), [4, 5, 6]);
    let were_away = |queue: &Queue<u128>| {
        queue.iter().filter(|waiter| waiter.waits_since.get() > last).map(|waiter| waiter.reply).collect::<Vec<_>>()
    };
    assert_eq!(were_away(&queue), [4]);
    queue.recall(&mut sequence, |_| true);
    assert_eq!(order(&queue), [2, 4, 5, 6]);
    assert_eq!(were_away(&queue), [2, 4]);
    assert!(!queue.has_aside());
    assert!(queue.iter().is_sorted_by_key(|waiter| waiter.arrival));
}

#[test]
fn recalling_nobody_changes_no_number() {
    let (mut queue, mut sequence) = half_aside();
    let last = sequence.last();
    queue.recall(&mut sequence, |_| false);
    assert_eq!((order(&queue), sequence.last()), (vec![5, 6], last));
}

#[test]
fn who_is_set_aside_leaves_by_cancel_by_deadline_and_with_all_others_in_their_order() {
    let (mut queue, mut sequence) = half_aside();
    assert!(queue.remove(RequestId::new(2)).is_some());
    assert!(queue.remove(RequestId::new(2)).is_none());
    let expiring = Waiter { patience: Patience::Deadline(Timestamp::from_nanos(7)), ..waiter(8, 0, &mut sequence) };
    queue.insert(expiring);
    queue.set_aside_while(|first| first.reply == 8);
    assert_eq!(queue.pop_expired(Timestamp::from_nanos(7)).map(|waiter| waiter.reply), Some(8));
    let all: Vec<u128> = queue.drain_where(|_| true).iter().map(|waiter| waiter.reply).collect();
    assert_eq!(all, [4, 5, 6]);
    assert!(queue.is_empty() && !queue.has_aside());
}

#[test]
fn dead_places_and_places_taken_again_leave_nobody_behind() {
    let (mut queue, mut sequence) = queue_of(&[3; 9]);
    queue.set_aside_while(|first| first.reply < 3);
    queue.remove(RequestId::new(5)).unwrap();
    queue.recall(&mut sequence, |_| true);
    for request in [1, 2, 3, 4, 6, 7, 8, 9] {
        assert!(queue.remove(RequestId::new(request)).is_some());
    }
    assert!(queue.lanes.values().all(|lane| lane.living() == 0));
}
