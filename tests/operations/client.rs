//! What asks a node: HTTP/1.1 as a probe speaks it, and the generated client of gRPC.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use turnstile::api::v1;
use turnstile::api::v1::throttle_service_client::ThrottleServiceClient;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Asks on a connection of its own.
pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str) -> Answer {
    soon(async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    })
    .await
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path).await
}

/// The reason of a problem with this status.
pub(crate) fn reason(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.head.contains("content-type: application/problem+json"), "{answer:?}");
    let problem = answer.json();
    let reason = problem["reason"].as_str().unwrap().to_owned();
    let kind = format!("urn:turnstile:problem:{}", reason.to_lowercase().replace('_', "-"));
    assert_eq!((&problem["type"], &problem["status"]), (&kind.into(), &status.into()));
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    reason
}

/// What `/metrics` said.
#[derive(Debug)]
pub(crate) struct Scrape {
    /// What each metric is.
    pub(crate) kinds: BTreeMap<String, String>,
    values: BTreeMap<String, f64>,
}

impl Scrape {
    pub(crate) async fn of(address: SocketAddr) -> Self {
        let answer = get(address, "/metrics").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{answer:?}");
        let (mut kinds, mut values) = (BTreeMap::new(), BTreeMap::new());
        for line in answer.body.lines().filter(|line| !line.is_empty()) {
            if let Some(said) = line.strip_prefix("# TYPE ") {
                let (name, kind) = said.split_once(' ').unwrap();
                assert_eq!(kinds.insert(name.to_owned(), kind.to_owned()), None, "{name} is there twice");
            } else if !line.starts_with("# HELP ") {
                let (series, value) = line.rsplit_once(' ').unwrap();
                assert_eq!(values.insert(series.to_owned(), value.parse().unwrap()), None, "{series} is there twice");
            }
        }
        Self { kinds, values }
    }

    /// A series by its name, which has its label within.
    pub(crate) fn value(&self, series: &str) -> f64 {
        *self.values.get(series).unwrap_or_else(|| panic!("no {series} in {:?}", self.values))
    }

    pub(crate) fn series(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

/// The sum of a series over nodes.
pub(crate) async fn sum(addresses: &[SocketAddr], series: &str) -> f64 {
    let mut sum = 0.0;
    for address in addresses {
        sum += Scrape::of(*address).await.value(series);
    }
    sum
}

pub(crate) async fn channel(address: SocketAddr) -> Channel {
    soon(Endpoint::from_shared(format!("http://{address}")).unwrap().connect()).await.unwrap()
}

pub(crate) async fn client(address: SocketAddr) -> ThrottleServiceClient<Channel> {
    ThrottleServiceClient::new(channel(address).await)
}

/// An acquire of a connection that allows so many per window. Its delivery bound is wide, so that a busy machine makes nobody wait again.
pub(crate) fn acquire(name: &str, count: u32, window: Duration) -> v1::Acquire {
    let limit = v1::RateLimit {
        request_count: count,
        window: Some(window.try_into().unwrap()),
        delivery_bound: Some(Duration::from_millis(300).min(window / 2).try_into().unwrap()),
        ..v1::RateLimit::default()
    };
    let key = v1::ConnectionKey { platform: "test".to_owned(), connection: name.to_owned() };
    v1::Acquire { key: Some(key), limits: vec![limit], ..v1::Acquire::default() }
}

pub(crate) fn asking(acquire: v1::Acquire) -> v1::AcquireRequest {
    v1::AcquireRequest { acquire: Some(acquire) }
}

pub(crate) fn trying(acquire: v1::Acquire) -> v1::TryAcquireRequest {
    v1::TryAcquireRequest { acquire: Some(acquire) }
}

/// Waits until `condition` holds, looking every 10 ms; fails after 30 s.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let began = Instant::now();
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    while !condition().await {
        assert!(began.elapsed() < 30 * SECOND, "{what}: not within 30 s");
        looks.tick().await;
    }
}

/// Fails when `future` takes longer than 30 s.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(30 * SECOND, future).await.expect("an answer within 30 s")
}
