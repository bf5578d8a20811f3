//! Workers that embed a node, each in a process of its own.
//!
//! The test binary starts itself again with [`CHILD`] set: then it is a worker that takes orders on its standard input and writes what happened,
//! a line each, to its standard output.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::task::{Context, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc::UnboundedReceiver;
use turnstile::{ConnectionKey, Niceness, Node, Permit};

use crate::chaos::orders;
use crate::support::{config, connection};
use crate::tools::Tool;

/// Says that this process is a worker: `index home address,address,…`.
pub(crate) const CHILD: &str = "TURNSTILE_TEST_WORKER";

/// What a worker says within this time, or it is taken for broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// A slot, as the worker that started a call with it saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) worker: usize,
    pub(crate) connection: String,
    pub(crate) niceness: u32,
    /// The number of the call in its worker's load: its order of arrival there.
    pub(crate) index: usize,
    pub(crate) arrival: u64,
    pub(crate) waits_since: u64,
    pub(crate) release: u64,
    /// When the call was started, by the clock that all processes share: see [`now`].
    pub(crate) at: Duration,
}

/// A worker process.
pub(crate) struct Worker {
    pub(crate) index: usize,
    process: Child,
    orders: ChildStdin,
    lines: Receiver<String>,
    /// Starts that came while something else was expected.
    kept: RefCell<VecDeque<String>>,
}

impl Worker {
    /// Starts the worker at `addresses[index]`; it serves when [`Worker::expect`] has read `serving`.
    pub(crate) fn spawn(home: &Path, addresses: &[SocketAddr], index: usize) -> Self {
        Self::spawn_under(&Tool::none(), home, addresses, index)
    }

    /// The same, with its process started by a tool.
    pub(crate) fn spawn_under(tool: &Tool, home: &Path, addresses: &[SocketAddr], index: usize) -> Self {
        let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let mut command = tool.command(&std::env::current_exe().unwrap());
        command.args(["process::worker", "--exact", "--nocapture", "--ignored"]);
        command.env(CHILD, format!("{index} {} {}", home.display(), list.join(",")));
        Self::over(command, index)
    }

