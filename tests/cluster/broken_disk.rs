//! A node whose disk fails: it stops and says why, and the others go on without it.

use std::path::Path;
use std::time::Duration;

use crate::judge::{COUNT, QUIET, WINDOW, collect, gap, judge_windows, owned_by};
use crate::process::{Start, Worker, now};
use crate::support::free_addresses;
use crate::tools::{Tool, fail_syncs};

/// A cluster whose node 2 has its data in a directory of its own, under a tool of its own.
fn cluster(home: &Path, tool: &Tool, disk: &Path) -> (Vec<Worker>, Vec<String>) {
    let addresses = free_addresses(3);
    let spawn = |index| match index {
        2 => Worker::spawn_under(tool, disk, &addresses, index),
        _ => Worker::spawn(home, &addresses, index),
    };
    let workers: Vec<Worker> = (0..3).map(spawn).collect();
    let ids = workers.iter().map(|worker| worker.expect("serving")).collect();
    (workers, ids)
}

/// Waiters at all three for a connection that node 2 owns; then its disk is made to fail.
///
/// Returns what it said, or nothing where the disk can't be made to fail.
fn fail<B>(
    mut workers: Vec<Worker>,
    ids: &[String],
    stays: bool,
    break_disk: impl FnOnce(&mut Worker) -> Option<B>,
) -> Option<String> {
    const CALLS: usize = 30;
    let name = owned_by(&mut workers, &ids[2], "broken");
    let load = format!("load {name} {COUNT} {} 0 {CALLS}", WINDOW.as_millis());
    workers[..2].iter_mut().for_each(|worker| worker.order(&load));
    let mut starts = workers[0].starts(3, QUIET);
    // Its own come last, so that some of them wait when it stops.
    workers[2].order(&load);
    workers[2].ask("status", "status");
    let _broken = break_disk(&mut workers[2])?;
    let reason = workers[2].expect("stopped");
    let stopped_at = now();
    let told = workers[2].expect("failed");
    assert!(told.contains(&reason), "who waits there is told why: {told}");
    let mut stopped = workers.pop();
    if !stays {
        // Its process ends, as that of `turnstile node` does.
        starts.extend(stopped.take().into_iter().flat_map(Worker::kill));
    }
    let by_2 = starts.iter().filter(|start| start.worker == 2).count();
    collect(&workers, &mut starts, by_2 + 2 * CALLS);
    assert_eq!(starts.len(), by_2 + 2 * CALLS, "everyone at the others is served once");
    let own: Vec<Start> = starts.into_iter().filter(|start| start.connection == name).collect();
    let gap = gap(&own, stopped_at);
    println!("{reason}\nthe others went on {gap:?} after that or room");
    assert!(gap <= Duration::from_millis(1500), "{gap:?}");
    let members = workers[0].ask("status", "status");
    assert!(members.starts_with("2 "), "the one that stopped owns nothing any more: {members}");
    judge_windows(&own);
    Some(reason)
}

#[test]
fn a_node_whose_disk_is_full_stops_with_the_reason_and_the_others_go_on() {
    let (home, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(tool) = Tool::small_disk(disk.path(), 64) else { return };
    let (workers, ids) = cluster(home.path(), &tool, disk.path());
    // Each leaves something of its own in the log.
    let fill = |worker: &mut Worker| {
        (0..2000).for_each(|number| worker.order(&format!("load filler-{number} 1 60000 0 1")));
        Some(())
    };
    let reason = fail(workers, &ids, false, fill).unwrap();
    let log = disk.path().join("node-2/log-");
    assert!(reason.contains(&format!("cannot write {}", log.display())), "{reason}");
    assert!(reason.contains("No space left on device"), "{reason}");
}

#[test]
fn a_node_whose_syncs_fail_stops_with_the_reason_and_the_others_go_on() {
    let home = tempfile::tempdir().unwrap();
    let (workers, ids) = cluster(home.path(), &Tool::none(), home.path());
    let Some(reason) = fail(workers, &ids, false, |worker| fail_syncs(worker.pid())) else { return };
    let log = home.path().join("node-2/log-");
    assert!(reason.contains(&format!("cannot sync {}", log.display())), "{reason}");
    assert!(reason.contains("Input/output error"), "{reason}");
}

#[test]
fn a_node_that_stops_in_a_process_that_lives_on_is_marked_down() {
    let home = tempfile::tempdir().unwrap();
    let (workers, ids) = cluster(home.path(), &Tool::none(), home.path());
    fail(workers, &ids, true, |worker| fail_syncs(worker.pid()));
}
