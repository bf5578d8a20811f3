//! Nodes that can't or must not become part of a cluster: whoever starts them is told why, and the cluster goes on.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use turnstile::{Node, StartError};

use crate::judge::{COUNT, QUIET, WINDOW, cluster};
use crate::process::Worker;
use crate::support::{config, connection, free_addresses, soon, start};

/// `turnstile node`, which logs; killed when it is dropped.
struct Started {
    process: Child,
    log: Receiver<String>,
}

impl Started {
    /// The node at `addresses[index]` on this directory.
    fn on(data: &Path, addresses: &[SocketAddr], index: usize) -> Self {
        let peers: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnstile"));
        command.args(["node", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.args(["--peer-listen", &peers[index], "--peers", &peers.join(",")]);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, log) = channel();
        let (stdout, stderr) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
        let send = move |line: String| sender.send(line).ok();
        let also = send.clone();
        // It says on its standard output that it serves.
        std::thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(also));
        std::thread::spawn(move || BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(send));
        Self { process, log }
    }

    /// The line that says all of this; fails when it says before that it serves.
    fn says(&self, words: &[&str]) -> String {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let line = self.log.recv_timeout(until.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|error| panic!("{words:?} is not said: {error}"));
            assert!(!line.contains("serving") && !line.contains("\"listening\""), "it serves: {line}");
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Waits until a node says all of this about the address of another.
fn until_troubled(worker: &mut Worker, address: SocketAddr, words: &[&str]) {
    let began = Instant::now();
    loop {
        let trouble = worker.ask(&format!("trouble {address}"), "trouble");
        if words.iter().all(|word| trouble.contains(word)) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{words:?} is not said, but: {trouble}");
    }
}

/// Everybody at these is served, for connections of all owners.
fn all_serve(workers: &mut [Worker], round: &str) {
    for worker in workers.iter_mut() {
        (0..6).for_each(|name| worker.order(&format!("load {round}-{}-{name} {COUNT} {} 0 5", worker.index, WINDOW.as_millis())));
    }
    for worker in workers {
        assert_eq!(worker.starts(30, QUIET).len(), 30, "everyone is served");
    }
}

async fn serve(nodes: &[Node]) {
    for (number, node) in nodes.iter().enumerate() {
        for name in 0..6 {
            let connection = connection(&format!("{number}-{name}"), 1, Duration::from_secs(1));
            drop(soon(node.throttler().acquire(&connection)).await.unwrap());
        }
    }
}

async fn end(nodes: Vec<Node>) {
    for node in nodes {
        soon(node.shutdown()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_for_peers_that_is_in_use_is_refused_by_name_and_its_node_goes_on() {
    let (home, addresses) = (tempfile::tempdir().unwrap(), free_addresses(3));
    let nodes = start(home.path(), &addresses).await;
    let another = tempfile::tempdir().unwrap();
    let refused = soon(Node::start(config(another.path(), &addresses, 1))).await.unwrap_err();
    assert!(matches!(refused, StartError::Listen(_)), "{refused:?}");
    let reason = format!("this node's peers could not reach it: {}: Address already in use (os error 98)", addresses[1]);
    assert_eq!(refused.to_string(), reason);
    serve(&nodes).await;
    end(nodes).await;
}

/// A directory of a node of another cluster, and the id of that.
fn foreign_directory(home: &Path) -> (PathBuf, String) {
    let (mut workers, ..) = cluster(home);
    let id = workers[2].ask("cluster", "cluster");
    (home.join("node-2"), id)
}

#[test]
fn a_directory_of_another_cluster_is_refused_with_both_ids_on_both_sides_and_the_others_go_on() {
    let (home, other_home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (data, foreign) = foreign_directory(other_home.path());
    let (mut workers, _, addresses) = cluster(home.path());
    let own = workers[0].ask("cluster", "cluster");
    drop(workers.pop().unwrap().leave());
    let started = Started::on(&data, &addresses, 2);
    let both = [format!("cluster {foreign}"), format!("cluster {own}")];
    let both = [both[0].as_str(), both[1].as_str()];
    println!("{}", started.says(&both));
    for worker in &mut workers {
        until_troubled(worker, addresses[2], &both);
    }
    all_serve(&mut workers, "others");
}

#[test]
fn a_copied_directory_is_refused_by_the_node_it_was_copied_from_and_the_cluster_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let (mut workers, ids, addresses) = cluster(home.path());
    all_serve(&mut workers, "before");
    // The machine of node 2 comes back with a copy of the disk of node 1.
    drop(workers.pop().unwrap().leave());
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(home.path().join("node-1")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let started = Started::on(copy.path(), &addresses, 2);
    println!("{}", started.says(&[&format!("node {} is this one", ids[1]), "another process uses its id"]));
    let began = Instant::now();
    for round in 0.. {
        all_serve(&mut workers, &format!("after-{round}"));
        if began.elapsed() > Duration::from_secs(5) {
            break;
        }
    }
    drop(started);
}
