//! Flags that several commands have, each checked as it is read.

use std::time::Duration;

use super::{AskError, NodesArgs, limit};
use crate::cli::span::span;
use crate::engine::grant::RequestId;
use crate::engine::key::ConnectionKey;
use crate::engine::rate::{Limits, RateLimit};
use crate::wire::v1;

/// The longest that somebody waits.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The longest that a connection is paused for.
const LONGEST_PAUSE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Which connection.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct KeyArgs {
    /// The platform, such as slack
    #[arg(long, value_name = "NAME", value_parser = platform)]
    platform: String,
    /// The connection within it, such as a workspace
    #[arg(long, value_name = "NAME", value_parser = connection)]
    connection: String,
}

impl KeyArgs {
    /// As it travels.
    pub(crate) fn message(self) -> v1::ConnectionKey {
        v1::ConnectionKey { platform: self.platform, connection: self.connection }
    }
}

/// Which connection, and whom to ask about it.
#[derive(Debug, clap::Args)]
pub(crate) struct ConnectionArgs {
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    #[command(flatten)]
    pub(crate) nodes: NodesArgs,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which connections.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PatternArgs {
    /// The platform, such as slack
    #[arg(long, value_name = "NAME", value_parser = platform)]
    platform: String,
    /// The connection within it; with a * at its end all that begin with what is before it
    #[arg(long, value_name = "NAME|BEGINNING*", value_parser = connection)]
    connection: String,
}

impl PatternArgs {
    /// As it travels.
    pub(crate) fn message(self) -> v1::LimitPattern {
        v1::LimitPattern { platform: self.platform, connection: self.connection }
    }
}

/// What a connection may take.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LimitsArgs {
    /// What the connection may take in any rolling window, such as 3/60s or 100/500ms; repeated when all of several must have room. Behind it may stand what is counted
    /// (:tokens, :input_tokens, :output_tokens) and by which algorithm (:token_bucket, :leaky_bucket, :gcra_virtual, :gcra_continuous)
    #[arg(long = "limit", value_name = "COUNT/WINDOW", value_parser = limit::parse, required = true, allow_hyphen_values = true)]
    limits: Vec<RateLimit>,
}

impl LimitsArgs {
    /// All of them.
    ///
    /// # Errors
    /// [`AskError::WrongUse`] when they are too many.
    pub(crate) fn limits(&self) -> Result<Limits, AskError> {
        let limits = Limits::new(self.limits.iter().copied());
        limits.map_err(|invalid| AskError::WrongUse { reason: format!("--limit: {invalid}") })
    }
}

/// A platform's name.
pub(crate) fn platform(text: &str) -> Result<String, String> {
    ConnectionKey::new(text, "any").map(|_| text.to_owned()).map_err(|invalid| invalid.to_string())
}

fn connection(text: &str) -> Result<String, String> {
    ConnectionKey::new("any", text).map(|_| text.to_owned()).map_err(|invalid| invalid.to_string())
}

/// A request's id: 32 hexadecimal digits, or a UUID.
pub(crate) fn request_id(text: &str) -> Result<RequestId, String> {
    let digits: String = if text.len() == 36 { text.replace('-', "") } else { text.to_owned() };
    let is_id = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let bits = u128::from_str_radix(&digits, 16).ok().filter(|_| is_id);
    bits.map(RequestId::new).ok_or_else(|| "it must be 32 hexadecimal digits, or a UUID".to_owned())
}

/// How long somebody waits before that is an error: more than nothing.
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = span(text)?;
    let is_valid = !timeout.is_zero() && timeout <= LONGEST_WAIT;
    if is_valid { Ok(timeout) } else { Err("it must be more than 0s, at most 30 days".to_owned()) }
}

/// How long somebody is willing to wait.
pub(crate) fn longest_wait(text: &str) -> Result<Duration, String> {
    let wait = span(text)?;
    if wait <= LONGEST_WAIT { Ok(wait) } else { Err("it must be 0s to 30 days".to_owned()) }
}

/// How long a connection is paused.
pub(crate) fn pause(text: &str) -> Result<Duration, String> {
    let pause = span(text)?;
    let is_valid = !pause.is_zero() && pause <= LONGEST_PAUSE;
    if is_valid { Ok(pause) } else { Err("it must be more than 0s, at most 7 days".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_has_32_digits_or_is_a_uuid() {
        let id = Ok(RequestId::new(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef));
        assert_eq!(request_id("0123456789abcdef0123456789abcdef"), id);
        assert_eq!(request_id("0123456789ABCDEF0123456789ABCDEF"), id);
        assert_eq!(request_id("01234567-89ab-cdef-0123-456789abcdef"), id);
        for text in ["", "1", "0123456789abcdef0123456789abcdeg", "+123456789abcdef0123456789abcdef", "é", &"-".repeat(36)] {
            assert_eq!(request_id(text), Err("it must be 32 hexadecimal digits, or a UUID".to_owned()), "{text}");
        }
    }

    #[test]
    fn spans_are_held_to_what_a_node_takes() {
        assert_eq!(timeout("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(timeout("0").unwrap_err(), "it must be more than 0s, at most 30 days");
        assert_eq!(timeout("721h").unwrap_err(), "it must be more than 0s, at most 30 days");
        assert_eq!(longest_wait("0"), Ok(Duration::ZERO));
        assert_eq!(longest_wait("721h").unwrap_err(), "it must be 0s to 30 days");
        assert_eq!(pause("2m"), Ok(Duration::from_secs(120)));
        for text in ["0", "169h"] {
            assert_eq!(pause(text).unwrap_err(), "it must be more than 0s, at most 7 days");
        }
    }
}
