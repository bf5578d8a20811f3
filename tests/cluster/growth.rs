//! Nodes that come and go: any number of them, under load.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::judge::{COUNT, QUIET, WINDOW, cluster, collect, gap, gaps, judge_windows, owned_by};
use crate::process::{Start, Worker, now};
use crate::support::free_addresses;

/// How long replicas may take to be made good.
const SOON: Duration = Duration::from_secs(15);

/// Starts one more worker, which knows the addresses of some that are there.
pub(crate) fn join(home: &Path, known: &[SocketAddr], index: usize) -> (Worker, SocketAddr) {
    let own = free_addresses(1)[0];
    let mut addresses = vec![own];
    addresses.extend(known);
    // Its place in the list is that of its own address; its number is what tells its data, and its calls, from others'.
    let mut worker = Worker::spawn(&home.join(format!("joined-{index}")), &addresses, 0);
    worker.index = index;
    worker.expect("serving");
    (worker, own)
}

/// Calls at these workers for a connection, all waiting at once.
pub(crate) fn load(worker: &mut Worker, name: &str, niceness: u32, calls: usize) {
    worker.order(&format!("load {name} {COUNT} {} {niceness} {calls}", WINDOW.as_millis()));
    // Its answer comes when they wait.
    worker.ask("status", "status");
}

/// Waits until a worker says that this is how the replicas are: its own role, voters, spares.
pub(crate) fn await_replicas(worker: &mut Worker, expected: &str) {
    let began = Instant::now();
    loop {
        let found = worker.ask("replicas", "replicas");
        if found == expected {
            return;
        }
        assert!(began.elapsed() < SOON, "{found} instead of {expected}");
    }
}

#[test]
fn who_joins_stands_by_and_owns_and_who_comes_after_five_observes_and_is_served_as_all_are() {
    let home = tempfile::tempdir().unwrap();
    let (mut workers, _, addresses) = cluster(home.path());
    let mut known = addresses;
    for index in 3..6 {
        let (worker, address) = join(home.path(), &known[..1], index);
        workers.push(worker);
        known.push(address);
    }
    await_replicas(&mut workers[0], "Voter 3 2");
    let mut observers = 0;
    for worker in &mut workers {
        // Each is told in its time.
        let began = Instant::now();
        while !worker.ask("replicas", "replicas").ends_with(" 3 2") || !worker.ask("status", "status").starts_with("5 ") {
            assert!(began.elapsed() < SOON, "worker {} does not know of all", worker.index);
        }
        observers += usize::from(worker.ask("replicas", "replicas").starts_with("Observer"));
    }
    assert_eq!(observers, 1);
    for worker in &mut workers {
        load(worker, "all", 0, 5);
    }
    let mut starts = Vec::new();
    collect(&workers, &mut starts, 30);
    assert_eq!(starts.len(), 30, "everyone is served once");
    judge_windows(&starts);
}

#[test]
fn a_node_that_joins_and_one_that_leaves_move_their_keys_only_and_lose_nobody() {
    let home = tempfile::tempdir().unwrap();
    let (mut workers, ids, addresses) = cluster(home.path());
    // One of each node, so that something moves whoever comes or goes.
    let names: Vec<String> = ids.iter().map(|id| owned_by(&mut workers, id, "moved")).collect();
    // Who calls at the one that leaves would be told that it does.
    for worker in &mut workers[..2] {
        names.iter().for_each(|name| load(worker, name, 0, 30));
    }
    let mut starts = Vec::new();
    collect(&workers, &mut starts, 30);
    let joined_at = now();
    let (joiner, _) = join(home.path(), &addresses, 3);
    workers.push(joiner);
    // Its answer comes when it is a member.
    let joined = now();
    let enough = starts.len() + 60;
    collect(&workers, &mut starts, enough);
    let leaves_at = now();
    starts.extend(workers.remove(2).leave());
    println!("joined after {:?}; left after {:?}", joined - joined_at, now() - leaves_at);
    let all = 2 * 30 * names.len();
    collect(&workers, &mut starts, all);
    assert_eq!(starts.len(), all, "everyone is served once");
    for name in &names {
        let own: Vec<Start> = starts.iter().filter(|start| start.connection == *name).cloned().collect();
        judge_windows(&own);
        let (join_gap, leave_gap) = (gap(&own, joined_at), gap(&own, leaves_at));
        println!(
            "{name}: {join_gap:?} after the join, {leave_gap:?} after the leave; longest pauses {:?}",
            gaps(&own, joined_at, 2)
        );
        assert!(join_gap <= Duration::from_secs(1) && leave_gap <= Duration::from_secs(1), "{name}: {join_gap:?}, {leave_gap:?}");
    }
}

