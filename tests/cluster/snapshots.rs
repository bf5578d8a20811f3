//! A node that was away for so long that nobody has the log that it missed any more.

use std::time::{Duration, Instant};

use crate::judge::{COUNT, QUIET, WINDOW, cluster, owned_by};
use crate::process::Worker;

const HOUR_MILLIS: u64 = 3_600_000;

/// Waits for something that comes by itself.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// More than what a log may hold before there is a snapshot instead: 1 MiB.
fn fill_logs(worker: &mut Worker) {
    const CONNECTIONS: usize = 15_000;
    let padding = "x".repeat(100);
    for name in 0..CONNECTIONS {
        worker.order(&format!("load {name}-{padding} 1 1000 0 1"));
    }
    assert_eq!(worker.starts(CONNECTIONS, QUIET).len(), CONNECTIONS);
}

#[test]
fn a_node_that_missed_more_than_its_peers_have_kept_goes_on_from_their_snapshot_and_honours_their_windows() {
    let home = tempfile::tempdir().unwrap();
    let (mut workers, ids, addresses) = cluster(home.path());
    // It will own this, and know of its window by the snapshot alone.
    let name = owned_by(&mut workers, &ids[2], "hourly");
    drop(workers.pop().unwrap().kill());
    workers[0].order(&format!("load {name} {COUNT} {HOUR_MILLIS} 0 {COUNT}"));
    assert_eq!(workers[0].starts(usize::try_from(COUNT).unwrap(), QUIET).len(), usize::try_from(COUNT).unwrap());
    let data = |index: usize| home.path().join(format!("node-{index}"));
    fill_logs(&mut workers[0]);
    for index in 0..2 {
        until("a snapshot takes the log's place", || data(index).join("purged").exists());
    }
    assert!(!data(2).join("snapshot").exists());

    let began = Instant::now();
    let back = Worker::spawn(home.path(), &addresses, 2);
    assert_eq!(back.expect("serving"), ids[2]);
    // It would make none of its own of what it had.
    until("it is sent the snapshot", || data(2).join("snapshot").exists());
    println!("has the snapshot {:?} after its start", began.elapsed());
    workers.push(back);
    for worker in &mut workers {
        until("it owns again", || worker.ask(&format!("owner {name}"), "owner") == ids[2]);
        assert_eq!(worker.ask(&format!("try {name} {COUNT} {HOUR_MILLIS}"), "tried"), "Ok(false)", "the window is full");
    }
    let fresh = owned_by(&mut workers, &ids[2], "fresh");
    for worker in &mut workers {
        worker.order(&format!("load {fresh} {COUNT} {} 0 3", WINDOW.as_millis()));
    }
    for worker in &workers {
        assert_eq!(worker.starts(3, QUIET).len(), 3);
    }
}
