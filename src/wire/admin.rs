//! What an operator asks and is told, as the node's types.
//!
//! Promises: what comes from outside is parsed here, once; what doesn't parse is named by its field, with its value and the rule.

use std::time::Duration;

use super::fields::{BadField, span, to_span};
use super::v1;
use crate::admin::Status;
use crate::engine::grant::NodeId;
use crate::engine::membership::Role;
use crate::peers::PeerReport;

/// The most nodes that are refused at once: far more than a cluster has.
const MAX_REFUSED: usize = 1_000;

/// The longest that a drain may take.
const LONGEST_DRAIN: Duration = Duration::from_secs(3600);

/// How things stand, as it travels.
pub(crate) fn to_status(status: Status) -> v1::GetStatusResponse {
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

/// Parses how long a drain may take.
///
/// # Errors
/// When that is missing, negative, or longer than [`LONGEST_DRAIN`].
pub(crate) fn drains_within(request: v1::DrainRequest) -> Result<Duration, BadField> {
    let within = request.within.ok_or_else(|| BadField::new("within", "is not set: it is required"))?;
    let within = span("within", within)?;
    if within > LONGEST_DRAIN {
        return Err(BadField::new("within", format!("is {within:?}: it may be at most {LONGEST_DRAIN:?}")));
    }
    Ok(within)
}

/// Parses the ids of nodes.
///
/// # Errors
/// The first that is none, or the list when it is too long.
pub(crate) fn nodes(field: &str, ids: &[String]) -> Result<Vec<NodeId>, BadField> {
    if ids.len() > MAX_REFUSED {
        return Err(BadField::new(field, format!("has {} ids: it takes at most {MAX_REFUSED}", ids.len())));
    }
    let parse = |(index, id): (usize, &String)| {
        let bad = || BadField::new(format!("{field}[{index}]"), format!("is {id:?}: a node's id is 16 hexadecimal digits"));
        NodeId::from_digits(id).ok_or_else(bad)
    };
    ids.iter().enumerate().map(parse).collect()
}
