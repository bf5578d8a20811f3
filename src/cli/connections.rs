//! The connections file: which platform allows how much, for the emulator and the demo.
//!
//! ```toml
//! [[connection]]
//! platform = "jira"
//! connection = "PROJ-7"
//! path = "rest/api/3/issue/PROJ-7"
//! limits = [{ requests = 20, window_seconds = 2 }, { requests = 100, window_seconds = 30, algorithm = "token_bucket" }]
//! source = "developer.atlassian.com, Jira Cloud rate limiting"
//! ```
//!
//! Promises: what it returns is valid: at least one connection, each with at least one limit, none
//! twice. Unknown keys are refused.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use super::by_name;
use crate::engine::algorithm::Algorithm;

/// The largest count a limit may have: the emulator keeps one stamp for each.
const LARGEST_COUNT: u32 = 1_000_000;

/// The longest window a limit may have: 31 days.
const LONGEST_WINDOW: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// At most `requests` in any half-open rolling window of this length, or as its algorithm counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// The number of requests one window holds.
    pub(crate) requests: NonZeroU32,
    /// The window's length, above zero.
    pub(crate) window: Duration,
    /// How they are counted.
    pub(crate) algorithm: Algorithm,
}

/// One connection and all the limits that hold for it at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectionSpec {
    /// The platform, as in the first segment of a call's path.
    pub(crate) platform: String,
    /// The connection's id at the platform, the second segment.
    pub(crate) connection: String,
    /// The rest of a call's path.
    pub(crate) path: String,
    /// Never empty.
    pub(crate) limits: Vec<Limit>,
}

/// Why a connections file can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionsError {
    /// Not TOML, or not of the documented shape.
    #[error("the connections file is malformed")]
    Malformed {
        /// Where and why.
        #[source]
        source: toml::de::Error,
    },
    /// There is nothing to limit.
    #[error("the connections file lists no connection")]
    Empty,
    /// A name that cannot stand in a path.
    #[error("{platform}/{connection}: names are one to 256 of A-Z a-z 0-9 . _ -")]
    Name {
        /// The platform as written.
        platform: String,
        /// The connection as written.
        connection: String,
    },
    /// The same connection twice.
    #[error("{platform}/{connection} is listed twice")]
    Twice {
        /// The platform.
        platform: String,
        /// The connection.
        connection: String,
    },
    /// No limit at all.
    #[error("{platform}/{connection} has no limit")]
    Unlimited {
        /// The platform.
        platform: String,
        /// The connection.
        connection: String,
    },
    /// A count or window out of range.
    #[error(
        "{platform}/{connection}: {requests} requests in {window_seconds} s is out of range (1 to {LARGEST_COUNT} requests, above 0 s, at most {LONGEST_WINDOW:?})"
    )]
    Range {
        /// The platform.
        platform: String,
        /// The connection.
        connection: String,
        /// The count as written.
        requests: u32,
        /// The window as written.
        window_seconds: f64,
    },
}

