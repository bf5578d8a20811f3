//! A router is stopped while its calls wait at an owner on another node.

use std::time::{Duration, Instant};

use crate::judge::{COUNT, QUIET, WINDOW, cluster, collect, judge_order, judge_windows, owned_by};
use crate::process::now;

#[test]
fn a_router_that_is_stopped_leaves_its_slots_to_others_and_has_its_turn_when_it_goes_on() {
    const CALLS: usize = 40;
    let home = tempfile::tempdir().unwrap();
    let (mut workers, ids, _) = cluster(home.path());
    let status = workers[0].ask("status", "status");
    let leader = ids.iter().position(|id| Some(id.as_str()) == status.split(' ').nth(2)).unwrap();
    let (stopped, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let name = owned_by(&mut workers, &ids[leader], "shared");
    // So that each has a session with the owner.
    let warm = owned_by(&mut workers, &ids[leader], "warm");
    for worker in &mut workers {
        worker.order(&format!("load {warm} {COUNT} {} 0 1", WINDOW.as_millis()));
        assert_eq!(worker.starts(1, QUIET).len(), 1);
    }
    // Call by call in turn.
    for _ in 0..CALLS / 2 {
        for index in [stopped, other] {
            workers[index].order(&format!("load {name} {COUNT} {} 0 2", WINDOW.as_millis()));
            workers[index].ask("status", "status");
        }
    }
    let per_window = usize::try_from(COUNT).unwrap();
    let mut starts = Vec::new();
    while starts.len() < per_window {
        for index in [stopped, other] {
            starts.extend(workers[index].starts(usize::MAX, Duration::from_millis(5)));
        }
    }
    workers[stopped].signal("STOP");
    let stopped_at = now();
    // The next window, which opens when the first has left with its margins.
    let resume_at = Instant::now() + Duration::from_millis(1800);
    let mut meanwhile = 0;
    while Instant::now() < resume_at {
        let more = workers[other].starts(1, resume_at.saturating_duration_since(Instant::now()));
        meanwhile += more.len();
        starts.extend(more);
    }
    workers[stopped].signal("CONT");
    let resumed_at = now();
    println!("{meanwhile} of {COUNT} slots of the next window went to the one that was there");
    collect(&workers, &mut starts, 2 * CALLS);
    let after =
        starts.iter().filter(|start| start.worker == stopped && start.at > resumed_at).map(|start| start.at - resumed_at).min();
    println!("the one that was stopped went on {after:?} after it could, {:?} after its stop", resumed_at - stopped_at);
    assert!(meanwhile + 1 >= per_window, "{meanwhile} of {COUNT}");
    assert_eq!(starts.len(), 2 * CALLS, "everyone is served once");
    judge_windows(&starts);
    for start in &mut starts {
        // Each load numbers its own calls.
        start.index = 0;
    }
    judge_order(&starts);
}
