//! Somebody on the port for peers who is no node: says whatever a test wants.

use std::net::SocketAddr;

use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use turnstile::api::v1;
use turnstile::api::v1::owner_message::Message as OwnerSays;
use turnstile::api::v1::peer_service_client::PeerServiceClient;
use turnstile::api::v1::router_message::Message as RouterSays;

use crate::support::soon;

/// The node that the stranger claims to be. None has it: ids are random.
pub(crate) const NODE: u64 = 0x0bad_0bad_0bad_0bad;

/// The way to one node.
#[derive(Clone)]
pub(crate) struct Stranger {
    client: PeerServiceClient<Channel>,
    /// What the node says of itself.
    pub(crate) theirs: v1::Sender,
}

impl Stranger {
    pub(crate) async fn at(address: SocketAddr) -> Self {
        let channel = soon(Endpoint::from_shared(format!("http://{address}")).unwrap().connect()).await.unwrap();
        let mut client = PeerServiceClient::new(channel);
        let unbound =
            v1::Sender { protocol: 1, cluster: vec![0; 16], is_bound: false, node: NODE, run: 1, to: 0, oldest_protocol: None };
        let greeting = v1::GreetRequest { sender: Some(unbound), ..v1::GreetRequest::default() };
        let theirs = soon(client.greet(greeting)).await.unwrap().into_inner().sender.unwrap();
        Self { client, theirs }
    }

    /// What a node of the same cluster begins every message with.
    pub(crate) fn sender(&self) -> v1::Sender {
        v1::Sender { is_bound: true, node: NODE, run: 1, to: self.theirs.node, ..self.theirs.clone() }
    }

    pub(crate) async fn greet(&mut self, sender: Option<v1::Sender>) -> Result<(), Status> {
        soon(self.client.greet(v1::GreetRequest { sender, ..v1::GreetRequest::default() })).await.map(drop)
    }

    pub(crate) async fn call(&mut self, sender: Option<v1::Sender>, kind: i32, body: Vec<u8>) -> Result<(), Status> {
        soon(self.client.call(v1::CallRequest { sender, kind, body })).await.map(drop)
    }

    /// A session that begins with this frame.
    pub(crate) async fn route(&mut self, first: v1::RouteRequest) -> Result<Talk, Status> {
        let (frames, outgoing) = mpsc::channel(16);
        frames.send(first).await.unwrap();
        let answers = soon(self.client.route(ReceiverStream::new(outgoing))).await?.into_inner();
        Ok(Talk { sender: self.sender(), frames, answers, heard: Vec::new() })
    }

    /// A session that begins as it should.
    pub(crate) async fn begin(&mut self) -> Talk {
        let first = v1::RouteRequest { sender: Some(self.sender()), stamp_nanos: 1, messages: Vec::new() };
        self.route(first).await.unwrap()
    }
}

/// A session with an owner.
pub(crate) struct Talk {
    sender: v1::Sender,
    frames: mpsc::Sender<v1::RouteRequest>,
    answers: Streaming<v1::RouteResponse>,
    /// What came with an earlier answer.
    heard: Vec<v1::OwnerMessage>,
}

impl Talk {
    pub(crate) async fn send(&self, frame: v1::RouteRequest) {
        soon(self.frames.send(frame)).await.unwrap();
    }

    /// All in one frame, in this order.
    pub(crate) async fn say(&self, messages: impl IntoIterator<Item = (u64, RouterSays)>) {
        let messages = messages.into_iter().map(|(number, message)| v1::RouterMessage { number, message: Some(message) });
        self.send(v1::RouteRequest { sender: Some(self.sender.clone()), stamp_nanos: 2, messages: messages.collect() }).await;
    }

    /// Says it, if there is anybody still who takes it.
    pub(crate) fn try_say(&self, (number, message): (u64, RouterSays)) {
        let messages = vec![v1::RouterMessage { number, message: Some(message) }];
        drop(self.frames.try_send(v1::RouteRequest { sender: Some(self.sender.clone()), stamp_nanos: 3, messages }));
    }

    /// The next answer: to which number, and what.
    pub(crate) async fn hear(&mut self) -> (u64, OwnerSays) {
        while self.heard.is_empty() {
            self.heard = soon(self.answers.message()).await.unwrap().expect("the session goes on").messages;
        }
        let v1::OwnerMessage { number, message } = self.heard.remove(0);
        (number, message.unwrap())
    }

    /// How it ends, when nothing more is answered.
    pub(crate) async fn end(&mut self) -> Result<(), Status> {
        assert_eq!(self.heard, []);
        soon(self.answers.message()).await.map(|more| assert_eq!(more, None))
    }
}