    /// The process of this command, which takes orders and writes lines as a worker does.
    pub(crate) fn over(mut command: Command, index: usize) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let orders = process.stdin.take().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { index, process, orders, lines, kept: RefCell::default() }
    }

    /// Gives an order.
    pub(crate) fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").and_then(|()| self.orders.flush()).unwrap();
    }

    /// The rest of the next line that begins with `word`; other lines are kept for later.
    pub(crate) fn expect(&self, word: &str) -> String {
        let kept = self.kept.borrow().iter().position(|line| line.starts_with(word));
        if let Some(line) = kept.and_then(|place| self.kept.borrow_mut().remove(place)) {
            return line[word.len()..].trim().to_owned();
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(until.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|error| panic!("worker {}: no line `{word}`: {error}", self.index));
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
            self.kept.borrow_mut().push_back(line);
        }
    }

    /// Who owns a connection, as an index of `workers`' node ids.
    pub(crate) fn ask(&mut self, order: &str, word: &str) -> String {
        self.order(order);
        self.expect(word)
    }

    /// The starts that it reports until it is quiet for `quiet`, or `count` have come.
    pub(crate) fn starts(&self, count: usize, quiet: Duration) -> Vec<Start> {
        let mut starts = Vec::new();
        while starts.len() < count {
            let kept = self.kept.borrow_mut().pop_front();
            match kept.map_or_else(|| self.lines.recv_timeout(quiet), Ok) {
                Ok(line) => {
                    assert!(!line.starts_with("failed"), "worker {}: {line}", self.index);
                    starts.extend(line.strip_prefix("start ").map(|start| self.parse(start)));
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        starts
    }

    fn parse(&self, start: &str) -> Start {
        let fields: Vec<&str> = start.split(' ').collect();
        Start {
            worker: self.index,
            connection: fields[0].to_owned(),
            niceness: fields[1].parse().unwrap(),
            index: fields[2].parse().unwrap(),
            arrival: fields[3].parse().unwrap(),
            waits_since: fields[4].parse().unwrap(),
            release: fields[5].parse().unwrap(),
            at: Duration::from_nanos(fields[6].parse().unwrap()),
        }
    }

    /// SIGKILL, and the starts that it had reported before, whatever has failed since.
    pub(crate) fn kill(mut self) -> Vec<Start> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let lines = self.kept.take().into_iter().chain(self.lines.iter());
        lines.filter_map(|line| line.strip_prefix("start ").map(|start| self.parse(start))).collect()
    }

    /// The lines that begin with this word, without it, until it is quiet for so long; others are kept for later.
    pub(crate) fn told(&self, word: &str, quiet: Duration) -> Vec<String> {
        let (mut told, mut others) = (Vec::new(), VecDeque::new());
        loop {
            let kept = self.kept.borrow_mut().pop_front();
            let Some(line) = kept.or_else(|| self.lines.recv_timeout(quiet).ok()) else { break };
            match line.strip_prefix(word) {
                Some(rest) => told.push(rest.to_owned()),
                None => others.push_back(line),
            }
        }
        self.kept.replace(others);
        told
    }

    /// Whether a line that begins with this word has come and is kept.
    pub(crate) fn has_said(&self, word: &str) -> bool {
        self.kept.borrow().iter().any(|line| line.starts_with(word))
    }

    /// SIGKILL, and all lines that begin with this word, without it.
    pub(crate) fn kill_and_tell(mut self, word: &str) -> Vec<String> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.told(word, PATIENCE)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Asks it to leave in order, and waits until it has.
    pub(crate) fn leave(mut self) -> Vec<Start> {
        self.order("leave");
        let starts = self.starts(usize::MAX, PATIENCE);
        assert!(self.process.wait().unwrap().success());
        starts
    }

    /// The same, and all lines that begin with this word, without it.
    pub(crate) fn leave_and_tell(mut self, word: &str) -> Vec<String> {
        self.order("leave");
        let told = self.told(word, PATIENCE);
        assert!(self.process.wait().unwrap().success());
        told
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Now, by the monotonic clock of this machine: all its processes read the same, and nobody can set it.
pub(crate) fn now() -> Duration {
    clock_gettime(ClockId::Monotonic).try_into().unwrap()
}

/// Not a test: the worker that other tests start.
#[test]
#[ignore = "the worker process of other tests"]
fn worker() {
    let Ok(child) = std::env::var(CHILD) else { return };
    #[cfg(feature = "planted-faults")]
    crate::chaos::planted::plant();
    let fields: Vec<&str> = child.split(' ').collect();
    let addresses: Vec<SocketAddr> = fields[2].split(',').map(|address| address.parse().unwrap()).collect();
    tokio::runtime::Runtime::new().unwrap().block_on(work(Path::new(fields[1]), &addresses, fields[0].parse().unwrap()));
}

async fn work(home: &Path, addresses: &[SocketAddr], index: usize) {
    if std::env::var_os("TURNSTILE_TEST_LOG").is_some() {
        drop(tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(std::io::stderr).try_init());
    }
    let node = Node::start(orders::changed(config(home, addresses, index))).await.unwrap();
    println!("serving {}", node.id());
    let (sender, mut orders) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.send(line).ok()));
    let stopped = async {
        println!("stopped {}", node.stopped().await);
        std::future::pending().await
    };
    tokio::select! {
        () = obey(&node, index, &mut orders) => {}
        () = stopped => {}
    }
    node.shutdown().await;
    std::process::exit(0);
}

/// Does what the test orders, until it orders to leave or is gone.
async fn obey(node: &Node, index: usize, orders: &mut UnboundedReceiver<String>) {
    while let Some(order) = orders.recv().await {
        let words: Vec<&str> = order.split(' ').collect();
        match words[..] {
            ["load", name, count, window, niceness, calls] => {
                load(
                    node,
                    name,
                    count.parse().unwrap(),
                    window.parse().unwrap(),
                    niceness.parse().unwrap(),
                    calls.parse().unwrap(),
                );
            }
            ["chaos", ..] => orders::obey(node, index, &words[1..]).await,
            ["chain", name, calls] => chain(node, name, calls.parse().unwrap()),
            ["try", name, count, window] => {
                let connection = connection(name, count.parse().unwrap(), Duration::from_millis(window.parse().unwrap()));
                let tried = node.throttler().try_throttle(&connection, || async {}).await;
                println!("tried {:?}", tried.map(|started| started.is_some()));
            }
            ["owner", platform, name] => {
                let key = ConnectionKey::new(platform, name).unwrap();
                println!("owner {}", node.admin().owner(&key).map_or(String::new(), |(node, _)| node.to_string()));
            }
            ["owner", name] => {
                let key = ConnectionKey::new("test", name).unwrap();
                println!("owner {}", node.admin().owner(&key).map_or(String::new(), |(node, _)| node.to_string()));
            }
            ["status"] => {
                let status = node.admin().status().await;
                let leader = status.leader.map_or_else(String::new, |leader| leader.to_string());
                println!("status {} {} {leader}", status.members.len(), status.waiters);
            }
            ["replicas"] => {
                let status = node.admin().status().await;
                println!("replicas {:?} {} {}", status.role, status.voters.len(), status.spares.len());
            }
            ["cluster"] => println!("cluster {}", node.admin().status().await.cluster),
            ["trouble", address] => {
                let peers = node.admin().status().await.peers;
                let trouble = peers.into_iter().find(|peer| peer.address == address).and_then(|peer| peer.trouble);
                println!("trouble {}", trouble.unwrap_or_default());
            }
            ["wall"] => println!("wall {}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()),
            ["refuse", ids] => {
                let ids = ids.split(',').filter(|id| !id.is_empty());
                let nodes = ids.map(|id| turnstile::NodeId::new(u64::from_str_radix(id, 16).unwrap()));
                node.admin().refuse_peers(nodes).unwrap();
                println!("refusing");
            }
            ["leave"] => break,
            _ => panic!("no such order: {order}"),
        }
    }
}

/// A slot's numbers, and the moment: now.
fn started(permit: &Permit) -> String {
    let at = now().as_nanos();
    format!("{} {} {} {at}", permit.arrival().get(), permit.waits_since().get(), permit.release().get())
}

/// Calls that wait all at once.
fn load(node: &Node, name: &str, count: u32, window: u64, niceness: u32, calls: usize) {
    let connection = connection(name, count, Duration::from_millis(window)).with_niceness(Niceness::new(niceness));
    for index in 0..calls {
        let (throttler, connection, name) = (node.throttler(), connection.clone(), name.to_owned());
        // Without tokio's budget, which this loop would use up: then some would not have begun.
        let mut call = Box::pin(tokio::task::unconstrained(async move {
            match throttler.acquire(&connection).await {
                Ok(permit) => {
                    println!("start {name} {niceness} {index} {}", started(&permit));
                }
                Err(error) => println!("failed {name} {niceness} {index}: {error}"),
            }
        }));
        // Begun here, one after the other, so that they wait in the order of their index.
        if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            tokio::spawn(call);
        }
    }
}

/// Calls one behind the other, for a connection that is never at its limit.
fn chain(node: &Node, name: &str, calls: usize) {
    let (throttler, connection, name) = (node.throttler(), connection(name, 1_000_000, Duration::from_secs(1)), name.to_owned());
    tokio::spawn(async move {
        for index in 0..calls {
            match throttler.acquire(&connection).await {
                Ok(permit) => {
                    println!("start {name} 0 {index} {}", started(&permit));
                }
                Err(error) => println!("failed {name} 0 {index}: {error}"),
            }
        }
    });
}
