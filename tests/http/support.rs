//! What the tests of HTTP share: a server in this process, and a client that speaks HTTP/1.1 and nothing more.

use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use turnstile::api::{self, Bounds, Served};
use turnstile::{Node, NodeConfig, Throttler};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

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
        let node = Node::start(NodeConfig::in_memory()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let throttler = node.throttler();
        let served = Served::new(throttler.clone(), node.admin());
        let serving = tokio::spawn(api::serve_within(bounds, served, listener, async { drop(stopped.await) }));
        Self { node, throttler, address, stop, serving }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        post(self.address, path, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        ask(self.address, "GET", path, &[], b"").await
    }

    /// Waits until so many wait.
    pub(crate) async fn until_waiting(&self, count: usize) {
        eventually(&format!("{count} wait"), || async { self.throttler.report().await.waiters == count }).await;
    }

    /// Stops the server, which must end by itself, and then the node.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        soon(self.serving).await.unwrap();
        soon(self.node.shutdown()).await;
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The answer that begins with these bytes, and ends with them.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        Self { status, headers: lines.filter_map(header).collect(), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What is granted.
    pub(crate) fn granted(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        let body = self.json();
        assert_eq!(body["granted"], true);
        body
    }

    /// Status, reason, and the field that is named; every error is a problem.
    pub(crate) fn problem(&self) -> (u16, String, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status);
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (self.status, text("reason"), text("field"))
    }
}

/// Asks once, over a connection of its own.
pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    let stream = begin(address, method, path, headers, body).await;
    soon(finish(stream)).await
}

pub(crate) async fn post(address: SocketAddr, path: &str, body: &Value) -> Answer {
    ask(address, "POST", path, &["Content-Type: application/json"], body.to_string().as_bytes()).await
}

/// Asks, and leaves the answer to be read.
pub(crate) async fn begin(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &[u8]) -> TcpStream {
    let mut stream = soon(TcpStream::connect(address)).await.unwrap();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // Who is refused for what its headers say may be hung up on before it has said all.
    drop(stream.write_all(body).await);
    stream
}

/// Reads the answer to its end.
pub(crate) async fn finish(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes).await);
    Answer::parse(&bytes)
}

/// An acquire of a connection that allows so many an hour, without margins.
pub(crate) fn hourly(connection: &str, count: u32) -> Value {
    let limit = json!({ "requestCount": count, "windowSeconds": 3600, "deliveryBoundSeconds": 0, "guardSeconds": 0 });
    json!({ "platform": "test", "connection": connection, "rateLimit": limit })
}

/// The same with more fields.
pub(crate) fn with(mut body: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
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

/// Fails when `future` takes longer than 30 s.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(30 * SECOND, future).await.expect("an answer within 30 s")
}
