//! How consensus reaches other nodes, whoever carries it there.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use thiserror::Error;

use crate::engine::grant::NodeId;

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// Raft's own messages.
    Raft,
    /// A command for the leader's committer.
    Commit,
    /// One of the messages by which a cluster is founded.
    Found,
    /// Stand for election now.
    Stand,
    /// How are your connections, and which limits rule?
    Ask,
}

/// Why a call was not answered. It may have been heard all the same.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("node {node} did not answer: {reason}")]
pub(crate) struct Unreachable {
    /// Who was called.
    pub node: NodeId,
    /// What went wrong.
    pub reason: String,
}

/// What a call comes to.
pub(crate) type Called<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, Unreachable>> + Send + 'a>>;

/// The way to the other nodes of the cluster. Bodies are encoded and decoded at its ends.
pub(crate) trait Transport: Debug + Send + Sync + 'static {
    /// Has a node answer a call.
    fn call(&self, to: NodeId, call: Call, body: Vec<u8>, within: Duration) -> Called<'_>;

    /// Who leads, as far as others have said.
    fn leader(&self) -> Option<NodeId> {
        None
    }
}

/// The transport of a node that has nobody to talk to.
#[derive(Debug)]
pub(crate) struct Alone;

impl Transport for Alone {
    fn call(&self, to: NodeId, _: Call, _: Vec<u8>, _: Duration) -> Called<'_> {
        Box::pin(async move { Err(Unreachable { node: to, reason: "this node has no peers".to_owned() }) })
    }
}
