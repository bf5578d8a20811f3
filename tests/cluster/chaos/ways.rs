//! The ways between three nodes, each through this process, so that one direction of one can be cut.
//!
//! Each node listens where only this process knows, and says that it is reached at a way here: so whatever it says to others, and others tell each other of it,
//! leads through here. Who has come by a way is found out by the socket.
//!
//! What is said on a way that is cut does not arrive until it is open again, as TCP has it where packets are lost: nobody is told that it was not heard.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::orders::LISTENS_AT;
use crate::process::CHILD;
use crate::support::free_addresses;
use crate::tools::Tool;

/// How often somebody looks whether a way is open again.
const LOOKS_EVERY: Duration = Duration::from_millis(5);

/// What was done to the ways, and what came of it.
#[derive(Default)]
struct Cuts {
    /// Whether what the first says to the second is held up.
    is_cut: [[AtomicBool; 3]; 3],
    /// How often something was.
    held: AtomicUsize,
}

/// All ways.
pub(crate) struct Ways {
    cuts: Arc<Cuts>,
    /// Where the nodes are reached.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Where they listen.
    listens_at: Vec<SocketAddr>,
}

impl Ways {
    pub(crate) fn open() -> Self {
        let (cuts, listens_at) = (Arc::<Cuts>::default(), free_addresses(3));
        let way = |(to, target): (usize, &SocketAddr)| {
            let (cuts, target) = (Arc::clone(&cuts), *target);
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            thread::spawn(move || {
                for incoming in listener.incoming().map_while(Result::ok) {
                    let from = incoming.peer_addr().ok().and_then(worker_at);
                    let (Some(from), Ok(outgoing)) = (from, TcpStream::connect(target)) else { continue };
                    let back = (outgoing.try_clone().unwrap(), incoming.try_clone().unwrap());
                    carry(incoming, outgoing, &cuts, (from, to));
                    carry(back.0, back.1, &cuts, (to, from));
                }
            });
            address
        };
        let addresses = listens_at.iter().enumerate().map(way).collect();
        Self { cuts, addresses, listens_at }
    }

    /// What each node is started with.
    pub(crate) fn tools(&self) -> Vec<Tool> {
        self.listens_at.iter().map(|address| Tool::environment(LISTENS_AT, &address.to_string())).collect()
    }

    /// From now on the second hears the first, or doesn't.
    pub(crate) fn cut(&self, from: usize, to: usize, is_cut: bool) {
        self.cuts.is_cut[from][to].store(is_cut, Ordering::Relaxed);
    }

    /// How often something that was said had to wait.
    pub(crate) fn held(&self) -> usize {
        self.cuts.held.load(Ordering::Relaxed)
    }
}

/// Which worker of this process has the socket at this address.
fn worker_at(address: SocketAddr) -> Option<usize> {
    let own_port = format!(":{:04X}", address.port());
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = sockets.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    let inode = rows.filter(|row| row[1].ends_with(&own_port)).map(|row| row[9].to_owned()).find(|inode| inode != "0")?;
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|process| process.path());
    let has_it = |process: &Path| {
        let files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target == Path::new(&socket))
    };
    processes
        .filter_map(|process| Some((index_of(&process)?, process)))
        .find(|(_, process)| has_it(process))
        .map(|(index, _)| index)
}

/// The number of the worker that a process is, if it is one.
fn index_of(process: &Path) -> Option<usize> {
    let environment = String::from_utf8(fs::read(process.join("environ")).ok()?).ok()?;
    let child = environment.split('\0').find_map(|variable| variable.strip_prefix(CHILD)?.strip_prefix('='))?;
    child.split(' ').next()?.parse().ok()
}

/// Carries what one says to another until either hangs up.
fn carry(mut from: TcpStream, mut to: TcpStream, cuts: &Arc<Cuts>, (speaker, listener): (usize, usize)) {
    let cuts = Arc::clone(cuts);
    let mut some = vec![0; 1 << 16];
    thread::spawn(move || {
        drop((from.set_nodelay(true), to.set_nodelay(true)));
        loop {
            let read = from.read(&mut some).unwrap_or_default();
            let is_cut = || cuts.is_cut[speaker][listener].load(Ordering::Relaxed);
            if is_cut() {
                cuts.held.fetch_add(1, Ordering::Relaxed);
            }
            while is_cut() {
                thread::sleep(LOOKS_EVERY);
            }
            if read == 0 || to.write_all(&some[..read]).is_err() {
                break;
            }
        }
        drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
    });
}
