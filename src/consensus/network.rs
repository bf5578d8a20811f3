//! The way to other voters. This cluster has one, so there is none yet: every call says so.

use openraft::error::{InstallSnapshotError, RPCError, RaftError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{EmptyNode, error};
use thiserror::Error;

use super::types::TypeConfig;

/// No address is known for a peer.
#[derive(Debug, Error)]
#[error("no address is known for node {target:016x}")]
struct NoAddress {
    target: u64,
}

/// Makes connections to peers by their id.
#[derive(Debug)]
pub(super) struct Network;

/// The connection to one peer.
#[derive(Debug)]
pub(super) struct Peer {
    target: u64,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _node: &EmptyNode) -> Peer {
        Peer { target }
    }
}

impl Peer {
    fn unreachable<E: std::error::Error>(&self) -> RPCError<u64, EmptyNode, E> {
        RPCError::Unreachable(Unreachable::new(&NoAddress { target: self.target }))
    }
}

type Refused<E = error::Infallible> = RPCError<u64, EmptyNode, RaftError<u64, E>>;

impl RaftNetwork<TypeConfig> for Peer {
    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, Refused> {
        Err(self.unreachable())
    }

    async fn install_snapshot(
        &mut self,
        _request: InstallSnapshotRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, Refused<InstallSnapshotError>> {
        Err(self.unreachable())
    }

    async fn vote(&mut self, _request: VoteRequest<u64>, _option: RPCOption) -> Result<VoteResponse<u64>, Refused> {
        Err(self.unreachable())
    }
}