#[test]
fn a_leader_that_owns_and_leaves_is_missed_for_a_moment_only() {
    let home = tempfile::tempdir().unwrap();
    let (mut workers, ids, _) = cluster(home.path());
    let status = workers[0].ask("status", "status");
    let leader = ids.iter().position(|id| status.ends_with(id.as_str())).unwrap();
    let names: Vec<String> = ids.iter().map(|id| owned_by(&mut workers, id, "led")).collect();
    let leader = workers.remove(leader);
    for worker in &mut workers {
        names.iter().for_each(|name| load(worker, name, 0, 30));
    }
    let mut starts = Vec::new();
    collect(&workers, &mut starts, 40);
    let leaves_at = now();
    leader.leave();
    println!("the leader left within {:?}", now() - leaves_at);
    let all = 2 * 30 * names.len();
    collect(&workers, &mut starts, all);
    assert_eq!(starts.len(), all, "everyone is served once");
    for name in &names {
        let own: Vec<Start> = starts.iter().filter(|start| start.connection == *name).cloned().collect();
        judge_windows(&own);
        let pauses = gaps(&own, leaves_at, 2);
        println!("{name}: longest pauses beyond the window {pauses:?}");
        assert!(pauses[0] <= Duration::from_secs(1), "{name}: {pauses:?}");
    }
}

#[test]
fn the_only_voter_leaves_when_another_node_is_there_to_take_its_place() {
    let home = tempfile::tempdir().unwrap();
    let addresses = free_addresses(1);
    let mut first = Worker::spawn(home.path(), &addresses, 0);
    first.expect("serving");
    let (mut second, _) = join(home.path(), &addresses, 1);
    await_replicas(&mut first, "Voter 1 1");
    load(&mut second, "left", 0, 30);
    let mut starts = second.starts(15, QUIET);
    let leaves_at = now();
    first.leave();
    starts.extend(second.starts(15, QUIET));
    assert_eq!(starts.len(), 30, "everyone is served once");
    judge_windows(&starts);
    let pauses = gaps(&starts, leaves_at, 2);
    println!("longest pauses beyond the window: {pauses:?}");
    assert!(pauses[0] <= Duration::from_secs(1), "{pauses:?}");
    await_replicas(&mut second, "Voter 1 0");
}

#[test]
fn when_none_of_the_first_nodes_is_left_the_windows_have_held_and_grants_have_hardly_paused() {
    let home = tempfile::tempdir().unwrap();
    let (mut workers, ids, mut known) = cluster(home.path());
    let name = owned_by(&mut workers, &ids[0], "replaced");
    let began = now();
    let mut starts = Vec::new();
    for round in 0..3 {
        let (joiner, address) = join(home.path(), &known, 3 + round);
        workers.push(joiner);
        known.push(address);
        let last = workers.len() - 1;
        load(&mut workers[last], &name, 0, 40);
        let enough = starts.len() + 12;
        collect(&workers, &mut starts, enough);
        // The oldest goes, whatever it is; its own callers are told.
        let leaver = workers.remove(0);
        known.remove(0);
        starts.extend(leaver.leave());
    }
    let all = 3 * 40;
    collect(&workers, &mut starts, all);
    assert_eq!(starts.len(), all, "everyone is served once");
    judge_windows(&starts);
    let pauses = gaps(&starts, began, 3);
    println!("longest pauses beyond the window: {pauses:?}");
    assert!(pauses[0] <= Duration::from_millis(1500), "{pauses:?}");
    await_replicas(&mut workers[0], "Voter 3 0");
}

#[test]
fn nodes_that_are_killed_are_replaced_by_those_who_stand_by() {
    let home = tempfile::tempdir().unwrap();
    let (mut workers, _, mut known) = cluster(home.path());
    for index in 3..5 {
        let (worker, address) = join(home.path(), &known[..1], index);
        workers.push(worker);
        known.push(address);
    }
    await_replicas(&mut workers[4], "Spare 3 2");
    load(&mut workers[4], "killed", 0, 60);
    let mut starts = Vec::new();
    for _ in 0..2 {
        let first = workers.remove(0);
        starts.extend(first.kill());
        // Two of three are a majority, so the next one may die only when this one is replaced.
        let last = workers.len() - 1;
        let began = Instant::now();
        while !workers[last].ask("replicas", "replicas").contains(" 3 ") || !is_replaced(&mut workers) {
            assert!(began.elapsed() < SOON, "the dead one is not replaced");
        }
        println!("replaced after {:?}", began.elapsed());
    }
    collect(&workers, &mut starts, 60);
    assert_eq!(starts.len(), 60, "everyone is served once");
    judge_windows(&starts);
}

/// Whether all voters are among these workers.
fn is_replaced(workers: &mut [Worker]) -> bool {
    workers.iter_mut().map(|worker| worker.ask("replicas", "replicas")).filter(|role| role.starts_with("Voter")).count() == 3
}

#[test]
fn when_all_come_back_at_other_addresses_they_find_each_other_and_honour_the_windows() {
    let home = tempfile::tempdir().unwrap();
    let (mut workers, _, _) = cluster(home.path());
    load(&mut workers[0], "moved", 0, 30);
    let mut starts = workers[0].starts(usize::try_from(COUNT).unwrap() + 3, QUIET);
    starts.extend(workers.into_iter().flat_map(Worker::kill));
    let addresses = free_addresses(3);
    let mut workers: Vec<Worker> = (0..3).map(|index| Worker::spawn(home.path(), &addresses, index)).collect();
    for worker in &mut workers {
        worker.expect("serving");
        load(worker, "moved", 0, 10);
    }
    let all = starts.len() + 30;
    collect(&workers, &mut starts, all);
    assert_eq!(starts.len(), all, "everyone is served once");
    judge_windows(&starts);
}
