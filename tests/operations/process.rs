//! Nodes of one cluster, a process each, that never outlive their test.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::client::{Scrape, eventually, get};

/// Nodes that know where the others are; each by its index, from 0 on.
pub(crate) struct Cluster {
    home: TempDir,
    /// Where each serves.
    pub(crate) addresses: Vec<SocketAddr>,
    peers: Vec<SocketAddr>,
    running: Vec<Option<Running>>,
}

impl Cluster {
    /// Places for so many nodes, none of which runs.
    pub(crate) fn of(count: usize) -> Self {
        let addresses = free_addresses(2 * count);
        let (addresses, peers) = addresses.split_at(count);
        let running = (0..count).map(|_| None).collect();
        Self { home: tempfile::tempdir().unwrap(), addresses: addresses.to_vec(), peers: peers.to_vec(), running }
    }

    /// Nodes that all serve, and know of each other.
    pub(crate) async fn started(count: usize) -> Self {
        let mut cluster = Self::of(count);
        (0..count).for_each(|index| cluster.start(index));
        cluster.until_all_are_in().await;
        cluster
    }

    /// Starts a node, on the data that it had if it ran before.
    pub(crate) fn start(&mut self, index: usize) {
        let mut command = turnstile(&["node", "--log-format", "json", "--cold-start-hold", "0s", "--until-input-ends"]);
        let peers: Vec<String> = self.peers.iter().map(ToString::to_string).collect();
        command.arg("--data").arg(self.home.path().join(index.to_string()));
        command.args([
            "--listen",
            &self.addresses[index].to_string(),
            "--peer-listen",
            &peers[index],
            "--peers",
            &peers.join(","),
        ]);
        let log = File::options().create(true).append(true).open(self.log(index)).unwrap();
        self.running[index] = Some(Running(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn().unwrap()));
    }

    /// Waits until each is ready and hears all others.
    pub(crate) async fn until_all_are_in(&self) {
        let others = u32::try_from(self.addresses.len()).unwrap() - 1;
        for &address in &self.addresses {
            eventually("the node is ready, and hears all others", || async {
                is_up(address).await
                    && get(address, "/readyz").await.status == 200
                    && Scrape::of(address).await.value("turnstile_peers{state=\"reachable\"}") == f64::from(others)
            })
            .await;
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, index: usize) {
        drop(self.running[index].take());
    }

    /// Asks a node to end, and waits until it has.
    pub(crate) async fn end(&mut self, index: usize) {
        let mut running = self.running[index].take().unwrap();
        drop(running.0.stdin.take());
        let running = std::cell::RefCell::new(running);
        eventually("the node ends", || async { running.borrow_mut().0.try_wait().unwrap().is_some() }).await;
    }

    fn log(&self, index: usize) -> PathBuf {
        self.home.path().join(format!("{index}.log"))
    }

    /// All that a node has logged.
    pub(crate) fn logged(&self, index: usize) -> String {
        std::fs::read_to_string(self.log(index)).unwrap()
    }
}

/// Whether anybody listens there.
pub(crate) async fn is_up(address: SocketAddr) -> bool {
    tokio::net::TcpStream::connect(address).await.is_ok()
}

/// The binary with these words, and none of our variables from outside.
fn turnstile(words: &[&str]) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_turnstile")));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TURNSTILE_")) {
        command.env_remove(name);
    }
    command.args(words);
    command
}

/// Addresses that were free a moment ago.
fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let listeners: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap()).collect()
}

/// Ends its process when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
