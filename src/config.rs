//! What a node is started with.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use crate::discovery::{Discovery, PeerSource};
use crate::engine::grant::NodeId;

/// Where a node keeps its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// Nowhere: for tests, demos, and limits that may be forgotten with the process.
    Memory,
    /// In this directory, which belongs to one node for life.
    Disk(PathBuf),
}

/// The cluster that a node is part of: several voters, and where they may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Where this node serves the others. Nobody else should reach it: there is no authentication.
    pub listen: SocketAddr,
    /// Where the others reach this node, `host:port`, if that is not where it listens: behind a port that is mapped, or by a name. `None` for the address that it
    /// listens on; for one of all interfaces, that from which its greetings come.
    pub advertise: Option<String>,
    /// Where the nodes are, or may be; this node's own address may be among them, so that all nodes can have the same list.
    pub peers: Vec<PeerSource>,
    /// The name server that is asked about names among them; `None` for those of the system.
    pub nameserver: Option<SocketAddr>,
    /// How many nodes without a log must see each other before they found a cluster: more than half of those that may ever start together, or
    /// two clusters could come of them. All of them is the safe answer.
    pub expect: NonZeroUsize,
    /// How long those who found the cluster hold each connection back, for they may follow another cluster that has just granted: for the connection's
    /// longest window, and at most for this long. Limits of longer windows hold from one window after the founding on. `turnstile node` takes 60 s; zero
    /// is for tests, and for clusters that follow nobody.
    pub cold_start_hold: Duration,
}

impl ClusterConfig {
    /// What this node tells others of where it is.
    pub(crate) fn listens_at(&self) -> String {
        self.advertise.clone().unwrap_or_else(|| self.listen.to_string())
    }

    /// Where this node looks for others.
    pub(crate) fn discovery(&self) -> Discovery {
        Discovery::new(self.peers.clone(), self.nameserver)
    }
}

/// The configuration of a node. Every field has a default that needs no thought.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeConfig {
    /// Where the log is kept.
    pub storage: Storage,
    /// The node that the directory must belong to, if that matters, or the id of a node in memory; any by default.
    pub expected_node: Option<NodeId>,
    /// How many owning actors share the node's connections; one for each core by default, at most 8.
    pub shards: NonZeroU16,
    /// The most acquires that may wait for one connection; 100,000 by default, about 2 KB each with its caller's task.
    pub max_waiters_per_connection: usize,
    /// The most connections with waiters here, and the most with a window that isn't empty in the whole cluster, for every node remembers those;
    /// 1,000,000 by default, about 2.5 KB each. At either, who calls another one is refused.
    pub max_connections: usize,
    /// The most acquires of this node that have begun and not ended: waiting, or with a permit in use. 250,000 by default.
    pub max_in_flight: usize,
    /// The cluster that it is part of; `None`, the default, for a node by itself.
    pub cluster: Option<ClusterConfig>,
    /// Whether an acquire is refused when its limits differ from those in force; by default the strictest stated rule.
    pub strict_limits: bool,
}

impl NodeConfig {
    /// A node whose log is lost with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::new(Storage::Memory)
    }

    /// A node whose log is in `directory`, which is made if it doesn't exist.
    #[must_use]
    pub fn on_disk(directory: impl Into<PathBuf>) -> Self {
        Self::new(Storage::Disk(directory.into()))
    }

    fn new(storage: Storage) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8));
        Self {
            storage,
            expected_node: None,
            shards: u16::try_from(cores).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN),
            max_waiters_per_connection: 100_000,
            max_connections: 1_000_000,
            max_in_flight: 250_000,
            cluster: None,
            strict_limits: false,
        }
    }
}
