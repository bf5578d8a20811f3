//! What else may happen to nodes: all die, one is stopped, one is cut off, one loses its disk, one after the other restarts.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::judge::{COUNT, QUIET, WINDOW, cluster, collect, gaps, judge_windows, owned_by};
use crate::process::{Start, Worker, now};

/// Calls at these workers for a connection, all waiting at once.
fn load(workers: &mut [Worker], name: &str, calls: usize) {
    for worker in workers {
        worker.order(&format!("load {name} {COUNT} {} 0 {calls}", WINDOW.as_millis()));
        // Its answer comes when they wait.
        worker.ask("status", "status");
    }
}

/// Prints what is known of each worker.
fn report(workers: &mut [Worker], starts: &[Start]) {
    for worker in workers {
        let count = starts.iter().filter(|start| start.worker == worker.index).count();
        let (index, status) = (worker.index, worker.ask("status", "status"));
        println!("worker {index}: {count} starts; members, waiters, leader: {status}");
    }
}

fn restart(home: &Path, addresses: &[SocketAddr], index: usize) -> Worker {
    let worker = Worker::spawn(home, addresses, index);
    worker.expect("serving");
    worker
}

/// Waits until a worker says that so many nodes are members.
fn await_members(worker: &mut Worker, members: usize, within: Duration) {
    let began = Instant::now();
    while worker.ask("status", "status").split(' ').next() != Some(&members.to_string()) {
        assert!(began.elapsed() < within, "not {members} members within {within:?}");
    }
}

#[test]
fn when_all_are_killed_and_come_back_the_windows_are_honoured() {
    let home = tempfile::tempdir().unwrap();
    let (mut workers, _, addresses) = cluster(home.path());
    load(&mut workers[..1], "busy", 50);
    let mut starts = workers[0].starts(usize::try_from(COUNT).unwrap() + 3, QUIET);
    starts.extend(workers.into_iter().flat_map(Worker::kill));
    let began = Instant::now();
    let mut workers: Vec<Worker> = (0..3).map(|index| Worker::spawn(home.path(), &addresses, index)).collect();
    for worker in &workers {
        worker.expect("serving");
    }
    println!("serving again after {:?}", began.elapsed());
    load(&mut workers, "busy", 5);
    let first = workers[0].starts(1, QUIET);
    println!("first grant {:?} after the restart", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    starts.extend(first);
    starts.extend(workers.iter().enumerate().flat_map(|(index, worker)| worker.starts(if index == 0 { 4 } else { 5 }, QUIET)));
    judge_windows(&starts);
}

#[test]
fn an_owner_that_is_stopped_for_five_seconds_starts_nothing_that_was_charged_before() {
    let home = tempfile::tempdir().unwrap();
    let (mut workers, ids, _) = cluster(home.path());
    let name = owned_by(&mut workers, &ids[1], "stopped");
    load(&mut workers[..1], &name, 60);
    let mut starts = workers[0].starts(8, QUIET);
    // Its own worker's calls wait there as well as those of the others.
    load(&mut workers[1..], &name, 60);
    workers[1].signal("STOP");
    let stopped_at = now();
    let resume_at = Instant::now() + Duration::from_secs(5);
    let until = |starts: &mut Vec<Start>| {
        while Instant::now() < resume_at {
            let left = resume_at.saturating_duration_since(Instant::now());
            starts.extend(workers[0].starts(1, left));
        }
    };
    until(&mut starts);
    workers[1].signal("CONT");
    collect(&workers, &mut starts, 180);
    report(&mut workers, &starts);
    assert_eq!(starts.len(), 180, "everyone is served once");
    judge_windows(&starts);
    println!("longest pauses {:?}", gaps(&starts, stopped_at, 3));
}

#[test]
fn an_owner_that_is_cut_off_grants_nothing_and_the_others_go_on() {
    let home = tempfile::tempdir().unwrap();
    let (mut workers, ids, _) = cluster(home.path());
    let name = owned_by(&mut workers, &ids[1], "cut");
    load(&mut workers[..1], &name, 30);
    let mut starts = workers[0].starts(8, QUIET);
    load(&mut workers[1..], &name, 30);
    let others = format!("{},{}", ids[0], ids[2]);
    workers[1].ask(&format!("refuse {others}"), "refusing");
    workers[0].ask(&format!("refuse {}", ids[1]), "refusing");
    workers[2].ask(&format!("refuse {}", ids[1]), "refusing");
    let cut_at = now();
    // The majority serves its own.
    for index in [0, 2] {
        let before = starts.iter().filter(|start| start.worker == index).count();
        starts.extend(workers[index].starts(30 - before, QUIET));
    }
    let majority = starts.iter().filter(|start| start.at > cut_at).map(|start| start.at).min().unwrap();
    println!("the majority went on after {:?}", majority - cut_at);
    let minority = workers[1].starts(usize::MAX, Duration::from_millis(50));
    assert!(minority.iter().all(|start| start.at < cut_at + Duration::from_millis(600)), "{minority:?}");
    starts.extend(minority);
    for worker in &mut workers {
        worker.ask("refuse ", "refusing");
    }
    let healed_at = now();
    let before = starts.iter().filter(|start| start.worker == 1).count();
    starts.extend(workers[1].starts(30 - before, QUIET));
    let healed = starts.iter().filter(|start| start.worker == 1 && start.at > healed_at).map(|start| start.at).min();
    println!("the minority went on {:?} after healing", healed.map(|at| at - healed_at));
    assert!(majority - cut_at <= Duration::from_secs(3), "{:?}", majority - cut_at);
    assert!(healed.is_some_and(|at| at - healed_at <= Duration::from_secs(2)));
    report(&mut workers, &starts);
    assert_eq!(starts.len(), 90, "everyone is served once");
    judge_windows(&starts);
}

#[test]
fn a_rolling_restart_never_stops_grants_for_long() {
    let home = tempfile::tempdir().unwrap();
    let (mut workers, _, addresses) = cluster(home.path());
    let mut starts = Vec::new();
    let mut issued = 0;
    let began = now();
    for index in 0..3 {
        // Who stays keeps calling.
        let stays = (index + 1) % 3;
        load(&mut workers[stays..=stays], "rolling", 60);
        issued += 60;
        starts.extend(workers[stays].starts(5, QUIET));
        let leaving = workers.remove(index);
        starts.extend(leaving.leave());
        workers.insert(index, restart(home.path(), &addresses, index));
        let before = starts.len();
        starts.extend(workers[stays].starts(issued - before, QUIET));
    }
    assert_eq!(starts.len(), issued, "everyone is served once");
    judge_windows(&starts);
    let pauses = gaps(&starts, began, 3);
    println!("longest pauses beyond the window: {pauses:?}");
}

#[test]
fn a_node_that_was_behind_gets_the_log_from_its_peers() {
    let home = tempfile::tempdir().unwrap();
    let (mut workers, _, addresses) = cluster(home.path());
    drop(workers.pop().unwrap().kill());
    await_members(&mut workers[0], 2, Duration::from_secs(5));
    for round in 0..20 {
        load(&mut workers[..1], &format!("missed-{round}"), 5);
        assert_eq!(workers[0].starts(5, QUIET).len(), 5);
    }
    let mut back = restart(home.path(), &addresses, 2);
    await_members(&mut back, 3, Duration::from_secs(5));
    back.order(&format!("load late {COUNT} {} 0 5", WINDOW.as_millis()));
    assert_eq!(back.starts(5, QUIET).len(), 5);
}
