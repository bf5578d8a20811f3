//! The settings of `turnstile node`, by name.
//!
//! Promises: a setting is spelled one way only: the key of the file, from which the variable and the flag follow.

use std::fmt;
use std::path::PathBuf;

/// What the environment variables of the settings begin with.
pub(crate) const PREFIX: &str = "TURNSTILE_";

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// The address and port that the node serves on.
    Listen,
    /// The directory of the node's log.
    Data,
    /// Whether the log is kept in memory instead.
    Memory,
    /// The node that the directory must belong to.
    ExpectedNode,
    /// The address and port where the node listens for its peers.
    PeerListen,
    /// Where the node's peers reach it, if that is another.
    PeerAdvertise,
    /// Where the nodes of the cluster are.
    Peers,
    /// The name server that knows the names among them.
    Nameserver,
    /// How many nodes found the cluster.
    Expect,
    /// How long a new cluster holds each connection back.
    ColdStartHold,
    /// Whether an operator may cut the node off from others.
    EnableFaultInjection,
    /// How many owning actors share the connections.
    Shards,
    /// The most acquires that wait for one connection.
    MaxWaitersPerConnection,
    /// The most connections that are in use.
    MaxConnections,
    /// The most acquires that have begun and not ended.
    MaxInFlight,
    /// Whether limits that differ from those in force are refused.
    StrictLimits,
    /// What is logged.
    Log,
    /// How it is logged.
    LogFormat,
}

/// What a setting's value looks like in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string, or a list of strings.
    Text,
    /// An integer.
    Number,
    /// `true` or `false`.
    Switch,
}

impl Key {
    /// Every setting, in the order in which they are shown.
    pub(crate) const ALL: [Self; 18] = [
        Self::Listen,
        Self::Data,
        Self::Memory,
        Self::ExpectedNode,
        Self::PeerListen,
        Self::PeerAdvertise,
        Self::Peers,
        Self::Nameserver,
        Self::Expect,
        Self::ColdStartHold,
        Self::EnableFaultInjection,
        Self::Shards,
        Self::MaxWaitersPerConnection,
        Self::MaxConnections,
        Self::MaxInFlight,
        Self::StrictLimits,
        Self::Log,
        Self::LogFormat,
    ];

    /// The key in a file.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Data => "data",
            Self::Memory => "memory",
            Self::ExpectedNode => "expected_node",
            Self::PeerListen => "peer_listen",
            Self::PeerAdvertise => "peer_advertise",
            Self::Peers => "peers",
            Self::Nameserver => "nameserver",
            Self::Expect => "expect",
            Self::ColdStartHold => "cold_start_hold",
            Self::EnableFaultInjection => "enable_fault_injection",
            Self::Shards => "shards",
            Self::MaxWaitersPerConnection => "max_waiters_per_connection",
            Self::MaxConnections => "max_connections",
            Self::MaxInFlight => "max_in_flight",
            Self::StrictLimits => "strict_limits",
            Self::Log => "log",
            Self::LogFormat => "log_format",
        }
    }

    /// The environment variable.
    pub(crate) fn variable(self) -> String {
        format!("{PREFIX}{}", self.name().to_ascii_uppercase())
    }

    /// The flag.
    pub(crate) fn flag(self) -> String {
        format!("--{}", self.name().replace('_', "-"))
    }

    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Listen
            | Self::Data
            | Self::ExpectedNode
            | Self::PeerListen
            | Self::PeerAdvertise
            | Self::Peers
            | Self::Nameserver
            | Self::ColdStartHold
            | Self::Log
            | Self::LogFormat => Kind::Text,
            Self::Expect | Self::Shards | Self::MaxWaitersPerConnection | Self::MaxConnections | Self::MaxInFlight => {
                Kind::Number
            }
            Self::Memory | Self::EnableFaultInjection | Self::StrictLimits => Kind::Switch,
        }
    }
}

/// Where a value came from; a later one overrules an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// This file.
    File(PathBuf),
    /// The setting's environment variable.
    Environment,
    /// The setting's flag.
    Flag,
}

/// A setting as its user finds it again: the key in its file, the variable, or the flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The setting.
    pub(crate) key: Key,
    /// Where it was said.
    pub(crate) origin: Origin,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => write!(f, "{} (its default)", self.key.name()),
            Origin::File(path) => write!(f, "{}: {}", path.display(), self.key.name()),
            Origin::Environment => f.write_str(&self.key.variable()),
            Origin::Flag => f.write_str(&self.key.flag()),
        }
    }
}
