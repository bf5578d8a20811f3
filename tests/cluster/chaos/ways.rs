//! The ways between three nodes, each through this process, so that one direction of one can be cut.
//!
//! What is said on a way that is cut does not arrive until it is open again, as TCP has it where packets are lost: nobody is told that it was not heard.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::free_addresses;

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
    /// For each node, where it finds all three: itself where it listens, the others at the ways to them.
    pub(crate) lists: Vec<Vec<SocketAddr>>,
}

impl Ways {
    pub(crate) fn open() -> Self {
        let (cuts, own) = (Arc::<Cuts>::default(), free_addresses(3));
        let mut lists = vec![own.clone(); 3];
        for (from, list) in lists.iter_mut().enumerate() {
            for (to, address) in list.iter_mut().enumerate().filter(|(to, _)| *to != from) {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let target = std::mem::replace(address, listener.local_addr().unwrap());
                let cuts = Arc::clone(&cuts);
                thread::spawn(move || {
                    for incoming in listener.incoming().map_while(Result::ok) {
                        let Ok(outgoing) = TcpStream::connect(target) else { continue };
                        let back = (outgoing.try_clone().unwrap(), incoming.try_clone().unwrap());
                        carry(incoming, outgoing, &cuts, (from, to));
                        carry(back.0, back.1, &cuts, (to, from));
                    }
                });
            }
        }
        Self { cuts, lists }
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
