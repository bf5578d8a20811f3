//! The other nodes of the cluster: who they are, how they are, and the way to them.
//!
//! ```text
//! lookout ► where others may be: discovery, and what others know
//! link ──► Greet, all the time: who is at this address, and is it alive?
//!      ──► Call: Raft's messages, commands for the leader                    (consensus::transport)
//!      ──► Route: acquires for connections that the other node owns          session ◄──► serving
//!      ──► Follow: the ring, for a node without the log                      follow
//! server ◄── the same from the others
//! formation: from nodes without a cluster to one      standing: what each says of itself
//! watch: from silence to a mark-down                  reconcile: from missing replicas to new ones
//! ```
//!
//! Promises: every message names its sender, and is refused unless it is of this cluster, for this node, and in this protocol.
//! Must not: decide who owns what, or who is served.

mod copies;
mod follow;
mod formation;
mod link;
mod listener;
mod local;
mod lookout;
mod parked;
mod reconcile;
mod router_clock;
mod server;
mod serving;
mod session;
mod speaker;
mod standing;
mod transport;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch as latest;

use self::copies::Copied;
pub(crate) use self::follow::follow;
pub(crate) use self::formation::form;
use self::link::{Heard, Link};
pub use self::listener::BindError;
pub(crate) use self::listener::{bind, serve};
pub(crate) use self::local::Local;
use self::lookout::Hints;
pub(crate) use self::lookout::look_for_others;
pub(crate) use self::reconcile::{leave_the_replicas, reconcile};
pub(crate) use self::server::{Server, Services};
pub(crate) use self::session::Session;
use self::speaker::Speaker;
pub(crate) use self::standing::stand;
pub(crate) use self::watch::mark_silent_members_down;
use crate::clock::Clock;
use crate::consensus::Belonging;
use crate::engine::grant::{Incarnation, NodeId};
use crate::engine::ledger::Level;
use crate::engine::membership::{Role, THERE_WITHIN};
use crate::engine::ring::Ring;
use crate::engine::time::Timestamp;
use crate::wire::standing::Standing;
use crate::wire::v1;

/// The newest and the oldest version of the protocol between nodes that this release speaks. A release that can't say what it has to in the former one speaks
/// a newer one, and the former as well, until all are of its kind.
const PROTOCOL: u32 = if cfg!(feature = "next-level") { 2 } else { 1 };
const OLDEST_PROTOCOL: u32 = 1;

/// How often an address is greeted: by a node without a cluster, and between replicas, who must miss each other soon.
const GREET_EVERY: Duration = Duration::from_millis(100);
/// Between a replica and an observer, and where nobody has answered yet.
const GREET_SELDOM: Duration = Duration::from_millis(500);
/// Between observers, who need nothing of each other.
const GREET_OBSERVERS_EVERY: Duration = Duration::from_secs(5);

/// What all parts know.
#[derive(Debug)]
struct Shared {
    own: Incarnation,
    belonging: Arc<Belonging>,
    clock: Clock,
    /// Where others reach this node: see `GreetRequest.listens_at`.
    listens_at: String,
    links: Mutex<Links>,
    hints: Hints,
    standing: Mutex<Standing>,
    /// Whether this node owns nothing any more because it ends.
    hands_over: AtomicBool,
    /// When this node last knew that a majority of the voters is there.
    in_touch_at: Mutex<Option<Timestamp>>,
    /// Held while one that has answered is compared with the others.
    hearing: Mutex<()>,
    /// Whom an operator has cut off, to see what happens.
    refused: Mutex<BTreeSet<NodeId>>,
    /// Told of every change of a session.
    sessions_changed: latest::Sender<()>,
}

/// One for each address.
type Links = Arc<Vec<Arc<Link>>>;

/// The other nodes, as this one knows them.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    shared: Arc<Shared>,
}

/// The sessions with the other nodes.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    /// `None` for a node without peers.
    peers: Option<Peers>,
}

/// Another node, as this one has heard of it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerReport {
    /// The address where it is looked for.
    pub address: String,
    /// Who has answered there last.
    pub node: Option<NodeId>,
    /// How long ago.
    pub silent_for: Option<Duration>,
    /// Why it does not answer.
    pub trouble: Option<String>,
}

impl Peers {
    /// The other nodes of this one, which they reach at `listens_at`; none is known yet.
    pub(crate) fn new(own: Incarnation, belonging: Arc<Belonging>, clock: Clock, listens_at: String) -> Self {
        let (links, hints, hands_over, in_touch_at, hearing, refused) = Default::default();
        let standing = Mutex::new(Standing { newest_level: Level::NEWEST, ..Standing::default() });
        let sessions_changed = latest::Sender::new(());
        Self {
            shared: Arc::new(Shared {
                own,
                belonging,
                clock,
                listens_at,
                links,
                hints,
                standing,
                hands_over,
                in_touch_at,
                hearing,
                refused,
                sessions_changed,
            }),
        }
    }

    /// This node.
    pub(crate) fn node(&self) -> NodeId {
        self.shared.own.node
    }

    /// This node's clock.
    pub(crate) fn clock(&self) -> Clock {
        self.shared.clock
    }

    fn links(&self) -> Links {
        Arc::clone(&self.shared.links.lock())
    }

    /// What every message to `to` begins with.
    fn sender(&self, to: NodeId) -> v1::Sender {
        self.sender_to(to.get())
    }

