//! A cluster of processes that are killed when they are dropped.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The binary, with none of our variables from outside.
pub(crate) fn turnstile() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnstile"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TURNSTILE_") {
            command.env_remove(name);
        }
    }
    command
}

/// A node that serves.
pub(crate) struct Process {
    child: Child,
    pub(crate) node: String,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Waits until the node says that it serves.
    pub(crate) fn ready(mut child: Child) -> Self {
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("the node did not start: {error}: {line:?}"));
        let address = ready["listening"].as_str().unwrap().parse().unwrap();
        Self { child, node: ready["node"].as_str().unwrap().to_owned(), address }
    }

    /// A node by itself, which remembers nothing.
    pub(crate) fn alone() -> Self {
        let mut command = turnstile();
        command.args(["node", "--memory", "--listen", "127.0.0.1:0", "--log", "warn"]);
        Self::ready(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Starts so many nodes, which form one cluster.
pub(crate) fn cluster(home: &Path, count: usize) -> Vec<Process> {
    let free: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let peers: Vec<String> = free.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
    drop(free);
    let spawn = |(number, peer): (usize, &String)| {
        let mut command = turnstile();
        command.args(["node", "--listen", "127.0.0.1:0", "--cold-start-hold", "0s", "--log", "warn", "--data"]);
        command.arg(home.join(number.to_string())).args(["--peer-listen", peer, "--peers", &peers.join(",")]);
        command.args(["--expect", &count.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<Child> = peers.iter().enumerate().map(spawn).collect();
    children.into_iter().map(Process::ready).collect()
}
