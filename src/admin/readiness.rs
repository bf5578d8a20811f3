//! Whether callers should be sent to a node.

use std::time::Duration;

use thiserror::Error;

use super::Admin;
use crate::engine::membership::THERE_WITHIN;

/// How long ago a majority may have been in touch: an election is over by then, and so is the move of connections from a node that died.
const IN_TOUCH_WITHIN: Duration = THERE_WITHIN.saturating_mul(2);

/// Why callers should go to another node.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotReady {
    /// It serves nobody any more.
    #[error("the node has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// It leaves its cluster, and its process ends.
    #[error("the node is being drained")]
    Draining,
    /// Acquires wait until somebody owns their connections.
    #[error("no node of the cluster owns connections, as far as this one knows")]
    NoOwner,
    /// Nothing can be granted that this node would hear of.
    #[error("no majority of the cluster's voters has been in touch with this node within {IN_TOUCH_WITHIN:?}")]
    NoQuorum,
}

impl Admin {
    /// Whether the node can serve its callers: it runs and stays, knows who owns connections, and a majority of the voters was in touch with it lately, by way of the
    /// leader or of another node.
    ///
    /// # Errors
    /// [`NotReady`].
    pub fn ready(&self) -> Result<(), NotReady> {
        if let Some(reason) = self.stopped.borrow().as_deref() {
            return Err(NotReady::Stopped { reason: reason.to_owned() });
        }
        if self.peers.as_ref().is_some_and(crate::peers::Peers::goes) {
            return Err(NotReady::Draining);
        }
        if self.consensus.ledger().ring().borrow().members().is_empty() {
            return Err(NotReady::NoOwner);
        }
        let is_in_touch = match &self.peers {
            Some(peers) => peers.since_in_touch().is_some_and(|since| since < IN_TOUCH_WITHIN),
            // Its own disk is the majority.
            None => self.consensus.standing().is_leader,
        };
        if is_in_touch { Ok(()) } else { Err(NotReady::NoQuorum) }
    }
}
