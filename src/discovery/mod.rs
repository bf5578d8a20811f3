//! Where the other nodes may be: addresses as they were said, and names that are looked up.
//!
//! ```text
//! peers ──► PeerSource ──► Discovery::look ──► names ──► name server
//!                                └──► Found: addresses, and what is wrong
//! ```
//!
//! Promises: a look ends within about 4 s and asks anew; what is wrong with one source hides no other.
//! Must not: believe what it is told. An address is a hint; a handshake proves who is there.

mod address;
mod names;
mod source;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use futures_util::future::join_all;

use self::names::{Answer, Names};
pub use self::source::{InvalidPeerSource, PeerSource};

#[cfg(feature = "cli")]
pub(crate) use self::address::host_and_port;

/// Looks for nodes in the places that were said.
#[derive(Debug, Clone)]
pub struct Discovery {
    sources: Vec<PeerSource>,
    nameserver: Option<SocketAddr>,
}

/// What a look has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Where nodes may be, as `host:port` or `ip:port`: at most 256 of each name.
    pub addresses: BTreeSet<String>,
    /// What was wrong, in the order of the sources.
    pub troubles: Vec<Trouble>,
}

/// What is wrong with a source, or with a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Which one.
    pub source: PeerSource,
    /// Why it, or that part, was not found.
    pub reason: String,
}

impl Discovery {
    /// Looks in these places; asks this name server about names, or those of the system (`/etc/resolv.conf`).
    #[must_use]
    pub const fn new(sources: Vec<PeerSource>, nameserver: Option<SocketAddr>) -> Self {
        Self { sources, nameserver }
    }

    /// Looks once, at all places together. Cancel-safe.
    pub async fn look(&self) -> Found {
        let names = Names::of(self.nameserver);
        let answers = join_all(self.sources.iter().map(|source| look_at(source, &names))).await;
        let mut found = Found::default();
        for (source, Answer { addresses, reasons }) in self.sources.iter().zip(answers) {
            found.addresses.extend(addresses);
            found.troubles.extend(reasons.into_iter().map(|reason| Trouble { source: source.clone(), reason }));
        }
        found
    }
}

async fn look_at(source: &PeerSource, names: &Names) -> Answer {
    match source {
        PeerSource::Address(address) => Answer { addresses: [address.clone()].into(), ..Answer::default() },
        PeerSource::Dns { name, port } => names.hosts(name, *port).await,
        PeerSource::Srv { name } => names.services(name).await,
    }
}
