//! How connections are: of the whole cluster, whichever node is asked.

use futures_util::future::join_all;

use super::{ANSWERS_WITHIN, Admin, AdminError};
use crate::engine::grant::{NodeId, ShardId};
use crate::engine::key::ConnectionKey;
use crate::engine::shard::ConnectionReport;
use crate::owner::{Question, Told};

/// Nobody has answered who could.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfReach;

/// The busiest connections of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Busiest {
    /// The busiest first, each with the node that owns it.
    pub connections: Vec<(NodeId, ConnectionReport)>,
    /// The owners that have not answered within a second: what is theirs is missing.
    pub missing: Vec<NodeId>,
}

impl Admin {
    /// The busiest connections of all nodes: those with the most waiters first, then those with the fullest limits. Nodes look at
    /// a few at a time: one may be missed while others come and go.
    pub async fn busiest(&self, top: usize) -> Busiest {
        let owners: Vec<NodeId> = self.consensus.ledger().ring().borrow().members().keys().copied().collect();
        let answers = owners.iter().map(|&node| async move { (node, self.ask(node, Question::Busiest(top)).await) });
        let mut busiest = Busiest::default();
        for (node, answer) in join_all(answers).await {
            match answer {
                Ok(Told::Connections(found)) => busiest.connections.extend(found.into_iter().map(|report| (node, report))),
                Ok(Told::Policies(_)) | Err(OutOfReach) => busiest.missing.push(node),
            }
        }
        busiest.connections.sort_by_cached_key(|(_, report)| report.rank());
        busiest.connections.truncate(top);
        busiest
    }

    /// How a connection is, and which node owns it. One that nobody uses is empty.
    ///
    /// # Errors
    /// [`AdminError::NoQuorum`] when nobody owns it, or its owner does not answer.
    pub async fn connection(&self, key: &ConnectionKey) -> Result<(NodeId, ConnectionReport), AdminError> {
        let out_of_reach = |_| AdminError::NoQuorum { waited: ANSWERS_WITHIN };
        let owner = self.consensus.ledger().ring().borrow().owner(key);
        let ShardId { node, .. } = owner.ok_or(OutOfReach).map_err(out_of_reach)?;
        let found = match self.ask(node, Question::Connection(key.clone())).await.map_err(out_of_reach)? {
            Told::Connections(mut found) => found.pop(),
            Told::Policies(_) => None,
        };
        Ok((node, found.unwrap_or_else(|| ConnectionReport::unused(key.clone()))))
    }

    /// What a node says, which may be this one.
    async fn ask(&self, node: NodeId, question: Question) -> Result<Told, OutOfReach> {
        if node == self.consensus.node() {
            return Ok(self.informant.tell(question).await);
        }
        let peers = self.peers.as_ref().ok_or(OutOfReach)?;
        peers.ask(node, &question).await.map_err(|error| {
            tracing::debug!(%error, "a question was not answered");
            OutOfReach
        })
    }

    /// What this node says if it has the log, or the first of those who do.
    pub(super) async fn ask_a_replica(&self, question: Question) -> Result<Told, OutOfReach> {
        let ring = self.consensus.ledger().ring().borrow().clone();
        if self.peers.is_none() || ring.has(self.consensus.node()) {
            return Ok(self.informant.tell(question).await);
        }
        for node in ring.members().keys() {
            if let Ok(told) = self.ask(*node, question.clone()).await {
                return Ok(told);
            }
        }
        Err(OutOfReach)
    }
}
