//! Calls to other nodes: the transport of consensus, and questions.

use std::time::Duration;

use super::Peers;
use crate::clock;
use crate::consensus::transport::{Call, Called, Transport, Unreachable};
use crate::engine::grant::NodeId;
use crate::owner::{Question, Told};
use crate::wire::codec::{self, CodecError};
use crate::wire::v1;

/// How long a replica has to answer a question.
const ASKED_WITHIN: Duration = Duration::from_secs(1);

impl Peers {
    /// What a replica says to a question.
    ///
    /// # Errors
    /// [`Unreachable`], after a second at the latest.
    pub(crate) async fn ask(&self, node: NodeId, question: &Question) -> Result<Told, Unreachable> {
        let unreachable = |error: CodecError| Unreachable { node, reason: error.to_string() };
        let body = codec::encode(question).map_err(unreachable)?;
        codec::decode(&self.call(node, Call::Ask, body, ASKED_WITHIN).await?).map_err(unreachable)
    }
}

impl Transport for Peers {
    fn call(&self, to: NodeId, call: Call, body: Vec<u8>, within: Duration) -> Called<'_> {
        let unreachable = move |reason: String| Unreachable { node: to, reason };
        Box::pin(async move {
            let link = self.link_to(to).ok_or_else(|| unreachable("no address is known for it".to_owned()))?;
            if self.is_refused(to) {
                return Err(unreachable("it is refused, by fault injection".to_owned()));
            }
            let kind = match call {
                Call::Raft => v1::CallKind::Raft,
                Call::Commit => v1::CallKind::Commit,
                Call::Found => v1::CallKind::Found,
                Call::Stand => v1::CallKind::Stand,
                Call::Ask => v1::CallKind::Ask,
            };
            let request = v1::CallRequest { sender: Some(self.sender(to)), kind: kind.into(), body };
            match clock::timeout(within, link.client().call(request)).await {
                Ok(Ok(response)) => Ok(response.into_inner().body),
                Ok(Err(status)) => Err(unreachable(status.message().to_owned())),
                Err(timed_out) => Err(unreachable(timed_out.to_string())),
            }
        })
    }

    fn leader(&self) -> Option<NodeId> {
        Self::leader(self)
    }
}
