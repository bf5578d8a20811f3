//! A wall clock that is set while all are busy. No decision reads it, so nothing happens.

use std::time::Duration;

use crate::judge::{COUNT, QUIET, WINDOW, cluster_under, collect, gaps, judge_windows, owned_by};
use crate::process::{Worker, now};
use crate::tools::{Tool, jump};

/// What the clock is set by, there and back.
const HOUR_SECONDS: u64 = 3600;

/// What the wall clock of a worker says, in seconds.
fn wall(worker: &mut Worker) -> u64 {
    worker.ask("wall", "wall").parse().unwrap()
}

/// Jumps the wall clock of one node of three under load, the leader's and owner's or another one's; both ways.
fn jump_one(is_leader: bool) {
    const CALLS: usize = 20;
    let home = tempfile::tempdir().unwrap();
    let clocks: Vec<_> = (0..3).map(|index| home.path().join(format!("clock-{index}"))).collect();
    let tools: Option<Vec<Tool>> = clocks.iter().map(|clock| Tool::set_clock(clock)).collect();
    let Some(tools) = tools else { return };
    let (mut workers, ids, _) = cluster_under(&tools, home.path());
    let status = workers[0].ask("status", "status");
    let leader = ids.iter().position(|id| status.ends_with(id.as_str())).unwrap();
    let jumps = if is_leader { leader } else { (leader + 1) % 3 };
    let name = owned_by(&mut workers, &ids[jumps], "jumped");
    let before = workers[0].ask("status", "status");
    for worker in &mut workers {
        worker.order(&format!("load {name} {COUNT} {} 0 {CALLS}", WINDOW.as_millis()));
    }
    let mut starts = workers[0].starts(3, QUIET);
    let began = now();
    for by in ["+3600", "-3600", "+0"] {
        let real = wall(&mut workers[(jumps + 1) % 3]);
        jump(&clocks[jumps], by);
        let jumped = wall(&mut workers[jumps]);
        let expected = real.checked_add_signed(by.parse().unwrap()).unwrap();
        assert!(jumped.abs_diff(expected) < HOUR_SECONDS / 60, "the clock was not set by {by}: {jumped} and {real}");
        // A window and more under each time.
        starts.extend(workers.iter().flat_map(|worker| worker.starts(usize::MAX, WINDOW / 2)));
    }
    collect(&workers, &mut starts, 3 * CALLS);
    assert_eq!(starts.len(), 3 * CALLS, "everyone is served once");
    judge_windows(&starts);
    let pauses = gaps(&starts, began, 3);
    println!("longest pauses beyond the window: {pauses:?}");
    // A busy machine may hold an election at any time.
    assert!(pauses.iter().all(|pause| *pause < Duration::from_millis(1500)), "{pauses:?}");
    let after = workers[0].ask("status", "status");
    println!("members, waiters, leader: {before}, then {after}");
    assert!(after.starts_with("3 "), "all are members: {after}");
}

#[test]
fn an_hour_by_which_the_wall_clock_of_the_leader_jumps_has_no_effect() {
    jump_one(true);
}

#[test]
fn an_hour_by_which_the_wall_clock_of_a_follower_jumps_has_no_effect() {
    jump_one(false);
}
