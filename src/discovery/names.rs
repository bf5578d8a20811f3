//! What name servers say about a name.
//!
//! Promises: a question is answered, or given up, within [`ANSWERED_WITHIN`], and how many answers are taken is bounded.
//! Must not: remember an answer, or read the hosts file: of a name that many machines have it may know this machine only.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{IntoName, Name, RData};
use hickory_resolver::system_conf::read_system_conf;

use crate::clock;

/// How long an answer is waited for; for the targets of a service, how long for those of all.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// How long one of its tries takes. Both fit in: a name whose A records are answered, and whose AAAA records are not, is found.
const TRIED_FOR: Duration = Duration::from_millis(900);

/// How often a question is asked again that was not answered.
const TRIED_AGAIN: usize = 1;

/// How many addresses are taken of one source, and how many targets.
const MOST: usize = 256;

/// How many targets are looked up at the same time: each takes two sockets.
const AT_ONCE: usize = 32;

/// Those who can be asked, as they are during one look.
pub(super) struct Names {
    nameserver: Option<SocketAddr>,
    /// Made for the first question: who asks none reads no configuration.
    resolver: OnceLock<Result<TokioResolver, String>>,
}

/// What a source comes to.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) addresses: BTreeSet<String>,
    /// What is wrong with it, or with a part of it.
    pub(super) reasons: BTreeSet<String>,
}

impl Names {
    /// Asks this name server, or those of the system.
    pub(super) const fn of(nameserver: Option<SocketAddr>) -> Self {
        Self { nameserver, resolver: OnceLock::new() }
    }

    /// All addresses of a name, with this port.
    pub(super) async fn hosts(&self, name: &str, port: u16) -> Answer {
        let mut answer = Answer::default();
        answer.take(within_time(self.addresses(name)).await, port);
        answer.cut()
    }

    /// All addresses of all targets of a service, each with its port.
    pub(super) async fn services(&self, name: &str) -> Answer {
        let mut answer = Answer::default();
        let targets = match within_time(self.targets(name)).await {
            Ok(targets) => targets,
            Err(reason) => {
                answer.reasons.insert(reason);
                return answer;
            }
        };
        let count = targets.len();
        if count > MOST {
            answer.reasons.insert(format!("it has {count} targets, of which {MOST} are looked up"));
        }
        let look_up = |(target, port): (Name, u16)| async move {
            let addresses = self.addresses(target.clone()).await;
            (addresses.map_err(|reason| format!("its target {target}: {reason}")), port)
        };
        let mut looked_up = stream::iter(targets.into_iter().take(MOST)).map(look_up).buffer_unordered(AT_ONCE);
        let taken = async {
            while let Some((addresses, port)) = looked_up.next().await {
                answer.take(addresses, port);
            }
        };
        if clock::timeout(ANSWERED_WITHIN, taken).await.is_err() {
            answer.reasons.insert(format!("not all of its {count} targets were looked up within {ANSWERED_WITHIN:?}"));
        }
        answer.cut()
    }

    async fn addresses(&self, name: impl IntoName) -> Result<Vec<IpAddr>, String> {
        let found = self.resolver()?.lookup_ip(name).await.map_err(|error| reason(&error, "addresses"))?;
        Ok(found.iter().collect())
    }

    /// Priorities and weights say whom a client should ask first; a node is looked for at all of them.
    async fn targets(&self, name: &str) -> Result<BTreeSet<(Name, u16)>, String> {
        let found = self.resolver()?.srv_lookup(name).await.map_err(|error| reason(&error, "SRV records"))?;
        let target = |data: &RData| if let RData::SRV(record) = data { Some((record.target.clone(), record.port)) } else { None };
        Ok(found.answers().iter().filter_map(|record| target(&record.data)).collect())
    }

    fn resolver(&self) -> Result<&TokioResolver, String> {
        self.resolver.get_or_init(|| resolver(self.nameserver)).as_ref().map_err(Clone::clone)
    }
}

impl Answer {
    fn take(&mut self, addresses: Result<Vec<IpAddr>, String>, port: u16) {
        match addresses {
            Ok(addresses) => self.addresses.extend(addresses.into_iter().map(|ip| SocketAddr::new(ip, port).to_string())),
            Err(reason) => {
                self.reasons.insert(reason);
            }
        }
    }

    /// As many addresses as are taken, and always the same ones: an answer comes in any order.
    fn cut(mut self) -> Self {
        let count = self.addresses.len();
        if count > MOST {
            self.addresses = self.addresses.into_iter().take(MOST).collect();
            self.reasons.insert(format!("it has {count} addresses, of which {MOST} are taken"));
        }
        self
    }
}

fn resolver(nameserver: Option<SocketAddr>) -> Result<TokioResolver, String> {
    let (config, mut options) = match nameserver {
        Some(address) => (only(address), ResolverOpts::default()),
        None => read_system_conf().map_err(|error| format!("the system's name servers are not known: {error}"))?,
    };
    options.timeout = TRIED_FOR;
    options.attempts = TRIED_AGAIN;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = 0;
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.with_options(options).build().map_err(|error| error.to_string())
}

/// The one name server at this address: a long answer that does not fit into a datagram comes from the same port.
fn only(nameserver: SocketAddr) -> ResolverConfig {
    let at_its_port = |mut connection: ConnectionConfig| {
        connection.port = nameserver.port();
        connection
    };
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(at_its_port);
    ResolverConfig::from_name_servers(vec![NameServerConfig::new(nameserver.ip(), true, connections.into())])
}

async fn within_time<T>(question: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    clock::timeout(ANSWERED_WITHIN, question).await.unwrap_or_else(|_| Err(no_answer()))
}

fn no_answer() -> String {
    format!("no name server has answered within {ANSWERED_WITHIN:?}")
}

/// Why a lookup has failed, of a name that may lack what was asked for.
fn reason(error: &NetError, lacks: &str) -> String {
    if error.is_nx_domain() {
        "there is no such name".to_owned()
    } else if error.is_no_records_found() {
        format!("the name has no {lacks}")
    } else if matches!(error, NetError::Timeout) {
        no_answer()
    } else {
        error.to_string()
    }
}
