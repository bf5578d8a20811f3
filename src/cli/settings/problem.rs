//! What can be wrong with the settings.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::key::{Key, Place};
use crate::discovery::{InvalidPeerSource, PeerSource};

/// One thing to correct.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The file can't be read.
    #[error("{named_by}: cannot read {}: {source}", path.display())]
    Unreadable {
        /// The flag or variable that names the file.
        named_by: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{}, line {line}, column {column}: not TOML: {reason}", path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1.
        column: usize,
        /// What the parser said.
        reason: String,
    },
    /// The file has a key that is no setting.
    #[error("{}: {name} is not a setting{}", path.display(), hint(suggestion.map(Key::name)))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key as written.
        name: String,
        /// What may be meant.
        suggestion: Option<Key>,
    },
    /// The environment has a variable of ours that is no setting.
    #[error("{name} in the environment is not a setting{}", hint(suggestion.map(Key::variable)))]
    UnknownVariable {
        /// The variable as written.
        name: String,
        /// What may be meant.
        suggestion: Option<Key>,
    },
    /// A variable that is not text.
    #[error("{name} is {value}; it must be UTF-8")]
    NotUtf8 {
        /// The variable.
        name: String,
        /// Its value, with what is no text escaped.
        value: String,
    },
    /// A value that breaks the setting's rule.
    #[error("{place} is {value}; it must be {rule}")]
    Value {
        /// Where it was said.
        place: Place,
        /// The value as written.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// Two places for one log.
    #[error("{data} and {memory} are both given; the log is kept in a directory or in memory, not in both")]
    TwoStorages {
        /// Where the directory was said.
        data: Place,
        /// Where memory was said.
        memory: Place,
    },
    /// Something in the list that says no place.
    #[error("{place} has {:?}; each must be {}", invalid.entry, InvalidPeerSource::RULE)]
    Peer {
        /// Where the list was said.
        place: Place,
        /// What it has.
        invalid: InvalidPeerSource,
    },
    /// An entry that is in the list several times.
    #[error("{place} has {entry:?} {count} times; each node is named once")]
    PeerTwice {
        /// Where the list was said.
        place: Place,
        /// What it has.
        entry: String,
        /// How often.
        count: usize,
    },
    /// Peers that couldn't reach this node.
    #[error("{peers} is given, but not where they reach this node; give {} ADDRESS:PORT", Key::PeerListen.flag())]
    NoPeerListen {
        /// Where the list was said.
        peers: Place,
    },
    /// A name server, and nothing to ask it.
    #[error("{nameserver} is given, but {peers} has no name to look up; write dns:NAME:PORT or srv:NAME, or leave it out")]
    NoNames {
        /// Where the name server was said.
        nameserver: Place,
        /// Where the list was said.
        peers: Place,
    },
    /// A setting of a cluster that nobody else is in.
    #[error("{place} is given, but no peers; give {} HOST:PORT,…, or leave it out for a node by itself", Key::Peers.flag())]
    NoPeers {
        /// Which setting.
        place: Place,
    },
    /// More nodes than there are.
    #[error("{place} is {expect}, larger than the list: {peers} comes to {nodes}{}", counted(*nodes, *listed))]
    ExpectTooLarge {
        /// Where the number was said.
        place: Place,
        /// The number.
        expect: usize,
        /// Where the list was said.
        peers: Place,
        /// How many nodes there are at most.
        nodes: usize,
        /// How many the list has.
        listed: usize,
    },
    /// So few that two clusters could come of them.
    #[error(
        "{place} is {expect}; it must be more than half of {nodes} nodes, or two clusters could come of them: {least} to {nodes}"
    )]
    ExpectTooSmall {
        /// Where the number was said.
        place: Place,
        /// The number.
        expect: usize,
        /// How many nodes there are.
        nodes: usize,
        /// What would do.
        least: usize,
    },
    /// A name may come to any number of nodes.
    #[error(
        "nothing says how many nodes found the cluster, and {peers} has {name}, which does not tell; give {} COUNT: more than half of the nodes \
         that may start together",
        Key::Expect.flag()
    )]
    ExpectUnstated {
        /// Where the list was said.
        peers: Place,
        /// The first name that it has.
        name: PeerSource,
    },
    /// Nobody knows whether the node itself counts.
    #[error(
        "nothing says how many nodes found the cluster, and {peer_listen} ({address}) does not tell whether {peers} has this node; give {} COUNT: \
         the number of all nodes is safe",
        Key::Expect.flag()
    )]
    ExpectUnknown {
        /// Where the node's own address was said.
        peer_listen: Place,
        /// The address.
        address: SocketAddr,
        /// Where the list was said.
        peers: Place,
    },
    /// No place for the log.
    #[error("nothing says where the log is kept; give --data DIRECTORY, or --memory if limits may be forgotten with the process")]
    NoStorage,
}

impl Problem {
    /// Whether a source couldn't be read, so that nobody knows what it says.
    pub(super) const fn hides_settings(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::NotToml { .. })
    }
}

/// How a number of nodes comes of a list.
fn counted(nodes: usize, listed: usize) -> &'static str {
    if nodes == listed { "" } else { ", this node counted" }
}

fn hint(suggestion: Option<impl AsRef<str>>) -> String {
    suggestion.map_or_else(String::new, |name| format!("; did you mean {}?", name.as_ref()))
}
