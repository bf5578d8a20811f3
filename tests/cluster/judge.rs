//! What the starts of calls must look like.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::process::{Start, Worker};
use crate::support::free_addresses;
use crate::tools::Tool;

/// How many calls one window has.
pub(crate) const COUNT: u32 = 10;
/// Its length.
pub(crate) const WINDOW: Duration = Duration::from_secs(1);
/// How long a worker may be silent that still has calls.
pub(crate) const QUIET: Duration = Duration::from_secs(8);

/// Three workers that serve, and the ids of their nodes.
pub(crate) fn cluster(home: &std::path::Path) -> (Vec<Worker>, Vec<String>, Vec<std::net::SocketAddr>) {
    cluster_under(&[const { Tool::none() }; 3], home)
}

/// The same, with each process started by its tool.
pub(crate) fn cluster_under(tools: &[Tool], home: &std::path::Path) -> (Vec<Worker>, Vec<String>, Vec<std::net::SocketAddr>) {
    let addresses = free_addresses(tools.len());
    let workers = tools.iter().enumerate().map(|(index, tool)| Worker::spawn_under(tool, home, &addresses, index));
    let mut workers: Vec<Worker> = workers.collect();
    let ids = await_all(&mut workers);
    (workers, ids, addresses)
}

/// Waits until each of these serves and knows of all; the ids of their nodes.
pub(crate) fn await_all(workers: &mut [Worker]) -> Vec<String> {
    let ids = workers.iter().map(|worker| worker.expect("serving")).collect();
    let all = format!("{} ", workers.len());
    // A node serves when it is in; it may not know yet that others are.
    for worker in workers {
        let began = Instant::now();
        while !worker.ask("status", "status").starts_with(&all) {
            assert!(began.elapsed() < 4 * QUIET, "worker {} does not know of all", worker.index);
        }
    }
    ids
}

/// Adds what these workers start until there are `total` starts, in whatever order they are served, or nobody has started anything for long.
pub(crate) fn collect(workers: &[Worker], starts: &mut Vec<Start>, total: usize) {
    let mut last = Instant::now();
    while starts.len() < total && last.elapsed() < QUIET {
        let before = starts.len();
        starts.extend(workers.iter().flat_map(|worker| worker.starts(usize::MAX, Duration::from_millis(50))));
        if starts.len() > before {
            last = Instant::now();
        }
    }
}

/// A connection that this node owns.
pub(crate) fn owned_by(workers: &mut [Worker], id: &str, prefix: &str) -> String {
    let names = (0..).map(|number| format!("{prefix}-{number}"));
    names.into_iter().find(|name| workers[0].ask(&format!("owner {name}"), "owner") == id).unwrap()
}

/// Fails when more than `COUNT` calls were started within any rolling window.
pub(crate) fn judge_windows(starts: &[Start]) {
    let mut at: Vec<Duration> = starts.iter().map(|start| start.at).collect();
    at.sort_unstable();
    for many in at.windows(usize::try_from(COUNT).unwrap() + 1) {
        let span = *many.last().unwrap() - many[0];
        assert!(span >= WINDOW, "{} calls within {span:?}", many.len());
    }
}

/// Fails when an owner released anybody before another who waited there before it.
pub(crate) fn judge_order(starts: &[Start]) {
    let mut starts: Vec<&Start> = starts.iter().collect();
    starts.sort_by_key(|start| start.release);
    for (place, first) in starts.iter().enumerate() {
        for second in &starts[place + 1..] {
            let waited_already = second.waits_since < first.release;
            let is_before = (second.niceness, second.arrival) < (first.niceness, first.arrival);
            assert!(!(waited_already && is_before), "{first:?} before {second:?}");
        }
    }
    let workers: BTreeSet<usize> = starts.iter().map(|start| start.worker).collect();
    for worker in workers {
        for niceness in [0, 5] {
            let own = starts.iter().filter(|start| start.worker == worker && start.niceness == niceness);
            let own: Vec<&&Start> = own.collect();
            assert!(own.is_sorted_by_key(|start| start.index), "worker {worker}, niceness {niceness}: {own:#?}");
        }
    }
}

/// The time from the later of `since` and room in the window to the next start.
pub(crate) fn gap(starts: &[Start], since: Duration) -> Duration {
    let mut at: Vec<Duration> = starts.iter().map(|start| start.at).collect();
    at.sort_unstable();
    let before = at.iter().filter(|at| **at <= since).count();
    let next = at[before];
    // A slot counts a little longer than its window: by the delivery bound and the guard.
    let margin = Duration::from_millis(300 + 10) + WINDOW / 2000;
    let room = before.checked_sub(usize::try_from(COUNT).unwrap()).map_or(Duration::ZERO, |place| at[place] + WINDOW + margin);
    next.saturating_sub(since.max(room))
}

/// The longest times between two starts after `since`, longest first, beyond what the window with its margin costs.
pub(crate) fn gaps(starts: &[Start], since: Duration, count: usize) -> Vec<Duration> {
    let mut at: Vec<Duration> = starts.iter().map(|start| start.at).filter(|at| *at > since).collect();
    at.sort_unstable();
    let margin = WINDOW + Duration::from_millis(310) + WINDOW / 2000;
    let mut gaps: Vec<Duration> = at.windows(2).map(|two| (two[1] - two[0]).saturating_sub(margin)).collect();
    gaps.sort_unstable();
    gaps.reverse();
    gaps.truncate(count);
    gaps
}
