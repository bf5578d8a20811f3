//! Where other nodes may be: what discovery finds, and what other nodes know. Each address is a hint; who answers there proves what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

use super::Peers;
use super::link::{self, Link};
use crate::clock;
use crate::discovery::{Discovery, Trouble};
use crate::engine::membership::FORGOTTEN_AFTER;
use crate::engine::time::Timestamp;

/// How often names are looked up by a node that has no cluster yet, or hears nobody, and by others.
const LOOK_SOON: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The most addresses that are kept on what others say.
const MAX_HINTS: usize = 1000;

/// Addresses that others have named.
#[derive(Debug, Default)]
pub(super) struct Hints {
    named: Mutex<BTreeSet<String>>,
    more: Notify,
}

impl Peers {
    /// Notes where others may be.
    pub(super) fn hint(&self, addresses: impl IntoIterator<Item = String>) {
        let links = self.links();
        let unknown = addresses.into_iter().filter(|address| links.iter().all(|link| link.address() != address));
        let mut named = self.shared.hints.named.lock();
        let before = named.len();
        for address in unknown {
            if named.len() < MAX_HINTS {
                named.insert(address);
            }
        }
        if named.len() > before {
            self.shared.hints.more.notify_one();
        }
    }

    /// Where a node is reached that says so itself and has called from here.
    pub(super) fn hint_of(&self, listens_at: &str, from: Option<SocketAddr>) {
        let address = match (listens_at.parse::<SocketAddr>(), from) {
            (Ok(address), Some(from)) if address.ip().is_unspecified() => {
                SocketAddr::new(from.ip().to_canonical(), address.port()).to_string()
            }
            (Ok(address), None) if address.ip().is_unspecified() => return,
            _ => listens_at.to_owned(),
        };
        if !address.is_empty() {
            self.hint([address]);
        }
    }

    /// Where others are whom this node has heard lately.
    pub(super) fn known_addresses(&self) -> Vec<String> {
        let (links, now) = (self.links(), self.shared.clock.now());
        let is_there = |link: &&Arc<Link>| {
            link.heard().is_some_and(|heard| heard.by.node != self.node() && now.saturating_since(heard.at) < LOOK_EVERY)
        };
        links.iter().filter(is_there).take(MAX_HINTS).map(|link| link.address().to_owned()).collect()
    }
}

/// Looks for other nodes, greets them, and keeps sessions with those who own connections. Runs until it is dropped.
pub(crate) async fn look_for_others(peers: &Peers, discovery: &Discovery) {
    let mut lookout = Lookout { peers, tasks: JoinSet::new(), addresses: BTreeMap::new() };
    // Said once of each: it is looked up again and again.
    let mut troubled = BTreeSet::new();
    loop {
        let found = discovery.look().await;
        for Trouble { source, reason } in found.troubles {
            if troubled.insert(source.to_string()) {
                tracing::warn!(%source, %reason, "peers could not be looked up; looking again");
            }
        }
        let is_calm = peers.shared.belonging.is_bound() && peers.there().next().is_some();
        let look_again = clock::sleep(if is_calm { LOOK_EVERY } else { LOOK_SOON });
        lookout.look_at(found.addresses);
        tokio::pin!(look_again);
        loop {
            let named = std::mem::take(&mut *peers.shared.hints.named.lock());
            named.into_iter().for_each(|address| lookout.add(address));
            tokio::select! {
                () = &mut look_again => break,
                () = peers.shared.hints.more.notified() => {}
            }
        }
    }
}

struct Lookout<'a> {
    peers: &'a Peers,
    tasks: JoinSet<()>,
    /// Each with its task, and when it was found or named last.
    addresses: BTreeMap<String, (AbortHandle, Timestamp)>,
}

impl Lookout<'_> {
    fn add(&mut self, address: String) {
        let now = self.peers.shared.clock.now();
        if let Some((_, seen_at)) = self.addresses.get_mut(&address) {
            *seen_at = now;
            return;
        }
        let link = Arc::new(Link::new(&address));
        self.change_links(|links| links.push(Arc::clone(&link)));
        let peers = self.peers.clone();
        let task = self.tasks.spawn(async move { link::keep(&peers, &link).await });
        self.addresses.insert(address, (task, now));
    }

    /// Takes what discovery has found, and forgets where nobody has been for long.
    fn look_at(&mut self, found: BTreeSet<String>) {
        found.into_iter().for_each(|address| self.add(address));
        let (links, now) = (self.peers.links(), self.peers.shared.clock.now());
        let heard_at = |address: &str| links.iter().find(|link| link.address() == address)?.heard().map(|heard| heard.at);
        self.addresses.retain(|address, (task, seen_at)| {
            let last = heard_at(address).map_or(*seen_at, |at| at.max(*seen_at));
            let is_kept = now.saturating_since(last) < FORGOTTEN_AFTER;
            if !is_kept {
                tracing::info!(%address, "nobody has been here for long: forgotten");
                task.abort();
            }
            is_kept
        });
        let kept = &self.addresses;
        let is_kept = |link: &Arc<Link>| kept.contains_key(link.address());
        if !links.iter().all(is_kept) {
            let gone = links.iter().filter(|link| !is_kept(link));
            gone.for_each(|link| link.end_session());
            self.change_links(|links| links.retain(|link| self.addresses.contains_key(link.address())));
        }
        while self.tasks.try_join_next().is_some() {}
    }

    fn change_links(&self, change: impl FnOnce(&mut Vec<Arc<Link>>)) {
        let mut links = self.peers.shared.links.lock();
        let mut changed = links.to_vec();
        change(&mut changed);
        *links = Arc::new(changed);
    }
}
