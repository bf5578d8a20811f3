//! A node is killed while many wait.

use std::time::Duration;

use crate::judge::{COUNT, QUIET, WINDOW, cluster, collect, gap, judge_order, judge_windows, owned_by};
use crate::process::{Start, now};

enum Victim {
    Owner,
    Leader,
    Follower,
}

/// Kills a node while 60 wait for a connection (of its own, if it is the owner that dies); returns how long nobody was served.
fn kill(victim: &Victim) -> Duration {
    const CALLS: usize = 30;
    let home = tempfile::tempdir().unwrap();
    let (mut workers, ids, _) = cluster(home.path());
    let status = workers[0].ask("status", "status");
    let leader = status.split(' ').nth(2).unwrap().to_owned();
    let leader = ids.iter().position(|id| *id == leader).unwrap();
    let follower = (leader + 1) % 3;
    let dies = match victim {
        Victim::Leader => leader,
        Victim::Owner | Victim::Follower => follower,
    };
    let owner = match victim {
        Victim::Owner | Victim::Leader => dies,
        Victim::Follower => leader,
    };
    let name = owned_by(&mut workers, &ids[owner], "busy");
    // So that each has a session with the owner, and its calls go there in order.
    let warm = owned_by(&mut workers, &ids[owner], "warm");
    for worker in &mut workers {
        worker.order(&format!("load {warm} {COUNT} {} 0 1", WINDOW.as_millis()));
        assert_eq!(worker.starts(1, QUIET).len(), 1);
    }
    let mut starts = Vec::new();
    for worker in workers.iter_mut().filter(|worker| worker.index != dies) {
        for niceness in [5, 0] {
            worker.order(&format!("load {name} {COUNT} {} {niceness} {CALLS}", WINDOW.as_millis()));
        }
    }
    // In mid-window, with a backlog.
    let first = workers.iter().find(|worker| worker.index != dies).unwrap();
    starts.extend(first.starts(8, QUIET));
    let dying = workers.remove(dies);
    let killed_at = now();
    starts.extend(dying.kill());
    collect(&workers, &mut starts, 4 * CALLS);
    assert_eq!(starts.len(), 4 * CALLS, "everyone is served once");
    judge_windows(&starts);
    // The new owner's own numbers begin anew.
    let settled = killed_at + Duration::from_millis(300);
    let after: Vec<Start> = starts.iter().filter(|start| start.at > settled).cloned().collect();
    judge_order(&after);
    gap(&starts, killed_at)
}

#[test]
fn an_owner_that_is_killed_costs_a_pause_and_nothing_else() {
    let gap = kill(&Victim::Owner);
    println!("next grant {gap:?} after the kill or room");
    assert!(gap <= Duration::from_millis(1500), "{gap:?}");
}

#[test]
fn a_leader_that_is_killed_costs_a_pause_and_nothing_else() {
    let gap = kill(&Victim::Leader);
    println!("next grant {gap:?} after the kill or room");
    assert!(gap <= Duration::from_millis(1500), "{gap:?}");
}

#[test]
fn a_follower_that_is_killed_costs_its_neighbours_nothing() {
    let gap = kill(&Victim::Follower);
    println!("next grant {gap:?} after the kill or room");
    assert!(gap <= Duration::from_millis(1500), "{gap:?}");
}
