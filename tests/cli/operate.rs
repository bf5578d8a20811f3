//! `turnstile status`, `owner` and `refuse-peers`, at a node that stands alone.

use std::net::TcpListener;

use serde_json::Value;

use crate::support::{Running, Said, run, turnstile};

fn alone(flags: &[&str]) -> Running {
    Running::start(turnstile(&["node", "--memory", "--listen", "127.0.0.1:0"]).args(flags))
}

/// An address where nobody listens, until the listener is dropped and afterwards most likely.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn asked(command: &str, words: &[&str]) -> Said {
    run(turnstile(&[command]).args(words))
}

/// The cells of the line that has this address.
fn row(said: &Said, address: &str) -> Vec<String> {
    let line = said.stdout.lines().find(|line| line.contains(address)).unwrap_or_else(|| panic!("{address}: {}", said.stdout));
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_node_that_stands_alone_leads_itself() {
    let node = alone(&[]);
    let said = asked("status", &["--node", &node.address]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
    assert_eq!(row(&said, &node.address)[..3], [node.node.as_str(), &node.address, "leader"]);
    assert!(
        said.stdout.lines().last().unwrap().ends_with(": 1 of 1 replicas are in, 1 of them voters, 0 connections tracked"),
        "{}",
        said.stdout
    );

    let said = run(turnstile(&["status", "--json"]).env("TURNSTILE_NODES", &node.address));
    let status: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.code, &status["nodes"][0]["role"]), (Some(0), &"leader".into()));
    assert_eq!(status["clusters"][0]["leader"], node.node.as_str());
    assert_eq!(status["clusters"][0]["members"], serde_json::json!([node.node]));
}

#[test]
fn a_node_that_cannot_be_reached_has_a_row_with_the_reason() {
    let node = alone(&[]);
    // Taken and not answered; then free, and refused.
    let (listener, address) = silent();
    let hangs = asked("status", &["--node", &node.address, "--node", &address]);
    assert_eq!(hangs.code, Some(1));
    assert_eq!(row(&hangs, &address)[1..], [address.as_str(), "unreachable", "no", "answer", "within", "2s"]);
    assert_eq!(row(&hangs, &node.address)[2], "leader");
    drop(listener);
    let nodes = format!("{},{address}", node.address);
    let gone = asked("status", &["--json", "--node", &nodes]);
    let status: Value = serde_json::from_str(&gone.stdout).unwrap();
    assert_eq!((gone.code, &status["nodes"][1]["role"]), (Some(1), &"unreachable".into()));
    assert_eq!(status["nodes"][1]["reason"], "Connection refused (os error 111)");
    assert_eq!(asked("status", &["--node", &address]).code, Some(1), "nobody leads");
}

#[test]
fn the_owner_of_a_connection_is_told_with_its_address() {
    let node = alone(&[]);
    let said = asked("owner", &["slack", "acme", "--node", &node.address]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let place = format!("node {} at {}, shard ", node.node, node.address);
    assert!(said.stdout.starts_with(&place), "{}", said.stdout);
    let owner: Value =
        serde_json::from_str(&asked("owner", &["slack", "acme", "--json", "--node", &node.address]).stdout).unwrap();
    assert_eq!((&owner["node"], &owner["address"]), (&node.node.as_str().into(), &node.address.as_str().into()));
    assert!(said.stdout.ends_with(&format!("shard {}\n", owner["shard"])));

    let nameless = asked("owner", &["slack", "", "--node", &node.address]);
    assert_eq!(nameless.code, Some(1));
    let reason = format!("turnstile: {}: key.connection: connection is empty: it takes 1 to 256 bytes of UTF-8\n", node.address);
    assert_eq!(nameless.stderr, reason);
}

#[test]
fn peers_are_refused_only_by_nodes_that_were_started_for_it() {
    let node = alone(&[]);
    let said = asked("refuse-peers", &["--node", &node.address, "0123456789abcdef"]);
    let reason = "fault injection is not enabled at this node (enable_fault_injection)";
    assert_eq!((said.code, said.stderr), (Some(1), format!("turnstile: {}: {reason}\n", node.address)));
    let node = alone(&["--enable-fault-injection"]);
    let said = asked("refuse-peers", &["--node", &node.address]);
    let reason = "the node has no peers: it is no part of a cluster";
    assert_eq!((said.code, said.stderr), (Some(1), format!("turnstile: {}: {reason}\n", node.address)));
    let said = asked("refuse-peers", &["--node", &node.address, "acme"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("a node's id is 16 hexadecimal digits"), "{}", said.stderr);
}

#[test]
fn addresses_that_are_none_are_refused_by_flag_and_by_variable() {
    let flag = asked("status", &["--node", "localhost"]);
    assert_eq!(flag.code, Some(2));
    assert!(flag.stderr.contains("it must be a host and a port"), "{}", flag.stderr);
    let variable = run(turnstile(&["status"]).env("TURNSTILE_NODES", "127.0.0.1:7878,x"));
    let rule = "each must be a host and a port, such as 127.0.0.1:7878, separated by commas";
    assert_eq!((variable.code, variable.stderr), (Some(2), format!("turnstile: TURNSTILE_NODES has \"x\"; {rule}\n")));
}
