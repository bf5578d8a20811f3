//! What `turnstile node` runs with: flags over environment over file over defaults.
//!
//! ```text
//! flags, TURNSTILE_*, FILE, defaults ──► layers ──► figment merges ──► rules ──► Settings
//!                                          └── unknown names ──► Problem ◄── └── wrong values
//! ```
//!
//! Promises: [`Settings`] is valid, or every problem is told at once, each with its source, its value and the rule.
//! Must not: open, bind or start anything but the file of settings.

mod cluster;
mod flags;
mod key;
mod problem;
mod rule;
mod source;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;

use figment::Figment;
use figment::value::Value;
use tracing_subscriber::filter::Targets;

use crate::api::FaultInjection;
use crate::config::{NodeConfig, Storage};
use rule::Rule;
use source::Layer;

pub(crate) use flags::{SOURCES, SettingsArgs};
pub(crate) use key::{Key, Origin, PREFIX, Place};
pub(crate) use problem::Problem;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// A line for people; the default, because whoever starts a node by hand reads it.
    Text,
    /// A JSON object a line, for programs.
    Json,
}

/// Everything that `turnstile node` needs to know, valid by construction.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where to serve; 127.0.0.1:7878 by default, this machine only, because there is no authentication.
    pub(crate) listen: SocketAddr,
    /// Who said so, for an address that can't be had.
    pub(crate) listen_from: Place,
    /// The node; where its log is kept has no default, everything else has that of [`NodeConfig`].
    pub(crate) node: NodeConfig,
    /// Whether an operator may cut the node off from its peers, for tests; not by default.
    pub(crate) fault_injection: FaultInjection,
    /// What to log; everything from level info on by default, which at rest is a few lines an hour.
    pub(crate) log: Targets,
    /// How to log it.
    pub(crate) log_format: LogFormat,
}

/// A setting as it holds, for people to look at.
#[derive(Debug)]
pub(crate) struct Stated {
    /// The setting and who said it.
    pub(crate) place: Place,
    /// What was said, as in a file; nothing for a setting without a default.
    pub(crate) value: Option<serde_json::Value>,
    /// What makes it void although it was said: the other place of the log, by a stronger source.
    pub(crate) overruled_by: Option<Place>,
}

/// The settings as they were said, and what they come to.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Every setting, in the order of [`Key::ALL`].
    pub(crate) stated: Vec<Stated>,
    /// The settings, or everything that is wrong with them.
    pub(crate) settings: Result<Settings, Vec<Problem>>,
}

/// Reads all sources.
pub(crate) fn load(flags: &SettingsArgs, environment: &BTreeMap<OsString, OsString>) -> Loaded {
    let mut problems = Vec::new();
    let mut merged = Figment::from(Layer::defaults());
    let named_by_flag = flags.config.clone().map(|path| ("--config", path));
    let named = named_by_flag.or_else(|| Some((source::FILE_VARIABLE, source::file_variable(environment)?)));
    if let Some((named_by, path)) = named {
        match std::fs::read_to_string(&path) {
            Ok(text) => merged = merged.merge(Layer::file(&path, &text, &mut problems)),
            Err(source) => problems.push(Problem::Unreadable { named_by, path, source }),
        }
    }
    merged = merged.merge(Layer::environment(environment, &mut problems)).merge(Layer::flags(flags.said()));

    let mut reader = Reader { merged, problems };
    let settings = reader.settings();
    let (data, memory) = (reader.place(Key::Data), reader.place(Key::Memory));
    let mut stated: Vec<Stated> = Key::ALL.into_iter().map(|key| reader.stated(key)).collect();
    let settings = settings.filter(|_| reader.problems.is_empty()).ok_or(reader.problems);
    let cluster = settings.as_ref().ok().and_then(|settings| settings.node.cluster.as_ref());
    if let (Some(cluster), Some(row)) = (cluster, stated.iter_mut().find(|row| row.place.key == Key::Expect)) {
        // Its default depends on other settings.
        row.value = Some(cluster.expect.get().into());
    }
    Loaded { stated: overrule(stated, settings.as_ref().ok(), &data, &memory), settings }
}

