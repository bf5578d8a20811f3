//! The settings of a cluster, which are judged together.
//!
//! Promises: no two clusters can come of one list of addresses, as long as all nodes have the same. Of names nobody knows how many nodes they
//! come to: who lists one says how many found the cluster.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;

use super::{Key, Origin, Problem, Reader, rule};
use crate::config::ClusterConfig;
use crate::discovery::{PeerSource, host_and_port};

/// Whether a list has the node that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    /// It has.
    Listed,
    /// It has the others only.
    Unlisted,
    /// A name, or any address of this machine, may be the node's own: only a look at the network could tell.
    Unknown,
}

impl Reader {
    /// The cluster, `Some(None)` for a node by itself; `None` when a problem says why not.
    pub(super) fn cluster(&mut self) -> Option<Option<ClusterConfig>> {
        let is_said = |reader: &Self, key| reader.value(key).is_some();
        let (listen_is_said, peers_are_said) = (is_said(self, Key::PeerListen), is_said(self, Key::Peers));
        let listen = self.read(Key::PeerListen, &rule::PEER_ADDRESS);
        let advertise_is_said = is_said(self, Key::PeerAdvertise);
        let advertise = self.read(Key::PeerAdvertise, &rule::REACHED_AT);
        let peers = self.read(Key::Peers, &rule::PEERS).and_then(|entries| self.each_once(entries));
        let nameserver_is_said = is_said(self, Key::Nameserver);
        let nameserver = self.read(Key::Nameserver, &rule::NAME_SERVER);
        let expect_is_said = is_said(self, Key::Expect);
        let expect = self.read(Key::Expect, &rule::COUNT);
        let hold_is_said = self.place(Key::ColdStartHold).origin != Origin::Default;
        let cold_start_hold = self.read(Key::ColdStartHold, &rule::SPAN);
        if !peers_are_said {
            let needs_peers = [
                (Key::PeerListen, listen_is_said),
                (Key::PeerAdvertise, advertise_is_said),
                (Key::Nameserver, nameserver_is_said),
                (Key::Expect, expect_is_said),
                (Key::ColdStartHold, hold_is_said),
            ];
            let lonely = needs_peers.into_iter().filter(|(_, is_said)| *is_said).map(|(key, _)| self.place(key));
            let lonely: Vec<Problem> = lonely.map(|place| Problem::NoPeers { place }).collect();
            // A file that couldn't be read may have said them.
            if !self.problems.iter().any(Problem::hides_settings) {
                self.problems.extend(lonely);
            }
            return Some(None);
        }
        if !listen_is_said {
            if !self.problems.iter().any(Problem::hides_settings) {
                self.problems.push(Problem::NoPeerListen { peers: self.place(Key::Peers) });
            }
            return None;
        }
        let (listen, peers) = (listen?, peers?);
        let name = peers.iter().find(|peer| peer.address().is_none());
        if name.is_none() && nameserver_is_said {
            self.problems.push(Problem::NoNames { nameserver: self.place(Key::Nameserver), peers: self.place(Key::Peers) });
        }
        let expect = match name {
            Some(_) if expect_is_said => expect?,
            Some(name) => {
                self.problems.push(Problem::ExpectUnstated { peers: self.place(Key::Peers), name: name.clone() });
                return None;
            }
            None if expect_is_said => self.within(expect?, peers.len(), own_in(&peers, listen, advertise.as_deref()))?,
            None => self.all(listen, peers.len(), own_in(&peers, listen, advertise.as_deref()))?,
        };
        let cold_start_hold = cold_start_hold?;
        Some(Some(ClusterConfig { listen, advertise, peers, nameserver, expect, cold_start_hold }))
    }

    /// The list, if everything in it says a place, once.
    fn each_once(&mut self, entries: Vec<String>) -> Option<Vec<PeerSource>> {
        let place = self.place(Key::Peers);
        let (mut peers, mut counts) = (Vec::new(), BTreeMap::<String, usize>::new());
        let before = self.problems.len();
        for entry in entries {
            match entry.parse() {
                Ok(peer) => {
                    // Names don't differ by case.
                    *counts.entry(entry.to_ascii_lowercase()).or_default() += 1;
                    peers.push(peer);
                }
                Err(invalid) => self.problems.push(Problem::Peer { place: place.clone(), invalid }),
            }
        }
        let twice = counts.into_iter().filter(|(_, count)| *count > 1);
        self.problems.extend(twice.map(|(entry, count)| Problem::PeerTwice { place: place.clone(), entry, count }));
        (self.problems.len() == before).then_some(peers)
    }

    /// All nodes, which is what is expected unless somebody says less.
    fn all(&mut self, listen: SocketAddr, listed: usize, own: Own) -> Option<NonZeroUsize> {
        match own {
            Own::Listed => NonZeroUsize::new(listed),
            Own::Unlisted => NonZeroUsize::new(listed + 1),
            Own::Unknown => {
                let (peer_listen, peers) = (self.place(Key::PeerListen), self.place(Key::Peers));
                self.problems.push(Problem::ExpectUnknown { peer_listen, address: listen, peers });
                None
            }
        }
    }

    /// The number, if it is more than half of all nodes and no more than all. Where nobody can tell whether the node is listed, what fits either is let pass.
    fn within(&mut self, expect: NonZeroUsize, listed: usize, own: Own) -> Option<NonZeroUsize> {
        let (fewest, most) = match own {
            Own::Listed => (listed, listed),
            Own::Unlisted => (listed + 1, listed + 1),
            Own::Unknown => (listed, listed + 1),
        };
        let (place, least) = (self.place(Key::Expect), fewest / 2 + 1);
        let expected = expect.get();
        if expected > most {
            let peers = self.place(Key::Peers);
            self.problems.push(Problem::ExpectTooLarge { place, expect: expected, peers, nodes: most, listed });
            return None;
        }
        if expected < least {
            self.problems.push(Problem::ExpectTooSmall { place, expect: expected, nodes: fewest, least });
            return None;
        }
        Some(expect)
    }
}

/// Whether one of the addresses is the node's own: where it listens, or where it says that it is reached.
fn own_in(peers: &[PeerSource], listen: SocketAddr, advertise: Option<&str>) -> Own {
    let could_be = |entry: &str| match entry.parse::<SocketAddr>() {
        Ok(address) => listen.ip().is_unspecified() && address.port() == listen.port(),
        // A name.
        Err(_) => host_and_port(entry).is_some_and(|(_, port)| port == listen.port()),
    };
    let mut addresses = peers.iter().filter_map(PeerSource::address);
    if addresses.clone().any(|entry| entry.parse() == Ok(listen) || advertise == Some(entry)) {
        Own::Listed
    } else if addresses.any(could_be) {
        Own::Unknown
    } else {
        Own::Unlisted
    }
}
