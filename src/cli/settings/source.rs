//! The four sources of the settings, each as a layer that figment merges.
//!
//! Promises: a layer holds known settings only; whatever else its source has becomes a [`Problem`].
//! Must not: judge values. A layer keeps what was said, so that the error can show it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider, Source};

use super::key::{Key, Kind, Origin, PREFIX};
use super::problem::Problem;
use crate::cli::ask::NODES_VARIABLE;
use crate::config::NodeConfig;

/// The variable that names the file. Like [`NODES_VARIABLE`] it is no setting.
pub(super) const FILE_VARIABLE: &str = "TURNSTILE_CONFIG";
/// How alike two names are, from 0 to 1, when one may be a misspelling of the other.
const ALIKE: f64 = 0.75;
const ENVIRONMENT: &str = "environment";
const FLAGS: &str = "flags";

/// What one source says.
#[derive(Debug)]
pub(super) struct Layer {
    origin: Origin,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        match &self.origin {
            Origin::Default => Metadata::named("defaults"),
            Origin::File(path) => Metadata::from("file", path.as_path()),
            Origin::Environment => Metadata::named(ENVIRONMENT),
            Origin::Flag => Metadata::named(FLAGS),
        }
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// Which layer a merged value came from: the reverse of [`Layer::metadata`].
pub(super) fn origin_of(metadata: Option<&Metadata>) -> Origin {
    match metadata {
        Some(Metadata { source: Some(Source::File(path)), .. }) => Origin::File(path.clone()),
        Some(metadata) if metadata.name == ENVIRONMENT => Origin::Environment,
        Some(metadata) if metadata.name == FLAGS => Origin::Flag,
        Some(_) | None => Origin::Default,
    }
}

impl Layer {
    /// What holds when nobody says anything. Where the log is kept has no default: a log in an unexpected place is a lost one.
    pub(super) fn defaults() -> Self {
        let node = NodeConfig::in_memory();
        let values = [
            // This machine only: whoever reaches the port may use the node.
            (Key::Listen, Value::from("127.0.0.1:7878")),
            (Key::Memory, Value::from(false)),
            // The windows of most platforms are a minute or less.
            (Key::ColdStartHold, Value::from("60s")),
            (Key::EnableFaultInjection, Value::from(false)),
            (Key::Shards, Value::from(node.shards.get())),
            (Key::MaxWaitersPerConnection, Value::from(node.max_waiters_per_connection)),
            (Key::MaxConnections, Value::from(node.max_connections)),
            (Key::MaxInFlight, Value::from(node.max_in_flight)),
            (Key::StrictLimits, Value::from(node.strict_limits)),
            (Key::Log, Value::from("info")),
            (Key::LogFormat, Value::from("text")),
        ];
        let values = values.into_iter().map(|(key, value)| (key.name().to_owned(), value)).collect();
        Self { origin: Origin::Default, values }
    }

    /// What a file says.
    pub(super) fn file(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Self {
        let mut values = Dict::new();
        match text.parse::<toml::Table>() {
            Ok(table) => {
                for (name, value) in table {
                    match (key_named(&name), Value::serialize(&value)) {
                        (Some(_), Ok(value)) => drop(values.insert(name, value)),
                        _ => problems.push(Problem::UnknownKey {
                            path: path.to_owned(),
                            suggestion: suggestion(&name, Key::name),
                            name,
                        }),
                    }
                }
            }
            Err(error) => {
                let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or(text);
                problems.push(Problem::NotToml {
                    path: path.to_owned(),
                    line: before.split('\n').count(),
                    column: before.rsplit('\n').next().map_or(0, str::len) + 1,
                    reason: error.message().replace('\n', ", "),
                });
            }
        }
        Self { origin: Origin::File(path.to_owned()), values }
    }

    /// What the environment says.
    pub(super) fn environment(environment: &BTreeMap<OsString, OsString>, problems: &mut Vec<Problem>) -> Self {
        let mut values = Dict::new();
        for (name, value) in environment {
            let name = name.to_string_lossy();
            if !name.starts_with(PREFIX) || [FILE_VARIABLE, NODES_VARIABLE].contains(&&*name) {
                continue;
            }
            let key = Key::ALL.into_iter().find(|key| key.variable() == name);
            match (key, value.to_str()) {
                (Some(key), Some(text)) => drop(values.insert(key.name().to_owned(), value_of(key, text))),
                (Some(_), None) => problems.push(Problem::NotUtf8 { name: name.into_owned(), value: format!("{value:?}") }),
                (None, text) if is_service_link(&name, text.unwrap_or_default()) => {}
                (None, _) => problems
                    .push(Problem::UnknownVariable { suggestion: suggestion(&name, Key::variable), name: name.into_owned() }),
            }
        }
        Self { origin: Origin::Environment, values }
    }

    /// What the flags say.
    pub(super) fn flags<'a>(flags: impl IntoIterator<Item = (Key, Option<&'a str>)>) -> Self {
        let said = flags.into_iter().filter_map(|(key, text)| Some((key.name().to_owned(), value_of(key, text?))));
        Self { origin: Origin::Flag, values: said.collect() }
    }
}

/// The file that the environment names.
pub(super) fn file_variable(environment: &BTreeMap<OsString, OsString>) -> Option<PathBuf> {
    environment.get(&OsString::from(FILE_VARIABLE)).map(PathBuf::from)
}

fn key_named(name: &str) -> Option<Key> {
    Key::ALL.into_iter().find(|key| key.name() == name)
}

/// Text as the value that a file would have; text that is no such value stays text, for the error to show.
fn value_of(key: Key, text: &str) -> Value {
    let typed = match key.kind() {
        Kind::Text => None,
        Kind::Number => text.parse::<i64>().map(Value::from).ok(),
        Kind::Switch => text.parse::<bool>().map(Value::from).ok(),
    };
    typed.unwrap_or_else(|| Value::from(text))
}

/// Kubernetes tells every pod the addresses of services: one called "turnstile" must not keep the node from starting.
fn is_service_link(name: &str, value: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.contains("_PORT_")
        || (name.ends_with("_PORT") && value.contains("://"))
}

fn suggestion<N: AsRef<str>>(name: &str, spelling: impl Fn(Key) -> N) -> Option<Key> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let likeness = |key: Key| {
        let known = spelling(key).as_ref().to_ascii_lowercase();
        // The common prefix makes all variables alike.
        let bare = |text: &str| text.strip_prefix("turnstile_").unwrap_or(text).to_owned();
        strsim::normalized_damerau_levenshtein(&bare(&name), &bare(&known))
    };
    let likely = Key::ALL.into_iter().map(|key| (key, likeness(key))).filter(|(_, likeness)| *likeness >= ALIKE);
    likely.max_by(|left, right| left.1.total_cmp(&right.1)).map(|(key, _)| key)
}
