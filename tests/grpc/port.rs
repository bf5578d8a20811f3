//! What comes on a port that is open to anybody.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_types::StatusExt;
use turnstile::api::{Bounds, v1};

use crate::support::{HOUR, SECOND, Server, acquire, asking, connect, eventually, soon};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes without a pattern, the same in every run.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[tokio::test]
async fn random_bytes_end_their_own_connection_and_no_other() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for seed in 0..50 {
        let mut stream = soon(TcpStream::connect(server.address)).await.unwrap();
        let greeting = if seed % 2 == 0 { PREFACE } else { &[] };
        let bytes = [greeting, &noise(seed, 4096)].concat();
        // The server may hang up before it has read everything.
        drop(stream.write_all(&bytes).await);
        drop(stream.shutdown().await);
        let mut rest = Vec::new();
        drop(soon(stream.read_to_end(&mut rest)).await);
    }
    soon(client.acquire(asking(acquire("roomy", 9, HOUR)))).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn an_oversized_message_is_refused_and_the_connection_lives_on() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut large = acquire("any", 1, HOUR);
    large.limits = vec![large.limits[0]; 100_000];
    let error = soon(client.acquire(asking(large))).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    let violations = error.get_details_quota_failure().unwrap().violations;
    assert_eq!(violations[0].description, "bytes of a message is reached: 65536");
    soon(client.acquire(asking(acquire("roomy", 9, HOUR)))).await.unwrap();
    server.stop().await;
}

/// Bytes, whatever they are, as a message.
#[derive(Debug, Clone, Default)]
struct Bytes;

impl tonic::codec::Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl tonic::codec::Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), tonic::Status> {
        prost::bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl tonic::codec::Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn decode(&mut self, _: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<Vec<u8>>, tonic::Status> {
        Ok(Some(Vec::new()))
    }
}

#[tokio::test]
async fn bytes_that_are_no_message_are_their_clients_fault_and_the_field_is_named() {
    let server = Server::start().await;
    let not_utf8 = b"\x0a\x06\x12\x04\x0a\x02\xff\xfe".to_vec();
    for (path, bytes, field) in [
        ("Acquire", not_utf8.clone(), "acquire.key.platform"),
        ("TryAcquire", not_utf8, "acquire.key.platform"),
        ("Release", b"\x0a\x09short".to_vec(), "permit"),
        ("Explain", vec![0xff; 9], "message"),
    ] {
        let mut client = tonic::client::Grpc::new(connect(server.address).await);
        client.ready().await.unwrap();
        let path = format!("/turnstile.v1.ThrottleService/{path}").parse().unwrap();
        let error = soon(client.unary(tonic::Request::new(bytes), path, Bytes)).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert_eq!(error.get_details_bad_request().unwrap().field_violations[0].field, field, "{error}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_unknown_method_and_an_unknown_service_are_unimplemented() {
    let server = Server::start().await;
    let mut client = tonic::client::Grpc::new(connect(server.address).await);
    for path in ["/turnstile.v1.ThrottleService/Nothing", "/turnstile.v1.Nothing/Acquire", "/"] {
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<v1::ReleaseRequest, v1::ReleaseResponse>::default();
        let request = tonic::Request::new(v1::ReleaseRequest::default());
        let error = soon(client.unary(request, path.parse().unwrap(), codec)).await.unwrap_err();
        assert_eq!(error.code(), Code::Unimplemented, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn connections_are_bounded_and_a_place_that_is_left_is_taken() {
    let mut bounds = Bounds::default();
    bounds.max_connections = 1;
    let server = Server::within(bounds).await;
    let mut first = server.client().await;
    soon(first.acquire(asking(acquire("roomy", 9, HOUR)))).await.unwrap();
    // The listener's backlog takes it; nobody reads what it says.
    let mut second = soon(TcpStream::connect(server.address)).await.unwrap();
    second.write_all(b"GET / HTTP/1.1\r\nHost: none\r\n\r\n").await.unwrap();
    let mut byte = [0; 1];
    let unread = tokio::time::timeout(SECOND / 5, second.read(&mut byte)).await;
    assert!(unread.is_err(), "the second connection was served: {unread:?}");
    drop(first);
    // It is read now, and answered.
    assert!(matches!(soon(second.read(&mut byte)).await, Ok(1)));
    drop(second);
    eventually("a third is served", || async {
        let mut third = server.client().await;
        soon(third.acquire(asking(acquire("roomy", 9, HOUR)))).await.is_ok()
    })
    .await;
    server.stop().await;
}
