//! The sentences of the contract that one window can show.

use super::*;
use crate::engine::time::Local;

type Window = SlidingWindow<Local>;

fn at(millis: u64) -> Moment<Local> {
    Moment::from_nanos(millis * 1_000_000)
}

fn window(count: u32, seconds: u64) -> Window {
    Window::new(count, Duration::from_secs(seconds))
}

fn charge(window: &mut Window, millis: u64, amount: u32) {
    window.charge(at(millis), at(millis), amount);
}

fn refund(window: &mut Window, millis: u64, amount: u32) -> u32 {
    window.refund(at(millis), at(millis), amount)
}

#[test]
fn the_last_free_unit_goes_at_once() {
    let mut window = window(90, 60);
    charge(&mut window, 1000, 89);
    assert_eq!(window.check(at(2000), 1), Room::Ready);
}

#[test]
fn a_full_window_waits_until_the_oldest_is_one_window_old() {
    let mut window = window(90, 60);
    charge(&mut window, 1000, 1);
    charge(&mut window, 5000, 89);
    assert_eq!(window.check(at(6000), 1), Room::NotBefore(at(61_000)));
}

#[test]
fn exactly_those_older_than_the_window_leave() {
    let mut window = window(5, 60);
    for millis in [1000, 2000, 3000, 50_000, 55_000] {
        charge(&mut window, millis, 1);
    }
    assert_eq!(window.room(at(63_500)), 3);
    assert_eq!(window.held(), 2);
}

#[test]
fn a_stamp_exactly_one_window_old_has_left() {
    let mut window = window(1, 60);
    charge(&mut window, 1000, 1);
    assert_eq!(window.check(Moment::from_nanos(at(61_000).as_nanos() - 1), 1), Room::NotBefore(at(61_000)));
    assert_eq!(window.check(at(61_000), 1), Room::Ready);
}

#[test]
fn two_grants_in_the_same_instant_are_two_units() {
    let mut window = window(2, 60);
    charge(&mut window, 1000, 1);
    charge(&mut window, 1000, 1);
    assert_eq!((window.held(), window.room(at(1000))), (2, 0));
}

#[test]
fn nine_in_sixty_seconds_with_eleven_unsorted_stamps_go_next_at_seventy_five() {
    let mut window = window(9, 60);
    for seconds in [30, 5, 55, 10, 50, 15, 45, 20, 40, 25, 35] {
        window.charge(at(0), at(seconds * 1000), 1);
    }
    assert_eq!(window.check(at(60_000), 1), Room::NotBefore(at(75_000)));
}

#[test]
fn of_a_hundred_calls_100_ms_apart_90_go_at_once_and_10_wait() {
    let mut window = window(90, 60);
    let mut waited = 0;
    for call in 0..100 {
        let now = at(call * 100);
        match window.check(now, 1) {
            Room::Ready => window.charge(now, now, 1),
            Room::NotBefore(free_at) => {
                waited += 1;
                assert_eq!(free_at, at(60_000), "call {call} waits for the first one to leave");
            }
            Room::Never => unreachable!("one is within ninety"),
        }
    }
    assert_eq!(waited, 10);
}

#[test]
fn an_hour_and_a_day_are_counted_to_the_nanosecond() {
    for (count, seconds) in [(5000, 3600), (15_000, 86_400)] {
        let mut window = window(count, seconds);
        charge(&mut window, 0, count);
        let end = seconds * 1_000_000_000;
        assert_eq!(window.check(Moment::from_nanos(end - 1), 1), Room::NotBefore(Moment::from_nanos(end)));
        assert_eq!(window.check(Moment::from_nanos(end), u64::from(count)), Room::Ready);
    }
}

#[test]
fn a_refund_gives_back_only_what_was_charged_at_that_moment_and_only_once() {
    let mut window = window(10, 60);
    charge(&mut window, 1000, 4);
    charge(&mut window, 2000, 3);
    assert_eq!(refund(&mut window, 1500, 1), 0);
    assert_eq!(refund(&mut window, 1000, 3), 3);
    assert_eq!(refund(&mut window, 1000, 3), 1);
    assert_eq!(refund(&mut window, 1000, 3), 0);
    assert_eq!(window.held(), 3);
}

#[test]
fn what_was_taken_without_a_name_takes_nobody_elses() {
    let mut window = window(10, 60);
    // It is on its way until then.
    window.charge(at(1000), at(1003), 2);
    window.charge_unnamed(at(1003), at(1003), 0);
    assert_eq!(window.refund(at(1000), at(1003), 1), 1, "nothing was taken");
    window.charge_unnamed(at(1003), at(1003), 4);
    assert_eq!((refund(&mut window, 1003, 4), window.held()), (0, 5), "a debt does not come back");
}

#[test]
fn more_than_the_whole_limit_is_never_ready() {
    assert_eq!(window(3, 1).check(at(0), 4), Room::Never);
    assert_eq!(window(3, 1).earliest(at(0), 0, 4), None);
}

#[test]
fn a_queue_in_front_costs_one_window_for_each_full_count() {
    let mut window = window(3, 10);
    charge(&mut window, 1000, 2);
    let now = at(2000);
    for (ahead, expected) in [(0, 2000), (1, 11_000), (2, 11_000), (3, 12_000), (6, 22_000)] {
        assert_eq!(window.earliest(now, ahead, 1), Some(at(expected)), "{ahead} ahead");
    }
}

#[test]
fn a_shorter_or_smaller_window_keeps_the_history() {
    let mut window = window(10, 60);
    charge(&mut window, 1000, 5);
    let smaller = window.resized(5, Duration::from_secs(30));
    assert_eq!(smaller.check(at(2000), 1), Room::NotBefore(at(31_000)));
}

#[test]
fn a_large_count_stays_within_its_bound_of_runs_and_never_frees_early() {
    let mut window = window(1_000_000, 60);
    let mut exact = VecDeque::new();
    for call in 0..50_000_u64 {
        let now = at(call * 3);
        window.charge(now, now, 1);
        exact.push_back(now);
        while exact.front().is_some_and(|&from| from + Duration::from_secs(60) <= now) {
            exact.pop_front();
        }
        assert!(window.runs.len() <= MAX_RUNS);
        assert!(window.held() >= u64::try_from(exact.len()).unwrap(), "call {call}");
    }
    let extra = window.held() - u64::try_from(exact.len()).unwrap();
    assert!(extra <= 20_000 / 256, "{extra} units are held longer than they must");
}