/// Marks the storage that was said and doesn't hold.
fn overrule(mut stated: Vec<Stated>, settings: Option<&Settings>, data: &Place, memory: &Place) -> Vec<Stated> {
    let winner = match settings.map(|settings| &settings.node.storage) {
        Some(Storage::Memory) => memory,
        Some(Storage::Disk(_)) => data,
        None => return stated,
    };
    for row in &mut stated {
        let key = row.place.key;
        let is_lost_data = key == Key::Data && winner == memory && row.value.is_some();
        let is_lost_memory = key == Key::Memory && winner == data && row.value == Some(true.into());
        row.overruled_by = (is_lost_data || is_lost_memory).then(|| winner.clone());
    }
    stated
}

/// The merged sources, and what was found wrong so far.
struct Reader {
    merged: Figment,
    problems: Vec<Problem>,
}

impl Reader {
    /// The settings; `None` when a problem says why not.
    fn settings(&mut self) -> Option<Settings> {
        let listen = self.read(Key::Listen, &rule::ADDRESS);
        let storage = self.storage();
        let expected_node = self.read(Key::ExpectedNode, &rule::NODE);
        let cluster = self.cluster();
        let fault_injection = self.read(Key::EnableFaultInjection, &rule::SWITCH);
        let shards = self.read(Key::Shards, &rule::SHARDS);
        let max_waiters = self.read(Key::MaxWaitersPerConnection, &rule::COUNT);
        let max_connections = self.read(Key::MaxConnections, &rule::COUNT);
        let max_in_flight = self.read(Key::MaxInFlight, &rule::COUNT);
        let strict_limits = self.read(Key::StrictLimits, &rule::SWITCH);
        let log = self.read(Key::Log, &rule::FILTER);
        let log_format = self.read(Key::LogFormat, &rule::FORMAT);
        Some(Settings {
            listen: listen?,
            listen_from: self.place(Key::Listen),
            node: NodeConfig {
                storage: storage?,
                expected_node,
                shards: shards?,
                max_waiters_per_connection: max_waiters?.get(),
                max_connections: max_connections?.get(),
                max_in_flight: max_in_flight?.get(),
                cluster: cluster?,
                strict_limits: strict_limits?,
            },
            fault_injection: if fault_injection? { FaultInjection::Enabled } else { FaultInjection::Disabled },
            log: log?,
            log_format: log_format?,
        })
    }

    /// The directory or memory, whichever the stronger source says.
    fn storage(&mut self) -> Option<Storage> {
        let is_said = self.value(Key::Data).is_some();
        let directory = self.read(Key::Data, &rule::DIRECTORY);
        let in_memory = self.read(Key::Memory, &rule::SWITCH)?;
        let (data, memory) = (self.place(Key::Data), self.place(Key::Memory));
        match (is_said, in_memory) {
            (false, false) => {
                // A file that couldn't be read may have said it.
                if !self.problems.iter().any(Problem::hides_settings) {
                    self.problems.push(Problem::NoStorage);
                }
                None
            }
            (true, true) if data.origin == memory.origin => {
                self.problems.push(Problem::TwoStorages { data, memory });
                None
            }
            (true, true) if data.origin < memory.origin => Some(Storage::Memory),
            (false, true) => Some(Storage::Memory),
            (true, _) => directory.map(Storage::Disk),
        }
    }

    /// A setting's value; `None` when nobody says it and it has no default, or when it breaks the rule, which is noted.
    fn read<T>(&mut self, key: Key, rule: &Rule<T>) -> Option<T> {
        let value = self.value(key)?;
        let read = (rule.read)(&value);
        if read.is_none() {
            let value = rule::shown(&value);
            self.problems.push(Problem::Value { place: self.place(key), value, rule: rule.words });
        }
        read
    }

    fn value(&self, key: Key) -> Option<Value> {
        self.merged.find_value(key.name()).ok()
    }

    fn place(&self, key: Key) -> Place {
        Place { key, origin: source::origin_of(self.merged.find_metadata(key.name())) }
    }

    fn stated(&self, key: Key) -> Stated {
        let value = self.value(key).and_then(|value| serde_json::to_value(value).ok());
        Stated { place: self.place(key), value, overruled_by: None }
    }
}

/// The process's environment, as [`load`] takes it.
pub(crate) fn environment() -> BTreeMap<OsString, OsString> {
    std::env::vars_os().collect()
}
