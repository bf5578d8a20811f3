//! What a limit belongs to: one connection of one platform.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::invalid::InvalidInput;

/// The longest platform or connection name, in bytes.
pub const MAX_PART_BYTES: usize = 256;

/// The identity of a connection: (platform, connection id).
///
/// Both are non-empty UTF-8 of at most [`MAX_PART_BYTES`] bytes without NUL. Cheap to clone. Ordered by
/// platform, then by connection.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ConnectionKey {
    /// Both names, one behind the other: one allocation for a key.
    text: Arc<str>,
    /// Where the connection's name begins.
    split: u16,
}

impl ConnectionKey {
    /// Checks both names and joins them.
    ///
    /// # Errors
    /// [`InvalidInput`] when a name is empty, longer than [`MAX_PART_BYTES`], or holds a NUL byte.
    pub fn new(platform: &str, connection: &str) -> Result<Self, InvalidInput> {
        let split = check_part("platform", platform)?;
        check_part("connection", connection)?;
        Ok(Self { text: [platform, connection].concat().into(), split })
    }

    /// The platform's name, such as `slack`.
    #[must_use]
    pub fn platform(&self) -> &str {
        self.text.split_at(usize::from(self.split)).0
    }

    /// The connection's name within its platform, such as a workspace.
    #[must_use]
    pub fn connection(&self) -> &str {
        self.text.split_at(usize::from(self.split)).1
    }

    /// The bytes that are hashed, in two parts: both names behind the length of the first, so that ("a", "bc") and ("ab", "c") differ.
    #[must_use]
    pub(super) fn bytes(&self) -> ([u8; 2], &[u8]) {
        (self.split.to_be_bytes(), self.text.as_bytes())
    }
}

/// Checks one name; its length in bytes.
fn check_part(part: &'static str, value: &str) -> Result<u16, InvalidInput> {
    if value.is_empty() {
        return Err(InvalidInput::EmptyKey { part });
    }
    if value.contains('\0') {
        return Err(InvalidInput::NulInKey { part, value: value.chars().take(64).collect() });
    }
    let length = u16::try_from(value.len()).ok().filter(|length| usize::from(*length) <= MAX_PART_BYTES);
    length.ok_or(InvalidInput::OversizeKey { part, bytes: value.len() })
}

impl Ord for ConnectionKey {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.platform(), self.connection()).cmp(&(other.platform(), other.connection()))
    }
}

impl PartialOrd for ConnectionKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ConnectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.platform(), self.connection())
    }
}

impl fmt::Debug for ConnectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionKey({:?}, {:?})", self.platform(), self.connection())
    }
}

impl Serialize for ConnectionKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.platform(), self.connection()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ConnectionKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (platform, connection) = <(String, String)>::deserialize(deserializer)?;
        Self::new(&platform, &connection).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_join_to_the_same_text_stay_different_keys() {
        let (a, b) = (ConnectionKey::new("a", "bc").unwrap(), ConnectionKey::new("ab", "c").unwrap());
        assert_ne!(a, b);
        assert_ne!(a.bytes(), b.bytes());
        assert_eq!((a.platform(), a.connection()), ("a", "bc"));
    }

    #[test]
    fn a_bad_name_is_refused_with_the_part_and_the_rule() {
        let long = "x".repeat(257);
        for (platform, connection, message) in [
            ("", "c", "platform is empty: it takes 1 to 256 bytes of UTF-8"),
            ("p", "", "connection is empty: it takes 1 to 256 bytes of UTF-8"),
            ("p", long.as_str(), "connection has 257 bytes: it takes 1 to 256 bytes of UTF-8"),
            ("p\0", "c", "platform \"p\\0\" holds a NUL byte: names are text without NUL"),
        ] {
            assert_eq!(ConnectionKey::new(platform, connection).unwrap_err().to_string(), message);
        }
        let widest = "é".repeat(128);
        assert_eq!(ConnectionKey::new(&widest, "c").unwrap().platform(), widest);
    }
}
