//! What three nodes, each a process of its own, grant per second, and what an acquire costs its caller there.
//!
//! Figures beside their targets; it judges nothing. The nodes are this program, started again.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock, and stops where it finds what it did not expect"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use turnstile::{ClusterConfig, Connection, ConnectionKey, Node, NodeConfig, PeerSource, RateLimit, Throttler};

mod machine;

/// That of the binary.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Says that this process is a node: `index storage home address,address,…`.
const CHILD: &str = "TURNSTILE_BENCH_NODE";

/// All callers together, spread evenly over the nodes, and the connections that they share.
const CALLERS: usize = 1024;
const CONNECTIONS: usize = 64;
/// How long they call before they are counted, and while they are.
const WARM_UP: Duration = Duration::from_secs(1);
const COUNTED: Duration = Duration::from_secs(5);
/// Acquires of a single caller, one behind the other.
const ACQUIRES: usize = 500;

const GRANTS_PER_SECOND_TARGET: u64 = 100_000;

fn main() {
    if let Ok(child) = std::env::var(CHILD) {
        tokio::runtime::Runtime::new().unwrap().block_on(work(&child));
        return;
    }
    machine::print_size();
    let home = tempfile::tempdir().unwrap();
    for (storage, one_caller_target) in [("memory", Duration::from_micros(600)), ("disk", Duration::from_micros(1500))] {
        measure(storage, &home.path().join(storage), one_caller_target);
    }
}

/// Prints what a cluster with this storage does.
fn measure(storage: &str, home: &Path, one_caller_target: Duration) {
    let listeners: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<String> = listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
    drop(listeners);
    let mut nodes: Vec<Process> = (0..3).map(|index| Process::spawn(index, storage, home, &addresses)).collect();
    let ids: Vec<String> = nodes.iter_mut().map(|node| node.hear("serving")).collect();
    let leader = nodes[0].ask("leader", "leader");
    let leads = ids.iter().position(|id| *id == leader).expect("one of them leads");
    let (follows, other) = ((leads + 1) % 3, (leads + 2) % 3);
    let places = [
        ("at the leader, owned here", leads, leads),
        ("at the leader, owned elsewhere", leads, follows),
        ("at a follower, owned here", follows, follows),
        ("at a follower, owned by the leader", follows, leads),
        ("at a follower, owned by the other", follows, other),
    ];
    for (place, caller, owner) in places {
        let mut names = (0..).map(|number| format!("one-{number}"));
        let name = names.find(|name| nodes[0].ask(&format!("owner {name}"), "owner") == ids[owner]).expect("each owns something");
        let took = nodes[caller].ask(&format!("one {name}"), "took");
        println!("{storage}, one caller {place}: target p50 {one_caller_target:?}, measured {took}");
    }
    for (index, node) in nodes.iter_mut().enumerate() {
        node.order(&format!("saturate {}", (CALLERS + index) / 3));
    }
    let grants: Vec<u64> = nodes.iter_mut().map(|node| node.hear("granted").parse().unwrap()).collect();
    let per_second = grants.iter().sum::<u64>() / COUNTED.as_secs();
    println!(
        "{storage}, {CALLERS} callers on three nodes: target {GRANTS_PER_SECOND_TARGET} grants/s, measured {per_second} \
         (of the leader's callers {}, of the followers' {} and {})",
        grants[leads] / COUNTED.as_secs(),
        grants[follows] / COUNTED.as_secs(),
        grants[other] / COUNTED.as_secs(),
    );
    for node in &mut nodes {
        node.order("leave");
    }
    for mut node in nodes {
        node.process.wait().unwrap();
    }
}

/// A node's process; killed when it is dropped.
struct Process {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    fn spawn(index: usize, storage: &str, home: &Path, addresses: &[String]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(CHILD, format!("{index} {storage} {} {}", home.display(), addresses.join(",")));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, answers) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, orders, answers }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    /// The rest of the next line, which begins with this word.
    fn hear(&mut self, word: &str) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.strip_prefix(word).unwrap_or_else(|| panic!("{word} was expected: {line}")).trim().to_owned()
    }

    fn ask(&mut self, order: &str, word: &str) -> String {
        self.order(order);
        self.hear(word)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A connection that is never at its limit.
fn roomy(name: &str) -> Connection {
    let limit = RateLimit::new(u32::MAX, Duration::from_secs(1)).unwrap();
    Connection::new("bench", name, limit).unwrap()
}

/// A node that does what it is ordered.
async fn work(child: &str) {
    let fields: Vec<&str> = child.split(' ').collect();
    let index: usize = fields[0].parse().unwrap();
    let addresses: Vec<SocketAddr> = fields[3].split(',').map(|address| address.parse().unwrap()).collect();
    let mut config = match fields[1] {
        "memory" => NodeConfig::in_memory(),
        _ => NodeConfig::on_disk(Path::new(fields[2]).join(index.to_string())),
    };
    config.cluster = Some(ClusterConfig {
        listen: addresses[index],
        advertise: None,
        peers: addresses.iter().map(|address| PeerSource::Address(address.to_string())).collect(),
        nameserver: None,
        expect: NonZeroUsize::new(addresses.len()).unwrap(),
        cold_start_hold: Duration::ZERO,
    });
    let node = Node::start(config).await.unwrap();
    println!("serving {}", node.id());
    let (sender, mut orders) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.send(line).ok()));
    while let Some(order) = orders.recv().await {
        match order.split(' ').collect::<Vec<_>>()[..] {
            ["leader"] => println!("leader {}", node.admin().status().await.leader.unwrap()),
            ["owner", name] => {
                let key = ConnectionKey::new("bench", name).unwrap();
                println!("owner {}", node.admin().owner(&key).unwrap().0);
            }
            ["one", name] => println!("took {}", one(&node.throttler(), name).await),
            ["saturate", callers] => println!("granted {}", saturate(&node.throttler(), callers.parse().unwrap()).await),
            ["leave"] => break,
            _ => panic!("no such order: {order}"),
        }
    }
    node.shutdown().await;
}

/// The times of a single caller's acquires.
async fn one(throttler: &Throttler, name: &str) -> String {
    let connection = roomy(name);
    let mut took = Vec::with_capacity(ACQUIRES);
    for _ in 0..ACQUIRES {
        let began = Instant::now();
        drop(throttler.acquire(&connection).await.unwrap());
        took.push(began.elapsed());
    }
    took.sort_unstable();
    format!("p50 {:?}, p99 {:?}", took[ACQUIRES / 2], took[ACQUIRES * 99 / 100])
}

/// What so many callers here are granted while they are counted, each one behind the other.
async fn saturate(throttler: &Throttler, callers: usize) -> u64 {
    let (granted, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (throttler, granted, is_over) = (throttler.clone(), Arc::clone(&granted), Arc::clone(&is_over));
            tokio::spawn(async move {
                let connection = roomy(&format!("c{}", caller % CONNECTIONS));
                while !is_over.load(Ordering::Relaxed) {
                    drop(throttler.acquire(&connection).await.unwrap());
                    granted.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(WARM_UP).await;
    let before = granted.load(Ordering::Relaxed);
    tokio::time::sleep(COUNTED).await;
    let counted = granted.load(Ordering::Relaxed) - before;
    is_over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    counted
}
