//! The nodes of the demo: a cluster of processes on this machine, each a `turnstile node` on a disk of its own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use futures_util::future::{join_all, select_all, try_join_all};

use super::child::{ChildError, ChildProcess};
use crate::cli::connections::ConnectionSpec;
use crate::cli::node::Ready;
use crate::cli::operate;
use crate::wire::v1;

/// Why the cluster is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// There are no free ports.
    #[error("cannot find a free port for a node")]
    Port {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A node isn't.
    #[error(transparent)]
    Process(#[from] ChildError),
    /// No node says who leads or who owns.
    #[error("the cluster does not say who is to be killed: {reason}")]
    Silent {
        /// What it said.
        reason: String,
    },
}

/// One node. `process` is `None` once it was killed.
#[derive(Debug)]
struct NodeProcess {
    id: String,
    address: SocketAddr,
    process: Option<ChildProcess>,
}

/// A running cluster. Dropping it kills its nodes.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<NodeProcess>,
}

impl Cluster {
    /// Starts so many nodes, their data in this folder, and waits until all serve.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(crate) async fn start(nodes: u32, folder: &Path) -> Result<Self, ClusterError> {
        let peers = free_ports(nodes).map_err(|source| ClusterError::Port { source })?;
        let list = peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let start = |(number, peer): (usize, &SocketAddr)| {
            let who = format!("node {number}");
            let data = folder.join(format!("node-{number}")).display().to_string();
            let flags = [
                ("data", data),
                ("listen", "127.0.0.1:0".to_owned()),
                ("peer-listen", peer.to_string()),
                ("peers", list.clone()),
                ("cold-start-hold", "0s".to_owned()),
            ];
            let mut arguments = vec!["node".to_owned(), "--until-input-ends".to_owned()];
            arguments.extend(flags.into_iter().map(|(name, value)| format!("--{name}={value}")));
            let process = ChildProcess::start(&who, folder, &arguments);
            async move {
                let mut process = process?;
                let Ready { node, listening } = process.ready().await?;
                Ok(NodeProcess { id: node, address: listening, process: Some(process) })
            }
        };
        let nodes = try_join_all((1..).zip(&peers).map(start)).await.map_err(|error: ChildError| error)?;
        Ok(Self { nodes })
    }

    /// Where the nodes are called, also those that were killed.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address.to_string()).collect()
    }

    /// Who owns each of these connections: the number of a node, from 1.
    ///
    /// # Errors
    /// [`ClusterError::Silent`].
    pub(crate) async fn owners(&self, specs: &[ConnectionSpec]) -> Result<Vec<usize>, ClusterError> {
        let owner = async |spec: &ConnectionSpec| {
            let key = v1::ConnectionKey { platform: spec.platform.clone(), connection: spec.connection.clone() };
            let answers = operate::owners(&self.addresses(), key).await;
            self.first(answers.into_iter().map(|answer| answer.map(|owner| owner.node)))
        };
        try_join_all(specs.iter().map(owner)).await
    }

    /// Who leads: the number of a node, from 1.
    ///
    /// # Errors
    /// [`ClusterError::Silent`].
    pub(crate) async fn leader(&self) -> Result<usize, ClusterError> {
        let answers = operate::statuses(&self.addresses()).await;
        let leader = |status: v1::GetStatusResponse| status.leader.ok_or_else(|| "nobody leads".to_owned());
        self.first(answers.into_iter().map(|answer| answer.and_then(leader)))
    }

    /// The number of the first node that is named; otherwise what was said first.
    fn first(&self, mut named: impl Iterator<Item = Result<String, String>> + Clone) -> Result<usize, ClusterError> {
        let reason = named.clone().find_map(Result::err).unwrap_or_else(|| "it names a node that is none of its own".to_owned());
        let number = |id: String| (1..).zip(&self.nodes).find(|(_, node)| node.id == id).map(|(number, _)| number);
        named.find_map(|answer| answer.ok().and_then(number)).ok_or(ClusterError::Silent { reason })
    }

    /// Kills the node of this number, from 1, without a warning.
    ///
    /// # Errors
    /// [`ClusterError::Process`] when the system refuses.
    pub(crate) async fn kill(&mut self, number: usize) -> Result<(), ClusterError> {
        let node = number.checked_sub(1).and_then(|place| self.nodes.get_mut(place));
        if let Some(mut process) = node.and_then(|node| node.process.take()) {
            process.kill().await?;
        }
        Ok(())
    }

    /// Returns when a node has ended that nobody has killed. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> ClusterError {
        let running = self.nodes.iter_mut().filter_map(|node| node.process.as_mut());
        let (error, ..) = select_all(running.map(|process| Box::pin(process.ended()))).await;
        error.into()
    }

    /// Ends all nodes at once.
    pub(crate) async fn stop(self) {
        join_all(self.nodes.into_iter().filter_map(|node| node.process).map(ChildProcess::stop)).await;
    }
}

/// Addresses of this machine that nobody listens on. Another process may take one before its node does: then the node says so.
fn free_ports(count: u32) -> io::Result<Vec<SocketAddr>> {
    let listeners = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<io::Result<Vec<_>>>()?;
    listeners.iter().map(TcpListener::local_addr).collect()
}
