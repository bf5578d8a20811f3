//! Who speaks: what every message between nodes is checked for.

use std::num::NonZeroU64;

use tonic::Status;

use super::{OLDEST_PROTOCOL, PROTOCOL, Peers, copies};
use crate::engine::grant::{ClusterId, Incarnation, NodeId};
use crate::wire::v1;

/// Who speaks, as far as it was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Speaker {
    /// This run of this node.
    pub(super) by: Incarnation,
    pub(super) cluster: ClusterId,
    pub(super) is_bound: bool,
}

impl Peers {
    /// Who has sent a message, if it may speak to this node at all.
    ///
    /// # Errors
    /// A status that names what is wrong with it.
    pub(super) fn check(&self, sender: Option<&v1::Sender>) -> Result<Speaker, Status> {
        let speaker = self.identify(sender)?;
        let links = self.links();
        let is_copy = links.iter().any(|link| link.copy() == Some(speaker.by));
        if is_copy || copies::has_rival(&links, speaker.by, self.shared.clock.now()) {
            let node = speaker.by.node;
            return Err(Status::failed_precondition(format!("another process uses the id of node {node}: this one is refused")));
        }
        Ok(speaker)
    }

    /// The same, whether or not another process uses its id.
    ///
    /// # Errors
    /// A status that names what is wrong with it.
    pub(super) fn identify(&self, sender: Option<&v1::Sender>) -> Result<Speaker, Status> {
        let sender = sender.ok_or_else(|| Status::invalid_argument("sender: is not set: it is required"))?;
        check_protocol(sender)?;
        let cluster = <[u8; 16]>::try_from(sender.cluster.as_slice()).map_err(|_| {
            Status::invalid_argument(format!("sender.cluster: has {} bytes: a cluster id takes 16", sender.cluster.len()))
        })?;
        let cluster = ClusterId(u128::from_be_bytes(cluster));
        let (node, own) = (NodeId::new(sender.node), self.shared.own);
        if node == own.node && sender.run != own.run.get() {
            tracing::error!(%node, "another process uses this node's id: its data directory was copied");
            return Err(Status::failed_precondition(format!("node {node} is this one: another process uses its id")));
        }
        if sender.to != 0 && sender.to != own.node.get() {
            let (meant, found) = (NodeId::new(sender.to), own.node);
            return Err(Status::failed_precondition(format!("node {meant} is meant; this is node {found}")));
        }
        let own_cluster = self.shared.belonging.cluster();
        if sender.is_bound && self.shared.belonging.is_bound() && cluster != own_cluster {
            let rule = format!("node {node} belongs to cluster {cluster}, this node to cluster {own_cluster}");
            return Err(Status::failed_precondition(rule));
        }
        if self.is_refused(node) {
            return Err(Status::unavailable(format!("node {node} is refused here, by fault injection")));
        }
        let run = NonZeroU64::new(sender.run).ok_or_else(|| Status::invalid_argument("sender.run: is 0: no run is"))?;
        Ok(Speaker { by: Incarnation { node, run }, cluster, is_bound: sender.is_bound })
    }

    /// The same for a message that only members of this node's own cluster may send.
    ///
    /// # Errors
    /// A status that names what is wrong with it.
    pub(super) fn check_member(&self, sender: Option<&v1::Sender>) -> Result<Speaker, Status> {
        let speaker = self.check(sender)?;
        if !(speaker.is_bound && self.shared.belonging.is_bound()) {
            return Err(Status::failed_precondition(format!("node {} and this one are not of one cluster yet", speaker.by.node)));
        }
        Ok(speaker)
    }
}

/// Whether there is a version of the protocol that both speak.
fn check_protocol(sender: &v1::Sender) -> Result<(), Status> {
    let (newest, oldest) = (sender.protocol, sender.oldest_protocol.unwrap_or(sender.protocol));
    if newest >= OLDEST_PROTOCOL && oldest <= PROTOCOL {
        return Ok(());
    }
    let rule = format!(
        "the sender speaks versions {oldest} to {newest} of the nodes' protocol; this node speaks versions {OLDEST_PROTOCOL} to {PROTOCOL}"
    );
    Err(Status::failed_precondition(rule))
}