    fn sender_to(&self, to: u64) -> v1::Sender {
        let Shared { own, belonging, .. } = &*self.shared;
        v1::Sender {
            protocol: PROTOCOL,
            cluster: belonging.cluster().0.to_be_bytes().to_vec(),
            is_bound: belonging.is_bound(),
            node: own.node.get(),
            run: own.run.get(),
            to,
            oldest_protocol: Some(OLDEST_PROTOCOL),
        }
    }

    fn is_refused(&self, node: NodeId) -> bool {
        self.shared.refused.lock().contains(&node)
    }

    /// From now on neither speaks to these nodes nor listens to them, to no others.
    pub(crate) fn refuse(&self, nodes: impl IntoIterator<Item = NodeId>) {
        *self.shared.refused.lock() = nodes.into_iter().collect();
        for link in self.links().iter() {
            if link.heard().is_some_and(|heard| self.is_refused(heard.by.node)) {
                link.end_session();
            }
        }
    }

    /// What was heard of all others, lately or not.
    fn heard(&self) -> impl Iterator<Item = Heard> {
        let (links, own) = (self.links(), self.node());
        let heard: Vec<Heard> = links.iter().filter_map(|link| link.heard()).filter(|heard| heard.by.node != own).collect();
        heard.into_iter()
    }

    /// What was heard lately.
    fn there(&self) -> impl Iterator<Item = Heard> {
        let now = self.shared.clock.now();
        self.heard().filter(move |heard| now.saturating_since(heard.at) < THERE_WITHIN)
    }

    /// How long a node has not been heard of; `None` for one that never was.
    fn silent_for(&self, node: NodeId) -> Option<Duration> {
        let now = self.shared.clock.now();
        self.heard().filter(|heard| heard.by.node == node).map(|heard| now.saturating_since(heard.at)).min()
    }

    /// How often the one at `link` is greeted.
    fn greets_every(&self, link: &Link) -> Duration {
        let knows_its_cluster = self.shared.belonging.is_bound() && self.standing().known.is_some();
        let Some(heard) = link.heard().filter(|_| knows_its_cluster) else { return GREET_EVERY };
        let is_observer = |node| self.role_of(node) == Role::Observer;
        match (is_observer(self.node()), is_observer(heard.by.node)) {
            (false, false) => GREET_EVERY,
            // One that is not of the cluster yet may be looking for it.
            (true, true) if heard.cluster.is_some() => GREET_OBSERVERS_EVERY,
            _ => GREET_SELDOM,
        }
    }

    /// Notes who has answered at `link`, and returns who has before.
    fn note(&self, link: &Link, heard: Heard) -> Result<Option<Heard>, Copied> {
        let _alone = self.shared.hearing.lock();
        copies::note(&self.links(), link, heard)
    }

    /// Where a node was heard last.
    fn link_to(&self, node: NodeId) -> Option<Arc<Link>> {
        let links = self.links();
        let heard = links.iter().filter_map(|link| Some((link.heard().filter(|heard| heard.by.node == node)?.at, link)));
        heard.max_by_key(|(at, _)| *at).map(|(_, link)| Arc::clone(link))
    }

    fn session_with(&self, node: NodeId) -> Option<Arc<Session>> {
        self.links().iter().find_map(|link| link.session().filter(|session| session.node() == node))
    }

    /// All addresses but this node's own.
    pub(crate) fn report(&self) -> Vec<PeerReport> {
        let (now, links) = (self.shared.clock.now(), self.links());
        let others = links.iter().filter(|link| link.heard().is_none_or(|heard| heard.by.node != self.node()));
        let report = |link: &Arc<Link>| PeerReport {
            address: link.address().to_owned(),
            node: link.heard().map(|heard| heard.by.node),
            silent_for: link.heard().map(|heard| now.saturating_since(heard.at)),
            trouble: link.trouble(),
        };
        others.map(report).collect()
    }
}

impl Sessions {
    /// Of a node that has nobody to talk to.
    pub(crate) const fn none() -> Self {
        Self { peers: None }
    }

    /// Of a node with peers.
    pub(crate) const fn of(peers: Peers) -> Self {
        Self { peers: Some(peers) }
    }

    /// Ends the sessions with nodes that have left the ring: whatever they still say was said by an owner that is none any more. Runs until it is
    /// dropped.
    pub(crate) async fn end_with_departures(self, mut rings: latest::Receiver<Arc<Ring>>) {
        let Some(peers) = self.peers else { return };
        let mut former = Arc::clone(&rings.borrow_and_update());
        while rings.changed().await.is_ok() {
            let ring = Arc::clone(&rings.borrow_and_update());
            for link in peers.links().iter() {
                let has_left = |node| former.has(node) && !ring.has(node);
                if link.session().is_some_and(|session| has_left(session.node())) {
                    link.end_session();
                }
            }
            former = ring;
        }
    }

    /// The session with this node, as soon as there is one. Cancel-safe.
    pub(crate) async fn to(&self, node: NodeId) -> Arc<Session> {
        let Some(peers) = &self.peers else { return std::future::pending().await };
        let mut changed = peers.shared.sessions_changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(session) = peers.session_with(node) {
                return session;
            }
            // Its sender is held by the peers.
            drop(changed.changed().await);
        }
    }
}