/// Reads the text of a connections file.
///
/// # Errors
/// See [`ConnectionsError`]: one variant per thing to correct in the file.
pub(crate) fn parse(text: &str) -> Result<Vec<ConnectionSpec>, ConnectionsError> {
    let file: File = toml::from_str(text).map_err(|source| ConnectionsError::Malformed { source })?;
    let mut seen = BTreeSet::new();
    let mut connections = Vec::with_capacity(file.connection.len());
    for entry in file.connection {
        let spec = entry.check()?;
        if !seen.insert((spec.platform.clone(), spec.connection.clone())) {
            return Err(ConnectionsError::Twice { platform: spec.platform, connection: spec.connection });
        }
        connections.push(spec);
    }
    if connections.is_empty() {
        return Err(ConnectionsError::Empty);
    }
    Ok(connections)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    connection: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    platform: String,
    connection: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    limits: Vec<LimitEntry>,
    /// Where the numbers come from; for the reader of the file.
    #[serde(default, rename = "source")]
    _source: Option<String>,
    /// How they differ from the source; for the reader of the file.
    #[serde(default, rename = "scaled")]
    _scaled: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitEntry {
    requests: u32,
    window_seconds: f64,
    #[serde(default, with = "by_name")]
    algorithm: Algorithm,
}

impl Entry {
    fn check(self) -> Result<ConnectionSpec, ConnectionsError> {
        let Self { platform, connection, .. } = self;
        if !(is_name(&platform) && is_name(&connection)) {
            return Err(ConnectionsError::Name { platform, connection });
        }
        if self.limits.is_empty() {
            return Err(ConnectionsError::Unlimited { platform, connection });
        }
        let mut limits = Vec::with_capacity(self.limits.len());
        for written in self.limits {
            let Some(limit) = written.check() else {
                return Err(ConnectionsError::Range {
                    platform,
                    connection,
                    requests: written.requests,
                    window_seconds: written.window_seconds,
                });
            };
            limits.push(limit);
        }
        Ok(ConnectionSpec { platform, connection, path: self.path, limits })
    }
}

impl LimitEntry {
    fn check(&self) -> Option<Limit> {
        let requests = NonZeroU32::new(self.requests).filter(|count| count.get() <= LARGEST_COUNT)?;
        let window = Duration::try_from_secs_f64(self.window_seconds)
            .ok()
            .filter(|window| !window.is_zero() && *window <= LONGEST_WINDOW)?;
        Some(Limit { requests, window, algorithm: self.algorithm })
    }
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    // A dot alone or two are steps in a path, not names.
    (1..=256).contains(&text.len()) && text.bytes().all(plain) && text.bytes().any(|byte| byte != b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> String {
        parse(text).expect_err("the text is wrong").to_string()
    }

    fn one(limits: &str) -> String {
        format!("[[connection]]\nplatform = \"p\"\nconnection = \"c\"\nlimits = [{limits}]\n")
    }

    #[test]
    fn a_window_may_be_a_fraction_and_limits_may_be_several() {
        let text = one("{ requests = 2, window_seconds = 0.25 }, { requests = 9, window_seconds = 3 }");
        let connections = parse(&text).expect("the text is right");
        let limits = connections.first().map(|spec| spec.limits.clone());
        let limit = |requests, millis| Limit {
            requests: NonZeroU32::new(requests).expect("above zero"),
            window: Duration::from_millis(millis),
            algorithm: Algorithm::SlidingWindow,
        };
        assert_eq!(limits, Some(vec![limit(2, 250), limit(9, 3000)]));
    }

    #[test]
    fn a_limit_names_its_algorithm_and_is_a_window_without_one() {
        let text =
            one("{ requests = 2, window_seconds = 1, algorithm = \"leaky_bucket\" }, { requests = 9, window_seconds = 3 }");
        let connections = parse(&text).expect("the text is right");
        let algorithms: Vec<_> = connections.iter().flat_map(|spec| &spec.limits).map(|limit| limit.algorithm).collect();
        assert_eq!(algorithms, [Algorithm::LeakyBucket, Algorithm::SlidingWindow]);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        assert!(error_of("").contains("no connection"));
        assert!(error_of(&one("")).contains("no limit"));
        assert!(error_of(&one("{ requests = 0, window_seconds = 1 }")).contains("out of range"));
        assert!(error_of(&one("{ requests = 1, window_seconds = 0 }")).contains("out of range"));
        assert!(error_of(&one("{ requests = 1, window_seconds = -1 }")).contains("out of range"));
        assert!(error_of(&one("{ requests = 1, window = 1 }")).contains("malformed"));
        assert!(error_of(&one("{ requests = 1, window_seconds = 1, algorithm = \"fixed\" }")).contains("malformed"));
        let good = one("{ requests = 1, window_seconds = 1 }");
        assert!(error_of(&format!("{good}{good}")).contains("twice"));
        assert!(error_of(&good.replace("\"c\"", "\"..\"")).contains("names are"));
    }
}
