//! What the tests of the gRPC surface share.

use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::Streaming;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use turnstile::api::v1::session_request::Message;
use turnstile::api::v1::session_response::Message as Said;
use turnstile::api::v1::throttle_service_client::ThrottleServiceClient;
use turnstile::api::{self, Bounds, FaultInjection, Served, v1};
use turnstile::{Node, NodeConfig, Throttler};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) type Client = ThrottleServiceClient<Channel>;

/// A node in memory, and a server in front of it.
pub(crate) struct Server {
    pub(crate) node: Node,
    pub(crate) throttler: Throttler,
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::within(Bounds::default()).await
    }

    pub(crate) async fn within(bounds: Bounds) -> Self {
        Self::with(bounds, FaultInjection::Disabled).await
    }

    pub(crate) async fn with(bounds: Bounds, fault_injection: FaultInjection) -> Self {
        let node = Node::start(NodeConfig::in_memory()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let throttler = node.throttler();
        let served = Served::new(throttler.clone(), node.admin()).with_fault_injection(fault_injection);
        let serving = tokio::spawn(api::serve_within(bounds, served, listener, async { drop(stopped.await) }));
        Self { node, throttler, address, stop, serving }
    }

    /// A client with a connection of its own.
    pub(crate) async fn client(&self) -> Client {
        Client::new(connect(self.address).await)
    }

    pub(crate) async fn waiters(&self) -> usize {
        self.throttler.report().await.waiters
    }

    /// Waits until so many wait.
    pub(crate) async fn until_waiting(&self, count: usize) {
        eventually(&format!("{count} wait"), || async { self.waiters().await == count }).await;
    }

    /// Stops the server, which must end by itself, and then the node.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        soon(self.serving).await.unwrap();
        soon(self.node.shutdown()).await;
    }

    /// Stops the server alone.
    pub(crate) async fn stop_serving(self) -> Node {
        drop(self.stop);
        soon(self.serving).await.unwrap();
        self.node
    }
}

/// A connection of its own.
pub(crate) async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    soon(endpoint.connect()).await.unwrap()
}

/// Waits until `condition` holds, looking every 5 ms; fails after 20 s.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let began = Instant::now();
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    while !condition().await {
        assert!(began.elapsed() < 20 * SECOND, "{what}: not within 20 s");
        looks.tick().await;
    }
}

/// Fails when `future` takes longer than 20 s.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(20 * SECOND, future).await.expect("an answer within 20 s")
}

pub(crate) fn span(span: Duration) -> prost_types::Duration {
    span.try_into().unwrap()
}

/// The duration that a message has.
pub(crate) fn time(message: Option<prost_types::Duration>) -> Duration {
    message.expect("a duration").try_into().unwrap()
}

pub(crate) fn key(name: &str) -> Option<v1::ConnectionKey> {
    Some(v1::ConnectionKey { platform: "test".to_owned(), connection: name.to_owned() })
}

pub(crate) fn id(number: u128) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// An acquire of a connection that allows so many per window, without margins.
pub(crate) fn acquire(name: &str, count: u32, window: Duration) -> v1::Acquire {
    let none = Some(span(Duration::ZERO));
    let limit = v1::RateLimit {
        request_count: count,
        window: Some(span(window)),
        delivery_bound: none,
        guard: none,
        ..v1::RateLimit::default()
    };
    v1::Acquire { key: key(name), limits: vec![limit], ..v1::Acquire::default() }
}

pub(crate) fn asking(acquire: v1::Acquire) -> v1::AcquireRequest {
    v1::AcquireRequest { acquire: Some(acquire) }
}

pub(crate) fn trying(acquire: v1::Acquire) -> v1::TryAcquireRequest {
    v1::TryAcquireRequest { acquire: Some(acquire) }
}

/// A session as its client holds it.
pub(crate) struct Talk {
    requests: mpsc::Sender<v1::SessionRequest>,
    answers: Streaming<v1::SessionResponse>,
}

impl Talk {
    pub(crate) async fn begin(client: &mut Client) -> Self {
        let (requests, outgoing) = mpsc::channel(16);
        let answers = soon(client.session(ReceiverStream::new(outgoing))).await.unwrap().into_inner();
        Self { requests, answers }
    }

    pub(crate) async fn say(&self, message: Message) {
        self.stamp(None, Some(message)).await;
    }

    pub(crate) async fn stamp(&self, stamp_nanos: Option<u64>, message: Option<Message>) {
        soon(self.requests.send(v1::SessionRequest { stamp_nanos, message })).await.unwrap();
    }

    /// The next answer: about which request, and what.
    pub(crate) async fn hear(&mut self) -> (Vec<u8>, Said) {
        let answer = soon(self.answers.message()).await.unwrap().expect("an answer");
        (answer.request_id, answer.message.expect("something said"))
    }

    /// How the stream ends, when nothing more is said.
    pub(crate) async fn end(&mut self) -> Result<(), tonic::Status> {
        soon(self.answers.message()).await.map(|more| assert_eq!(more, None))
    }

    /// Says no more, and goes on listening.
    pub(crate) fn half_close(&mut self) {
        self.requests = mpsc::channel(1).0;
    }
}

/// An acquire under an id.
pub(crate) fn under(number: u128, acquire: v1::Acquire) -> v1::Acquire {
    v1::Acquire { request_id: id(number), ..acquire }
}
