//! One node as a process: its start, its end, its directory.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use turnstile::{Connection, Node, NodeConfig, RateLimit};

use crate::support::{Running, run, turnstile};

#[test]
fn a_node_says_where_it_listens_and_ends_with_0_when_it_is_asked_to() {
    for signal in ["TERM", "INT"] {
        let directory = tempfile::tempdir().unwrap();
        let mut node = Running::on(&directory.path().join("data"));
        assert_eq!(node.node.len(), 16);
        TcpStream::connect(&node.address).unwrap();
        node.signal(signal);
        let said = node.wait();
        assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""), "{}", said.stderr);
    }
}

#[test]
fn a_caller_that_keeps_its_connection_open_does_not_keep_the_node_alive() {
    let mut node = Running::start(&mut turnstile(&["node", "--memory", "--listen", "127.0.0.1:0"]));
    let _open = TcpStream::connect(&node.address).unwrap();
    node.signal("TERM");
    assert_eq!(node.wait().code, Some(0));
}

#[test]
fn a_directory_is_free_after_the_end_and_after_a_kill_and_keeps_its_node() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut first = Running::on(&data);
    first.signal("TERM");
    assert_eq!(first.wait().code, Some(0));
    let mut second = Running::on(&data);
    second.signal("KILL");
    assert_eq!(second.wait().code, None);
    let third = Running::on(&data);
    assert_eq!([&second.node, &third.node], [&first.node, &first.node]);
}

#[test]
fn an_address_in_use_is_told_and_the_directory_is_not_touched() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let said = run(turnstile(&["node", "--listen", &address, "--data"]).arg(&data));
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
    let reason = format!("turnstile: --listen: cannot listen on {address}: Address already in use (os error 98)");
    assert_eq!(said.stderr.lines().last(), Some(reason.as_str()));
    assert!(!data.exists());
}

#[test]
fn a_directory_in_use_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let _first = Running::on(directory.path());
    let said = run(turnstile(&["node", "--listen", "127.0.0.1:0", "--data"]).arg(directory.path()));
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
    let reason = format!("the data directory {} is in use by another node", directory.path().display());
    assert!(said.stderr.ends_with(&format!("{reason}\n")), "{}", said.stderr);
    assert_eq!(said.stderr.matches(&reason).count(), 1, "said once: {}", said.stderr);
}

#[test]
fn a_directory_of_another_node_is_refused_with_both_ids() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = Running::on(directory.path());
    first.signal("TERM");
    first.wait();
    let mut command = turnstile(&["node", "--listen", "127.0.0.1:0", "--expected-node", "0123456789abcdef", "--data"]);
    let said = run(command.arg(directory.path()));
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
    let reason = format!("belongs to node {}, not to node 0123456789abcdef\n", first.node);
    assert!(said.stderr.ends_with(&reason), "{}", said.stderr);
}

#[test]
fn the_log_is_json_on_standard_error_when_it_is_asked_for() {
    let flags = ["node", "--memory", "--listen", "127.0.0.1:0", "--log-format", "json"];
    let mut node = Running::start(&mut turnstile(&flags));
    node.signal("TERM");
    let said = node.wait();
    let lines: Vec<Value> = said.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let serving = lines.iter().find(|line| line["message"] == "serving").expect("it says that it serves");
    assert_eq!((&serving["level"], &serving["node"]), (&"INFO".into(), &node.node.clone().into()));
}

#[test]
fn a_log_that_is_off_says_nothing() {
    let mut node = Running::start(&mut turnstile(&["node", "--memory", "--listen", "127.0.0.1:0", "--log", "off"]));
    node.signal("TERM");
    assert_eq!(node.wait().stderr, "");
}

#[test]
fn an_address_that_others_can_reach_is_warned_of() {
    let mut node = Running::start(&mut turnstile(&["node", "--memory", "--listen", "0.0.0.0:0"]));
    node.signal("TERM");
    assert!(node.wait().stderr.contains("there is no authentication"));
}

/// Leaves a window of an hour in the directory, so that its node writes to its log once a second.
async fn track_something(data: &Path) {
    let node = Node::start(NodeConfig::on_disk(data)).await.unwrap();
    let limit = RateLimit::new(1, Duration::from_secs(3600)).unwrap();
    let connection = Connection::new("test", "stopped", limit).unwrap();
    node.throttler().throttle(&connection, || async {}).await.unwrap();
    node.shutdown().await;
}

#[tokio::test]
async fn a_node_whose_disk_fails_ends_with_1_and_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    track_something(directory.path()).await;
    let mut node = Running::on(directory.path());
    let Some(_strace) = node.fail_syncs() else {
        eprintln!("SKIPPED, nothing was tested: strace does not work here");
        return;
    };
    let said = node.wait();
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{}", said.stderr);
    let reason = said.stderr.lines().last().unwrap();
    assert!(reason.starts_with("turnstile: the node has stopped by itself: "), "{reason}");
    assert!(reason.contains("cannot sync") && reason.contains("Input/output error"), "{reason}");
}
