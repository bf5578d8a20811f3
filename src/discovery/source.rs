//! One entry of the list of peers.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::address::{can_be_looked_up, host_and_port};

/// What an entry for a name begins with.
const DNS: &str = "dns:";
/// What an entry for a service begins with.
const SRV: &str = "srv:";

/// Where nodes may be; written as `10.0.0.1:7978`, `dns:workers.example:7978` or `srv:_turnstile._tcp.example`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerSource {
    /// At this address, `host:port`.
    Address(String),
    /// At all addresses that the A and AAAA records of a name have, with one port.
    Dns {
        /// The name.
        name: String,
        /// The port, from 1.
        port: u16,
    },
    /// At all addresses of the targets that the SRV records of a name have, with the port of each.
    Srv {
        /// The name, often of the form `_service._proto.domain`.
        name: String,
    },
}

/// An entry that says no place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{entry:?} says no place to look for nodes; it must be {}", Self::RULE)]
pub struct InvalidPeerSource {
    /// The entry as written.
    pub entry: String,
}

impl InvalidPeerSource {
    /// What an entry must be, in words.
    pub(crate) const RULE: &str = "HOST:PORT, dns:NAME:PORT or srv:NAME, such as 10.0.0.1:7978, [::1]:7978, dns:workers.example:7978 or \
                                   srv:_turnstile._tcp.example, the port from 1";
}

impl PeerSource {
    /// The address, if it needs no lookup.
    #[cfg(feature = "cli")]
    pub(crate) fn address(&self) -> Option<&str> {
        match self {
            Self::Address(address) => Some(address),
            Self::Dns { .. } | Self::Srv { .. } => None,
        }
    }
}

impl FromStr for PeerSource {
    type Err = InvalidPeerSource;

    fn from_str(entry: &str) -> Result<Self, Self::Err> {
        // Addresses first: `dns:7978` and `srv:7978` are ports of hosts that are called so.
        let address = || host_and_port(entry).map(|_| Self::Address(entry.to_owned()));
        let dns = || {
            let (name, port) = host_and_port(entry.strip_prefix(DNS)?)?;
            can_be_looked_up(name).then(|| Self::Dns { name: name.to_owned(), port })
        };
        let srv = || {
            let name = entry.strip_prefix(SRV)?;
            can_be_looked_up(name).then(|| Self::Srv { name: name.to_owned() })
        };
        address().or_else(dns).or_else(srv).ok_or_else(|| InvalidPeerSource { entry: entry.to_owned() })
    }
}

impl fmt::Display for PeerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => f.write_str(address),
            Self::Dns { name, port } => write!(f, "{DNS}{name}:{port}"),
            Self::Srv { name } => write!(f, "{SRV}{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> PeerSource {
        PeerSource::Address(text.to_owned())
    }

    #[test]
    fn an_entry_is_an_address_a_name_with_a_port_or_a_service_and_is_shown_as_it_was_written() {
        let dns = |name: &str, port| PeerSource::Dns { name: name.to_owned(), port };
        let srv = |name: &str| PeerSource::Srv { name: name.to_owned() };
        for (text, source) in [
            ("10.0.0.1:7978", address("10.0.0.1:7978")),
            ("[::1]:7978", address("[::1]:7978")),
            ("node-1:7978", address("node-1:7978")),
            ("dns:7978", address("dns:7978")),
            ("srv:7978", address("srv:7978")),
            ("dns:workers.example:7978", dns("workers.example", 7978)),
            ("dns:workers.example.:1", dns("workers.example.", 1)),
            ("srv:_turnstile._tcp.example", srv("_turnstile._tcp.example")),
            ("srv:workers.service.consul", srv("workers.service.consul")),
        ] {
            assert_eq!(text.parse(), Ok(source.clone()), "{text:?}");
            assert_eq!(source.to_string(), text);
        }
    }

    #[test]
    fn whatever_else_is_refused_by_the_entry_and_the_rule() {
        let wrong = ["", "node-1", "dns:", "dns:workers", "dns::7978", "dns:workers:0", "dns:[::1]:7978", "dns:a..b:1", "srv:"];
        for entry in wrong.into_iter().chain(["srv:workers:7978", "srv:a b", "http://a:1", "DNS:workers:7978"]) {
            let refused = entry.parse::<PeerSource>().unwrap_err().to_string();
            let begins =
                format!("{entry:?} says no place to look for nodes; it must be HOST:PORT, dns:NAME:PORT or srv:NAME, such as ");
            assert!(refused.starts_with(&begins), "{refused}");
        }
    }
}
