//! From a value to a type that cannot be wrong: one function and one rule for each kind of setting.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use figment::value::Value;
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::LogFormat;
use crate::discovery::host_and_port;
use crate::engine::grant::NodeId;

/// What a value must be, in words and as code.
pub(super) struct Rule<T> {
    pub(super) words: &'static str,
    pub(super) read: fn(&Value) -> Option<T>,
}

pub(super) const ADDRESS: Rule<SocketAddr> =
    Rule { words: "an IP address and a port, such as 127.0.0.1:7878 or [::1]:7878", read: |value| value.as_str()?.parse().ok() };

pub(super) const DIRECTORY: Rule<PathBuf> = Rule {
    words: "the path of a directory",
    read: |value| value.as_str().filter(|path| !path.is_empty() && !path.contains('\0')).map(PathBuf::from),
};

pub(super) const SWITCH: Rule<bool> = Rule { words: "true or false", read: Value::to_bool };

/// One that others can be told: no free port, which they would have to guess.
pub(super) const PEER_ADDRESS: Rule<SocketAddr> = Rule {
    words: "an IP address and a port from 1, such as 10.0.0.1:7978 or [::1]:7978",
    read: |value| value.as_str()?.parse().ok().filter(|address: &SocketAddr| address.port() != 0),
};

/// A name may be one that only the others know.
pub(super) const REACHED_AT: Rule<String> = Rule {
    words: "a host and a port from 1, such as 203.0.113.7:7978 or node-1.example:7978",
    read: |value| value.as_str().filter(|text| host_and_port(text).is_some()).map(str::to_owned),
};

/// One that can be asked.
pub(super) const NAME_SERVER: Rule<SocketAddr> =
    Rule { words: "an IP address and a port from 1, such as 127.0.0.1:8600 or [::1]:53", read: PEER_ADDRESS.read };

/// The entries as they were said, in a list or separated by commas; each is judged by itself.
pub(super) const PEERS: Rule<Vec<String>> = Rule {
    words: "at least one place to look for nodes, such as [\"10.0.0.1:7978\", \"10.0.0.2:7978\"], or in one string, separated by commas",
    read: |value| {
        let entries: Vec<String> = match value.as_str() {
            Some(text) => text.split(',').map(|entry| entry.trim().to_owned()).collect(),
            None => value.as_array()?.iter().map(|entry| Some(entry.as_str()?.trim().to_owned())).collect::<Option<_>>()?,
        };
        Some(entries).filter(|entries| entries.iter().any(|entry| !entry.is_empty()))
    },
};

pub(super) const NODE: Rule<NodeId> = Rule {
    words: "the 16 hexadecimal digits of a node's id, in a file within quotes",
    read: |value| NodeId::from_digits(value.as_str()?),
};

pub(super) const SHARDS: Rule<NonZeroU16> =
    Rule { words: "a whole number from 1 to 65535", read: |value| NonZeroU16::new(whole(value)?.try_into().ok()?) };

pub(super) const COUNT: Rule<NonZeroUsize> =
    Rule { words: "a whole number from 1", read: |value| NonZeroUsize::new(whole(value)?.try_into().ok()?) };

pub(super) const SPAN: Rule<Duration> = Rule {
    words: "a whole number and its unit (ms, s, m or h), such as \"60s\", in a file within quotes",
    read: |value| span(value.as_str()?),
};

pub(super) const FILTER: Rule<Targets> = Rule {
    words: "off, error, warn, info, debug or trace, or a list such as \"info,openraft=debug\"",
    read: |value| filter(value.as_str()?),
};

pub(super) const FORMAT: Rule<LogFormat> = Rule {
    words: "text or json",
    read: |value| match value.as_str()? {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    },
};

/// A number without a sign, whether its source kept it as a signed one or not.
fn whole(value: &Value) -> Option<u128> {
    value.to_u128().or_else(|| value.to_i128()?.try_into().ok())
}

fn span(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

/// Stricter than the library's own reading, which takes a misspelt level for the name of a part and then logs nothing else.
fn filter(text: &str) -> Option<Targets> {
    // openraft speaks about its own inside, at length; what a user must know of it the node says itself.
    let mut filter = Targets::new().with_target("openraft", LevelFilter::OFF);
    let mut rest = None;
    for directive in text.split(',').map(str::trim) {
        match directive.split_once('=') {
            None if rest.is_none() => rest = Some(level(directive)?),
            None => return None,
            Some(("", _)) => return None,
            Some((part, text)) => filter = filter.with_target(part, level(text)?),
        }
    }
    Some(filter.with_default(rest.unwrap_or(LevelFilter::INFO)))
}

fn level(name: &str) -> Option<LevelFilter> {
    match name {
        "off" => Some(LevelFilter::OFF),
        "error" => Some(LevelFilter::ERROR),
        "warn" => Some(LevelFilter::WARN),
        "info" => Some(LevelFilter::INFO),
        "debug" => Some(LevelFilter::DEBUG),
        "trace" => Some(LevelFilter::TRACE),
        _ => None,
    }
}

/// A value as an error shows it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Bool(_, value) => value.to_string(),
        Value::Num(_, number) => match (number.to_u128(), number.to_i128(), number.to_f64()) {
            (Some(number), _, _) => number.to_string(),
            (None, Some(number), _) => number.to_string(),
            (None, None, number) => number.map_or_else(|| "a number".to_owned(), |number| number.to_string()),
        },
        Value::Char(_, letter) => format!("{:?}", letter.to_string()),
        Value::Empty(..) => "empty".to_owned(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(..) => "a list".to_owned(),
    }
}
