//! `turnstile recover`, where there is nothing to recover.

use std::path::Path;

use crate::support::{Running, Said, run, turnstile};

fn recover(data: &Path) -> Said {
    run(turnstile(&["recover", "--yes", "--data"]).arg(data))
}

#[test]
fn a_node_that_runs_and_one_that_stands_alone_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = Running::on(directory.path());
    let runs = recover(directory.path());
    let reason = format!("turnstile: the data directory {} is in use by another node\n", directory.path().display());
    assert_eq!((runs.code, runs.stdout.as_str(), runs.stderr), (Some(1), "", reason));
    node.signal("TERM");
    node.wait();
    let alone = recover(directory.path());
    let reason = format!("turnstile: node {} stands alone and has lost nobody: it only has to be started\n", node.node);
    assert_eq!((alone.code, alone.stdout.as_str(), alone.stderr), (Some(1), "", reason));
}

#[test]
fn a_directory_that_is_missing_or_another_nodes_is_refused_and_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("data");
    let said = recover(&missing);
    let reason = format!("turnstile: {} is not the data directory of a node\n", missing.display());
    assert_eq!((said.code, said.stderr), (Some(1), reason));
    assert!(!missing.exists());
    let mut node = Running::on(&missing);
    node.signal("TERM");
    node.wait();
    let other = run(turnstile(&["recover", "--expected-node", "0123456789abcdef", "--data"]).arg(&missing));
    assert_eq!(other.code, Some(1));
    assert!(
        other.stderr.ends_with(&format!("belongs to node {}, not to node 0123456789abcdef\n", node.node)),
        "{}",
        other.stderr
    );
}

#[test]
fn the_settings_are_those_of_the_node() {
    let memory = run(turnstile(&["recover"]).env("TURNSTILE_MEMORY", "true"));
    let reason = "turnstile: the node's log is in memory, so nothing is left of it; give --data DIRECTORY\n";
    assert_eq!((memory.code, memory.stderr.as_str()), (Some(1), reason));
    let nothing = run(&mut turnstile(&["recover"]));
    assert_eq!(nothing.code, Some(2));
    assert!(nothing.stderr.starts_with("turnstile: nothing says where the log is kept"), "{}", nothing.stderr);
    let by_variable = run(turnstile(&["recover"]).env("TURNSTILE_DATA", "/nowhere/data"));
    let reason = "turnstile: /nowhere/data is not the data directory of a node\n";
    assert_eq!((by_variable.code, by_variable.stderr.as_str()), (Some(1), reason));
}
