//! A majority that is gone for good, and what one node makes of what it has left.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crate::judge::{QUIET, cluster};
use crate::process::{Start, Worker, now};

const COUNT: usize = 5;
const WINDOW: Duration = Duration::from_secs(2);

/// What `turnstile recover` says about this directory, and how it ends.
pub(crate) fn recover(data: &Path, flags: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnstile"));
    // Settings may come from the environment; what tests say to each other there is none.
    std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("TURNSTILE_")).for_each(|name| {
        command.env_remove(name);
    });
    let Output { status, stdout, stderr } = command.args(["recover", "--data"]).arg(data).args(flags).output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

fn load(worker: &mut Worker, name: &str, calls: usize) {
    worker.order(&format!("load {name} {COUNT} {} 0 {calls}", WINDOW.as_millis()));
}

/// Fails when more calls than the limit were started within any rolling window.
fn judge_windows(mut starts: Vec<Start>) {
    starts.sort_by_key(|start| start.at);
    for many in starts.windows(COUNT + 1) {
        let span = many[COUNT].at - many[0].at;
        assert!(span >= WINDOW, "{} calls within {span:?}", many.len());
    }
}

#[test]
fn a_node_whose_majority_is_gone_grants_nothing_until_it_is_recovered_and_then_nothing_within_a_window() {
    let home = tempfile::tempdir().unwrap();
    let (mut workers, ids, addresses) = cluster(home.path());
    let (data, former) = (home.path().join("node-2"), workers[2].ask("cluster", "cluster"));
    load(&mut workers[0], "busy", 60);
    let mut starts = workers[0].starts(COUNT + 1, QUIET);
    let mut last = workers.pop().unwrap();
    for (index, worker) in workers.into_iter().enumerate() {
        starts.extend(worker.kill());
        std::fs::remove_dir_all(home.path().join(format!("node-{index}"))).unwrap();
    }
    // What was granted before they were gone may have come to it by its own session.
    load(&mut last, "busy", COUNT);
    starts.extend(last.starts(COUNT, WINDOW / 4));
    load(&mut last, "fresh", COUNT);
    assert_eq!(last.starts(COUNT, 2 * WINDOW), [], "a minority grants nothing");
    let (code, said) = recover(&data, &["--yes"]);
    assert!(code == Some(1) && said.contains("in use by another node"), "{said}");
    starts.extend(last.kill());

    let (code, said) = recover(&data, &[]);
    for words in [&format!("node                 {}", ids[2]), &former, &ids[0], &ids[1], "Nothing was changed"] {
        assert!(code == Some(1) && said.contains(words), "{words}: {said}");
    }
    let (code, said) = recover(&data, &["--yes"]);
    assert!(code == Some(0) && said.contains("Done: the node is the whole of cluster "), "{said}");
    assert!(said.contains("must be gone for good") && said.contains("Remove their data directories"), "{said}");
    let recovered_at = now();

    let mut alone = Worker::spawn(home.path(), &addresses, 2);
    assert_eq!(alone.expect("serving"), ids[2]);
    let cluster = alone.ask("cluster", "cluster");
    assert!(cluster != former && said.contains(&cluster), "{cluster}, not {former}: {said}");
    for name in ["busy", "fresh"] {
        load(&mut alone, name, 2 * COUNT);
    }
    let granted = alone.starts(4 * COUNT, QUIET);
    assert_eq!(granted.len(), 4 * COUNT, "everyone is served once");
    let first = granted.iter().map(|start| start.at - recovered_at).min().unwrap();
    println!("the first grant came {first:?} after the recovery");
    assert!(first >= WINDOW, "{first:?}");
    starts.extend(granted);
    for name in ["busy", "fresh"] {
        judge_windows(starts.iter().filter(|start| start.connection == name).cloned().collect());
    }
}
