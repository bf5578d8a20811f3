//! A reqwest client whose requests wait for their turn, before a server of its own that counts them.
#![allow(clippy::disallowed_methods, reason = "an example shows when its calls ran")]

use std::time::{Duration, Instant};

use reqwest_middleware::ClientBuilder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use turnstile::adaptors::ThrottleMiddleware;
use turnstile::{Connection, Node, NodeConfig, RateLimit};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::start(NodeConfig::in_memory()).await?;
    let platform = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", platform.local_addr()?);
    tokio::spawn(serve(platform));
    // Each host is a connection: 2 requests a second.
    let limit = RateLimit::new(2, Duration::from_secs(1))?;
    let connection_of = move |request: &reqwest::Request| Connection::new("http", request.url().host_str()?, limit).ok();
    let client =
        ClientBuilder::new(reqwest::Client::new()).with(ThrottleMiddleware::new(node.throttler(), connection_of)).build();
    let began = Instant::now();
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..4 {
        let request = client.get(&url);
        requests.spawn(async move {
            let status = request.send().await?.status();
            println!("{:>5.2?} request {number}: {status}", began.elapsed());
            Ok::<_, reqwest_middleware::Error>(())
        });
    }
    while let Some(answered) = requests.join_next().await {
        answered??;
    }
    node.shutdown().await;
    Ok(())
}

/// Answers every request.
async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut request = [0; 1024];
            while stream.read(&mut request).await? > 0 {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
            }
            Ok::<_, std::io::Error>(())
        });
    }
}
