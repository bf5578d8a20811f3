//! Disks that are slow, all of them and for ever: everything takes longer, and nothing else changes.

use std::time::{Duration, Instant};

use crate::judge::{COUNT, WINDOW, cluster_under, collect, judge_windows};
use crate::tools::Tool;

/// How much longer a sync takes.
const SYNC_MICROS: u32 = 200_000;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_cluster_whose_disks_take_long_to_sync_serves_everybody_and_breaks_no_window() {
    const CALLS: usize = 10;
    let Some(tool) = Tool::slow_syncs(SYNC_MICROS) else { return };
    let home = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let (mut workers, ..) = cluster_under(&[tool.clone(), tool.clone(), tool], home.path());
    println!("serving after {:?}", began.elapsed());
    // More than one, so that each node owns something and each has callers elsewhere.
    let names = ["slow-0", "slow-1", "slow-2", "slow-3"];
    for worker in &mut workers {
        for name in names {
            worker.order(&format!("load {name} {COUNT} {} 0 {CALLS}", WINDOW.as_millis()));
        }
    }
    let total = workers.len() * names.len() * CALLS;
    let mut starts = Vec::new();
    // A commit takes seconds where the machine is busy, too: nobody who is served late is lost.
    while starts.len() < total && began.elapsed() < PATIENCE {
        collect(&workers, &mut starts, total);
    }
    println!("{} of {total} served after {:?}", starts.len(), began.elapsed());
    assert_eq!(starts.len(), total, "everyone is served once");
    for name in names {
        let own: Vec<_> = starts.iter().filter(|start| start.connection == name).cloned().collect();
        judge_windows(&own);
    }
}
