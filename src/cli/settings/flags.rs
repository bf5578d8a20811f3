//! The settings as flags, and the words of `--help`.

use std::path::PathBuf;

use super::key::Key;

/// What is said below the flags.
pub(crate) const SOURCES: &str = "\
Each setting can be a flag (--shards 4), an environment variable (TURNSTILE_SHARDS=4) or a key of the file (shards = 4). \
A flag overrules the environment, which overrules the file. `turnstile config show` tells what holds and where it came from.";

/// The settings of `turnstile node`. All are text here: one place judges them, whichever source they come from.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingsArgs {
    /// A TOML file of settings [env: TURNSTILE_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The IP address and port to serve on; port 0 takes a free one [default: 127.0.0.1:7878, this machine only: there is no authentication]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// The directory that keeps the log, for one node for life; made if it doesn't exist [no default: this or --memory]
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<String>,
    /// Keep the log in memory: limits are forgotten with the process [default: false]
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    memory: Option<String>,
    /// The node that the directory must belong to, 16 hexadecimal digits, so that a lost volume is noticed [default: any]
    #[arg(long, value_name = "NODE")]
    expected_node: Option<String>,
    /// The IP address and port where it listens for the other nodes of its cluster; keep it to them: there is no authentication [no default: this with --peers]
    #[arg(long, value_name = "ADDRESS:PORT")]
    peer_listen: Option<String>,
    /// Where they reach it if it is behind a mapped port or has a name, HOST:PORT [default: --peer-listen]
    #[arg(long, value_name = "HOST:PORT")]
    peer_advertise: Option<String>,
    /// Where the nodes of its cluster are, separated by commas: HOST:PORT, dns:NAME:PORT for all addresses of a name, or srv:NAME for its SRV records; its own --peer-listen may be among them [default: none, the node stands alone]
    #[arg(long, value_name = "PEER,…")]
    peers: Option<String>,
    /// The name server that is asked about the names among --peers [default: those of the system]
    #[arg(long, value_name = "ADDRESS:PORT")]
    nameserver: Option<String>,
    /// How many nodes without a log must see each other before they found a cluster: more than half of all [default: all of them; to be said with dns: or srv:]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    expect: Option<String>,
    /// How long a new cluster holds each connection back, for it may follow one that has just granted: a window, at most this; longer windows hold later [default: 60s]
    #[arg(long, value_name = "SPAN")]
    cold_start_hold: Option<String>,
    /// Let `turnstile refuse-peers` cut this node off from others, for tests; not for production [default: false]
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    enable_fault_injection: Option<String>,
    /// How many actors share the connections [default: one per core, at most 8: more only cost memory]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    shards: Option<String>,
    /// The most requests that wait for one connection, about 2 KB each with its call [default: 100000]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    max_waiters_per_connection: Option<String>,
    /// The most connections with waiters here, or with a window that isn't empty in the whole cluster, about 2.5 KB each [default: 1000000]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    max_connections: Option<String>,
    /// The most requests that wait or whose permit is in use, on all connections together [default: 250000]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    max_in_flight: Option<String>,
    /// Refuse a request whose limits differ from those in force [default: false, the strictest that was stated holds]
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    strict_limits: Option<String>,
    /// What to log to standard error: off, error, warn, info, debug or trace, also for a part: "info,openraft=debug"; openraft is silent unless it is named [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How to log: text for people, json for programs, one object a line [default: text]
    #[arg(long, value_name = "text|json")]
    log_format: Option<String>,
}

impl SettingsArgs {
    /// What each flag says, if it was given.
    pub(super) fn said(&self) -> impl Iterator<Item = (Key, Option<&str>)> {
        Key::ALL.into_iter().map(|key| (key, self.of(key).as_deref()))
    }

    const fn of(&self, key: Key) -> &Option<String> {
        match key {
            Key::Listen => &self.listen,
            Key::Data => &self.data,
            Key::Memory => &self.memory,
            Key::ExpectedNode => &self.expected_node,
            Key::PeerListen => &self.peer_listen,
            Key::PeerAdvertise => &self.peer_advertise,
            Key::Peers => &self.peers,
            Key::Nameserver => &self.nameserver,
            Key::Expect => &self.expect,
            Key::ColdStartHold => &self.cold_start_hold,
            Key::EnableFaultInjection => &self.enable_fault_injection,
            Key::Shards => &self.shards,
            Key::MaxWaitersPerConnection => &self.max_waiters_per_connection,
            Key::MaxConnections => &self.max_connections,
            Key::MaxInFlight => &self.max_in_flight,
            Key::StrictLimits => &self.strict_limits,
            Key::Log => &self.log,
            Key::LogFormat => &self.log_format,
        }
    }
}
