//! Which connections an operator means.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::invalid::InvalidInput;
use crate::engine::key::ConnectionKey;

/// What a pattern ends with that means more than one connection.
const WILDCARD: char = '*';

/// One connection, or all of a platform whose ids begin alike: `slack/acme`, `jira/acme/*`, `slack/*`.
///
/// A connection's id that ends with `*` itself can't be meant alone.
///
/// ```
/// use turnstile::{ConnectionKey, LimitPattern};
///
/// # fn main() -> Result<(), turnstile::InvalidInput> {
/// let pattern = LimitPattern::new("jira", "acme/*")?;
/// assert!(pattern.fits(&ConnectionKey::new("jira", "acme/PROJ-1")?));
/// assert!(!pattern.fits(&ConnectionKey::new("jira", "other/PROJ-1")?));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LimitPattern {
    platform: Box<str>,
    connection: Box<str>,
}

impl LimitPattern {
    /// The connection `connection` of `platform`, or, with a `*` at its end, all whose ids begin with what is before it.
    ///
    /// # Errors
    /// As for a [`ConnectionKey`]: 1 to 256 bytes each, without NUL.
    pub fn new(platform: &str, connection: &str) -> Result<Self, InvalidInput> {
        ConnectionKey::new(platform, connection)?;
        Ok(Self { platform: platform.into(), connection: connection.into() })
    }

    /// Its platform.
    #[must_use]
    pub fn platform(&self) -> &str {
        &self.platform
    }

    /// Its connection, as it was written.
    #[must_use]
    pub fn connection(&self) -> &str {
        &self.connection
    }

    /// Whether it means this connection.
    #[must_use]
    pub fn fits(&self, key: &ConnectionKey) -> bool {
        *self.platform == *key.platform()
            && match self.connection.strip_suffix(WILDCARD) {
                Some(beginning) => key.connection().starts_with(beginning),
                None => *self.connection == *key.connection(),
            }
    }

    /// All patterns that mean this connection, the one that says most first.
    pub(super) fn of(key: &ConnectionKey) -> impl Iterator<Item = Self> + '_ {
        let (platform, id) = (key.platform(), key.connection());
        let exact = std::iter::once(id.to_owned()).filter(|id| !id.ends_with(WILDCARD));
        let ends = id.char_indices().map(|(end, _)| end).chain([id.len()]);
        let ends: Vec<usize> = ends.collect();
        let beginnings =
            ends.into_iter().rev().filter_map(move |end| id.get(..end).map(|beginning| format!("{beginning}{WILDCARD}")));
        exact.chain(beginnings).map(move |connection| Self { platform: platform.into(), connection: connection.into() })
    }
}

/// `slack/*`.
impl fmt::Display for LimitPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.platform, self.connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_of_a_connection_all_fit_it_and_come_from_the_narrowest_to_the_widest() {
        let key = ConnectionKey::new("jira", "aé/1").expect("a key");
        let patterns: Vec<LimitPattern> = LimitPattern::of(&key).collect();
        let written: Vec<String> = patterns.iter().map(LimitPattern::to_string).collect();
        assert_eq!(written, ["jira/aé/1", "jira/aé/1*", "jira/aé/*", "jira/aé*", "jira/a*", "jira/*"]);
        assert!(patterns.iter().all(|pattern| pattern.fits(&key)));
    }

    #[test]
    fn an_id_that_ends_with_a_star_is_meant_by_patterns_only() {
        let key = ConnectionKey::new("p", "a*").expect("a key");
        let written: Vec<String> = LimitPattern::of(&key).map(|pattern| pattern.to_string()).collect();
        assert_eq!(written, ["p/a**", "p/a*", "p/*"]);
    }
}
