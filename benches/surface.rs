//! What one client of another process gets per second: by unary calls, and by one stream, with as many acquires in flight.
//!
//! Figures beside their target; it judges nothing. The node is the binary, in memory, on loopback. The two take turns, for the machine may have faster and slower minutes,
//! and the ratio is the median of those of the turns.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock, and stops where it finds what it did not expect"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use turnstile::api::v1;
use turnstile::api::v1::session_request::Message;
use turnstile::api::v1::session_response::Message as Said;
use turnstile::api::v1::throttle_service_client::ThrottleServiceClient;

mod machine;

/// The node's, so that what the client takes of the two processes' cores is as little.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How many acquires are in flight.
const IN_FLIGHT: [usize; 3] = [1, 256, 1024];
/// The connections that they are for.
const CONNECTIONS: usize = 64;
/// How often the two take turns.
const TURNS: usize = 9;
const WARM_UP: Duration = Duration::from_millis(300);
const COUNTED: Duration = Duration::from_secs(1);

const RATIO_TARGET: f64 = 5.0;

type Client = ThrottleServiceClient<Channel>;

fn main() {
    machine::print_size();
    let node = Node::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for in_flight in IN_FLIGHT {
        let turns: Vec<[f64; 2]> = runtime.block_on(async {
            let client = Client::new(Endpoint::from_shared(node.url.clone()).unwrap().connect().await.unwrap());
            let mut turns = Vec::new();
            for _ in 0..TURNS {
                let unary = by_unary_calls(&client, in_flight).await;
                // On a worker, as the callers are.
                let stream = tokio::spawn(by_one_stream(client.clone(), in_flight)).await.unwrap();
                turns.push([unary, stream]);
            }
            turns
        });
        let of_turns = |figure: fn(&[f64; 2]) -> f64| spread(turns.iter().map(figure).collect());
        let ([_, unary, _], [_, stream, _]) = (of_turns(|turn| turn[0]), of_turns(|turn| turn[1]));
        let [least, ratio, most] = of_turns(|turn| turn[1] / turn[0]);
        println!(
            "{in_flight} in flight: unary {unary:.0} acquires/s, stream {stream:.0}: {ratio:.1} times as many, {least:.1} to {most:.1} (target {RATIO_TARGET})"
        );
    }
}

/// The least, the median and the most.
fn spread(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    [figures[0], figures[figures.len() / 2], figures[figures.len() - 1]]
}

/// The binary, which ends with this.
struct Node {
    process: Child,
    url: String,
}

impl Node {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnstile"));
        command.args(["node", "--memory", "--listen", "127.0.0.1:0", "--log", "warn"]);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let address = ready.split("\"listening\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an address");
        Self { process, url: format!("http://{address}") }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// An acquire that is granted at once.
fn acquire(number: usize, request_id: Vec<u8>) -> v1::Acquire {
    let none = Some(prost_types::Duration { seconds: 0, nanos: 0 });
    let limit = v1::RateLimit {
        request_count: u32::MAX,
        window: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        delivery_bound: none,
        guard: none,
        ..v1::RateLimit::default()
    };
    let connection = format!("connection {}", number % CONNECTIONS);
    let key = Some(v1::ConnectionKey { platform: "bench".to_owned(), connection });
    v1::Acquire { request_id, key, limits: vec![limit], ..v1::Acquire::default() }
}

/// Per second, by so many callers of one HTTP/2 connection, each of which makes one call behind the other.
async fn by_unary_calls(client: &Client, callers: usize) -> f64 {
    let counted_from = Instant::now() + WARM_UP;
    let mut calling = JoinSet::new();
    for number in 0..callers {
        let mut client = client.clone();
        calling.spawn(async move {
            let mut granted = 0_u64;
            while Instant::now() < counted_from + COUNTED {
                let request = v1::AcquireRequest { acquire: Some(acquire(number, Vec::new())) };
                client.acquire(request).await.unwrap();
                granted += u64::from(Instant::now() >= counted_from);
            }
            granted
        });
    }
    calling.join_all().await.iter().sum::<u64>() as f64 / COUNTED.as_secs_f64()
}

/// Per second, over one session in which so many are always in flight.
async fn by_one_stream(mut client: Client, in_flight: usize) -> f64 {
    let (requests, outgoing) = mpsc::channel(2 * in_flight);
    let mut answers = client.session(ReceiverStream::new(outgoing)).await.unwrap().into_inner();
    let say = async |message| requests.send(v1::SessionRequest { stamp_nanos: None, message: Some(message) }).await.unwrap();
    let mut number = 0_usize;
    let next = |number: &mut usize| {
        *number += 1;
        Message::Acquire(acquire(*number, u128::try_from(*number).unwrap().to_be_bytes().to_vec()))
    };
    for _ in 0..in_flight {
        say(next(&mut number)).await;
    }
    let counted_from = Instant::now() + WARM_UP;
    let mut granted = 0_u64;
    while Instant::now() < counted_from + COUNTED {
        let answer = answers.message().await.unwrap().expect("the session goes on");
        if let Some(Said::Granted(_)) = answer.message {
            granted += u64::from(Instant::now() >= counted_from);
            say(Message::Done(v1::Done { request_id: answer.request_id })).await;
            say(next(&mut number)).await;
        }
    }
    granted as f64 / COUNTED.as_secs_f64()
}
