//! How a node and its cluster are, as it travels.

use crate::admin::Status;
use crate::engine::grant::NodeId;
use crate::engine::membership::Role;
use crate::peers::PeerReport;
use crate::wire::fields::to_span;
use crate::wire::v1;

/// How things stand, as it travels.
pub(super) fn to_status(status: Status) -> v1::GetStatusResponse {
    let ids = |nodes: std::collections::BTreeSet<NodeId>| nodes.iter().map(NodeId::to_string).collect();
    v1::GetStatusResponse {
        node: status.node.to_string(),
        cluster: status.cluster,
        term: status.term,
        epoch: status.epoch,
        leader: status.leader.as_ref().map(NodeId::to_string),
        is_leader: status.is_leader,
        since_quorum: status.since_quorum.map(to_span),
        voters: ids(status.voters),
        members: ids(status.members),
        last_log_index: status.last_log_index,
        applied_index: status.applied_index,
        tracked: count(status.tracked),
        connections: count(status.connections),
        waiters: count(status.waiters),
        peers: status.peers.into_iter().map(to_peer).collect(),
        role: to_role(status.role).into(),
        spares: ids(status.spares),
        level: status.level,
        newest_level: status.newest_level,
        release: status.release.to_owned(),
    }
}

const fn to_role(role: Role) -> v1::Role {
    match role {
        Role::Voter => v1::Role::Voter,
        Role::Spare => v1::Role::Spare,
        Role::Observer => v1::Role::Observer,
    }
}

fn to_peer(peer: PeerReport) -> v1::Peer {
    v1::Peer {
        address: peer.address,
        node: peer.node.as_ref().map(NodeId::to_string),
        silent_for: peer.silent_for.map(to_span),
        trouble: peer.trouble,
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
