//! A client without a node, in a process of its own: it waits for slots over gRPC, and dies before it uses any.

use std::process::Command;

use tonic::transport::{Channel, Endpoint};
use turnstile::api::v1;
use turnstile::api::v1::throttle_service_client::ThrottleServiceClient;

use super::callers::{CONNECTIONS, COUNT, WINDOW};
use crate::process::Worker;

/// Says that this process is a client, and of which address.
const CLIENT: &str = "TURNSTILE_TEST_CLIENT";

/// How many of its calls wait for each connection: two windows' worth.
const CALLS: u64 = 10;
pub(crate) const ALL_CALLS: u64 = CALLS * CONNECTIONS;

/// Starts one; it says `waiting` when its calls have been sent.
pub(crate) fn spawn(address: &str) -> Worker {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["chaos::client::client", "--exact", "--nocapture", "--ignored"]).env(CLIENT, address);
    Worker::over(command, 3)
}

/// Not a test: the client that a chaos run starts.
#[test]
#[ignore = "the client process of chaos runs"]
fn client() {
    let Ok(address) = std::env::var(CLIENT) else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(wait(address));
}

async fn wait(address: String) {
    let client = ThrottleServiceClient::new(connected(address).await);
    for place in (0..CONNECTIONS).flat_map(|place| std::iter::repeat_n(place, usize::try_from(CALLS).unwrap())) {
        let window = Some(prost_types::Duration::try_from(WINDOW).unwrap());
        let limit = v1::RateLimit { request_count: COUNT, window, ..v1::RateLimit::default() };
        let key = Some(v1::ConnectionKey { platform: "chaos".to_owned(), connection: format!("c-{place}") });
        // In the midst of the others: it is in front of some and behind others.
        let acquire = Some(v1::Acquire { key, limits: vec![limit], niceness: 2, ..v1::Acquire::default() });
        let mut client = client.clone();
        tokio::spawn(async move {
            let acquired = client.acquire(v1::AcquireRequest { acquire }).await;
            println!("answered {}", acquired.is_ok());
        });
    }
    println!("waiting");
    // It ends with who started it, if it isn't killed before.
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().lines().map_while(Result::ok).for_each(drop));
    ended.await.unwrap();
}

async fn connected(address: String) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}
