//! The way of a command to the leader's committer, wherever that is.

use std::sync::Arc;
use std::time::Duration;

use super::committer::{CommitError, Committer};
use super::transport::{Call, Transport};
use super::types::Raft;
use crate::engine::grant::NodeId;
use crate::engine::ledger::{Answer, Command};
use crate::wire::codec;

/// How long another node's answer is waited for. A disk that takes 200 ms for each sync is slow, but well.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// Submits commands: here while this node leads, and at the leader otherwise.
#[derive(Clone)]
pub(crate) struct Submitter {
    node: NodeId,
    raft: Raft,
    committer: Committer,
    transport: Arc<dyn Transport>,
}

impl std::fmt::Debug for Submitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submitter").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Submitter {
    pub(super) const fn new(node: NodeId, raft: Raft, committer: Committer, transport: Arc<dyn Transport>) -> Self {
        Self { node, raft, committer, transport }
    }

    /// Has a command committed, and answers when the leader has applied it.
    ///
    /// # Errors
    /// [`CommitError`]; the command may have been committed all the same.
    pub(crate) async fn submit(&self, command: &Command) -> Result<Answer, CommitError> {
        let leader = self.raft.metrics().borrow().current_leader.map(NodeId::new);
        // A node that has no log knows it from others only.
        let leader = leader.or_else(|| self.transport.leader());
        match leader {
            Some(leader) if leader != self.node => self.forward(leader, command).await,
            Some(_) | None => self.committer.submit(command.clone()).await,
        }
    }

    async fn forward(&self, leader: NodeId, command: &Command) -> Result<Answer, CommitError> {
        let lost = || CommitError::NotLeader { leader: Some(leader) };
        let body = codec::encode(command).map_err(|error| CommitError::Stopped { reason: error.to_string() })?;
        let mut metrics = self.raft.server_metrics();
        let known = metrics.borrow().current_leader;
        let another_leads = metrics.wait_for(|server| server.current_leader != known);
        let answer = tokio::select! {
            answer = self.transport.call(leader, Call::Commit, body, ANSWERED_WITHIN) => answer,
            // A leader that was stopped answers nobody, and nobody waits for it once there is another.
            _ = another_leads => return Err(lost()),
        };
        match answer {
            Ok(body) => codec::decode::<Result<Answer, CommitError>>(&body).unwrap_or_else(|error| {
                tracing::warn!(%leader, %error, "the leader's answer does not decode");
                Err(lost())
            }),
            Err(error) => {
                tracing::debug!(%error, "a command was not answered");
                Err(lost())
            }
        }
    }

    /// Has this node's committer answer what another node has forwarded.
    ///
    /// # Errors
    /// [`codec::CodecError`] when the bytes are no command.
    pub(crate) async fn answer(&self, body: &[u8]) -> Result<Vec<u8>, codec::CodecError> {
        let command = codec::decode::<Command>(body)?;
        // Only once: a command that goes in circles would keep two nodes busy that both take the other for the leader.
        let answer = match self.committer.submit(command).await {
            // The other node goes on when this one has stopped.
            Err(CommitError::Stopped { .. }) => Err(CommitError::NotLeader { leader: None }),
            answer => answer,
        };
        codec::encode(&answer)
    }
}
