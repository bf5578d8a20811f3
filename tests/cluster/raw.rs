//! A session with a node, frame by frame, as no router would hold it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use turnstile::Node;
use turnstile::api::v1;
use turnstile::api::v1::owner_message::Message as OwnerSays;
use turnstile::api::v1::peer_service_client::PeerServiceClient;
use turnstile::api::v1::router_message::Message as RouterSays;

use crate::support::{config, free_addresses, soon};

/// A node that is a cluster by itself, and its address.
pub(crate) async fn lone_node(home: &std::path::Path) -> (Node, SocketAddr) {
    let addresses = free_addresses(1);
    (soon(Node::start(config(home, &addresses, 0))).await.unwrap(), addresses[0])
}

pub(crate) struct RawSession {
    frames: mpsc::Sender<v1::RouteRequest>,
    answers: Streaming<v1::RouteResponse>,
    sender: v1::Sender,
    stamp_nanos: u64,
}

impl RawSession {
    /// Greets the node to learn its cluster, and begins a session as a member of it.
    pub(crate) async fn begin(address: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut client = PeerServiceClient::new(soon(endpoint.connect()).await.unwrap());
        let stranger =
            v1::Sender { protocol: 1, cluster: vec![0; 16], is_bound: false, node: 7, run: 7, to: 0, oldest_protocol: None };
        let greeting = v1::GreetRequest { sender: Some(stranger.clone()), ..v1::GreetRequest::default() };
        let greeted = soon(client.greet(greeting)).await.unwrap().into_inner().sender.unwrap();
        let sender = v1::Sender { cluster: greeted.cluster, is_bound: true, to: greeted.node, ..stranger };
        let (frames, outbound) = mpsc::channel(64);
        frames.send(v1::RouteRequest { sender: Some(sender.clone()), stamp_nanos: 1, messages: Vec::new() }).await.unwrap();
        let answers = soon(client.route(ReceiverStream::new(outbound))).await.unwrap().into_inner();
        Self { frames, answers, sender, stamp_nanos: 1 }
    }

    /// Sends one frame; without messages it is a sign of life.
    pub(crate) async fn say(&mut self, messages: Vec<(u64, RouterSays)>) {
        self.stamp_nanos += 1;
        let messages = messages.into_iter().map(|(number, message)| v1::RouterMessage { number, message: Some(message) });
        let (sender, stamp_nanos) = (Some(self.sender.clone()), self.stamp_nanos);
        soon(self.frames.send(v1::RouteRequest { sender, stamp_nanos, messages: messages.collect() })).await.unwrap();
    }

    /// The answers that come within so long.
    pub(crate) async fn hear(&mut self, within: Duration) -> Vec<(u64, OwnerSays)> {
        match tokio::time::timeout(within, self.answers.message()).await {
            Ok(frame) => {
                let messages = frame.unwrap().expect("the session goes on").messages;
                messages.into_iter().map(|answer| (answer.number, answer.message.unwrap())).collect()
            }
            Err(_) => Vec::new(),
        }
    }
}

/// An acquire of one unit by the ring of this epoch, at the limit of `count` per `window` that `support::connection` has.
pub(crate) fn acquire(number: u64, epoch: u64, name: &str, count: u32, window: Duration) -> (u64, RouterSays) {
    let limit = v1::RateLimit {
        request_count: count,
        window: Some(window.try_into().unwrap()),
        delivery_bound: Some(Duration::from_millis(300).try_into().unwrap()),
        ..v1::RateLimit::default()
    };
    let key = v1::ConnectionKey { platform: "test".to_owned(), connection: name.to_owned() };
    let acquire = v1::RoutedAcquire {
        key: Some(key),
        epoch,
        request_id: u128::from(number).to_be_bytes().to_vec(),
        niceness: 0,
        cost: Some(v1::RoutedCost { units: 1, ..v1::RoutedCost::default() }),
        limits: vec![limit],
        ..v1::RoutedAcquire::default()
    };
    (number, RouterSays::Acquire(acquire))
}
