//! Raft's messages between voters, as bodies of a [`Transport`].

#![expect(clippy::result_large_err, reason = "the error is openraft's")]

use std::sync::Arc;
use std::time::Duration;

use openraft::error::{Infallible, InstallSnapshotError, NetworkError, RPCError, RaftError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, EmptyNode};
use serde::{Deserialize, Serialize};

use super::check_quorum::CheckQuorum;
use super::transport::{Call, Transport};
use super::types::{Raft, TypeConfig};
use crate::engine::grant::NodeId;
use crate::wire::codec::{self, CodecError};

/// How long Raft waits before it calls a peer again that was out of reach.
const CALL_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// What a voter says to another.
#[derive(Debug, Serialize, Deserialize)]
enum RaftMessage {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<u64>),
    Snapshot(InstallSnapshotRequest<TypeConfig>),
}

/// What it hears.
#[derive(Debug, Serialize, Deserialize)]
enum RaftAnswer {
    Append(Result<AppendEntriesResponse<u64>, RaftError<u64>>),
    Vote(Result<VoteResponse<u64>, RaftError<u64>>),
    Snapshot(Result<InstallSnapshotResponse<u64>, RaftError<u64, InstallSnapshotError>>),
}

/// Has `raft` answer a peer's message.
///
/// # Errors
/// [`CodecError`] when the bytes are none.
pub(super) async fn answer(raft: &Raft, body: &[u8]) -> Result<Vec<u8>, CodecError> {
    codec::encode(&match codec::decode(body)? {
        RaftMessage::Append(request) => RaftAnswer::Append(raft.append_entries(request).await),
        RaftMessage::Vote(request) => RaftAnswer::Vote(raft.vote(request).await),
        RaftMessage::Snapshot(request) => RaftAnswer::Snapshot(raft.install_snapshot(request).await),
    })
}

/// Makes connections to peers by their id.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) check_quorum: Arc<CheckQuorum>,
}

/// The connection to one peer.
#[derive(Debug)]
pub(super) struct Peer {
    target: NodeId,
    transport: Arc<dyn Transport>,
    check_quorum: Arc<CheckQuorum>,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _node: &EmptyNode) -> Peer {
        let (transport, check_quorum) = (Arc::clone(&self.transport), Arc::clone(&self.check_quorum));
        Peer { target: NodeId::new(target), transport, check_quorum }
    }
}

type CallError<E = Infallible> = RPCError<u64, EmptyNode, RaftError<u64, E>>;

impl Peer {
    /// Calls as a leader.
    async fn lead<E: std::error::Error>(&self, message: RaftMessage, option: &RPCOption) -> Result<RaftAnswer, CallError<E>> {
        if self.check_quorum.is_silent() {
            let silent = AnyError::error("this leader is silent so that another may be elected");
            return Err(RPCError::Unreachable(Unreachable::new(&silent)));
        }
        self.call(message, option).await
    }

    async fn call<E: std::error::Error>(&self, message: RaftMessage, option: &RPCOption) -> Result<RaftAnswer, CallError<E>> {
        let body = codec::encode(&message).map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
        let called = self.transport.call(self.target, Call::Raft, body, option.hard_ttl()).await;
        let body = called.map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))?;
        codec::decode(&body).map_err(|error| RPCError::Network(NetworkError::new(&error)))
    }

    fn remote<T, E: std::error::Error>(&self, answer: Result<T, RaftError<u64, E>>) -> Result<T, CallError<E>> {
        answer.map_err(|error| RPCError::RemoteError(openraft::error::RemoteError::new(self.target.get(), error)))
    }
}

fn mismatch<E: std::error::Error>() -> CallError<E> {
    RPCError::Network(NetworkError::new(&AnyError::error("the answer belongs to another kind of message")))
}

impl RaftNetwork<TypeConfig> for Peer {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, CallError> {
        match self.lead(RaftMessage::Append(request), &option).await? {
            RaftAnswer::Append(answer) => self.remote(answer),
            RaftAnswer::Vote(_) | RaftAnswer::Snapshot(_) => Err(mismatch()),
        }
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, CallError<InstallSnapshotError>> {
        match self.lead(RaftMessage::Snapshot(request), &option).await? {
            RaftAnswer::Snapshot(answer) => self.remote(answer),
            RaftAnswer::Append(_) | RaftAnswer::Vote(_) => Err(mismatch()),
        }
    }

    async fn vote(&mut self, request: VoteRequest<u64>, option: RPCOption) -> Result<VoteResponse<u64>, CallError> {
        match self.call(RaftMessage::Vote(request), &option).await? {
            RaftAnswer::Vote(answer) => self.remote(answer),
            RaftAnswer::Append(_) | RaftAnswer::Snapshot(_) => Err(mismatch()),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(CALL_AGAIN_AFTER))
    }
}
