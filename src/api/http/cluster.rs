//! `GET /v1/cluster`: how the cluster is, seen from the node that answers.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Shared;
use super::error::Error;
use super::query::Query;
use crate::admin::Status;
use crate::engine::grant::NodeId;
use crate::engine::membership::Role;

/// How the cluster is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cluster {
    node: String,
    cluster: String,
    role: &'static str,
    release: &'static str,
    term: u64,
    epoch: u64,
    leader: Option<String>,
    is_leader: bool,
    /// At a leader: how long ago a majority has answered.
    since_quorum_seconds: Option<f64>,
    voters: Vec<String>,
    spares: Vec<String>,
    members: Vec<String>,
    last_log_index: u64,
    applied_index: u64,
    level: u32,
    newest_level: u32,
    tracked: usize,
    connections: usize,
    waiters: usize,
    peers: Vec<Peer>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Peer {
    address: String,
    node: Option<String>,
    silent_for_seconds: Option<f64>,
    trouble: Option<String>,
}

pub(super) async fn status(State(shared): State<Shared>, query: Query) -> Result<Json<Cluster>, Error> {
    query.only(&[])?;
    let ids = |nodes: BTreeSet<NodeId>| nodes.iter().map(NodeId::to_string).collect();
    let status: Status = shared.admin.status().await;
    let peers = status.peers.into_iter().map(|peer| Peer {
        address: peer.address,
        node: peer.node.as_ref().map(NodeId::to_string),
        silent_for_seconds: peer.silent_for.map(|span| span.as_secs_f64()),
        trouble: peer.trouble,
    });
    Ok(Json(Cluster {
        node: status.node.to_string(),
        cluster: status.cluster,
        role: match status.role {
            Role::Voter => "voter",
            Role::Spare => "spare",
            Role::Observer => "observer",
        },
        release: status.release,
        term: status.term,
        epoch: status.epoch,
        leader: status.leader.as_ref().map(NodeId::to_string),
        is_leader: status.is_leader,
        since_quorum_seconds: status.since_quorum.map(|span| span.as_secs_f64()),
        voters: ids(status.voters),
        spares: ids(status.spares),
        members: ids(status.members),
        last_log_index: status.last_log_index,
        applied_index: status.applied_index,
        level: status.level,
        newest_level: status.newest_level,
        tracked: status.tracked,
        connections: status.connections,
        waiters: status.waiters,
        peers: peers.collect(),
    }))
}
