//! What a worker calls through: a connection, how urgent, how much it may take.

use crate::engine::invalid::InvalidInput;
use crate::engine::key::ConnectionKey;
use crate::engine::rate::{Limits, Niceness, RateLimit};

/// A connection to a rate-limited platform, as one caller sees it. Cheap to clone.
///
/// ```
/// use std::time::Duration;
/// use turnstile::{Connection, Niceness, RateLimit};
///
/// # fn main() -> Result<(), turnstile::InvalidInput> {
/// // Jira allows 20 requests in 2 s and 100 in 30 s on one issue: both hold.
/// let issue = Connection::new("jira", "acme/PROJ-1", RateLimit::new(20, Duration::from_secs(2))?)?
///     .and_limit(RateLimit::new(100, Duration::from_secs(30))?)?
///     .with_niceness(Niceness::new(5));
/// assert_eq!(issue.key().to_string(), "jira/acme/PROJ-1");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    key: ConnectionKey,
    limits: Limits,
    niceness: Niceness,
}

impl Connection {
    /// The connection `connection` of `platform`, most urgent, with one limit.
    ///
    /// # Errors
    /// [`InvalidInput`] when a name is empty, longer than 256 bytes, or holds a NUL byte.
    pub fn new(platform: &str, connection: &str, limit: RateLimit) -> Result<Self, InvalidInput> {
        let key = ConnectionKey::new(platform, connection)?;
        Ok(Self { key, limits: Limits::new([limit])?, niceness: Niceness::URGENT })
    }

    /// The connection of this key, with these limits.
    #[cfg(feature = "cli")]
    pub(crate) const fn from_parts(key: ConnectionKey, limits: Limits) -> Self {
        Self { key, limits, niceness: Niceness::URGENT }
    }

    /// The same connection with one more limit; all must have room.
    ///
    /// # Errors
    /// [`InvalidInput::LimitCount`] when it has 8 already.
    pub fn and_limit(self, limit: RateLimit) -> Result<Self, InvalidInput> {
        let limits = Limits::new(self.limits.iter().copied().chain([limit]))?;
        Ok(Self { limits, ..self })
    }

    /// The same connection for calls of another niceness.
    #[must_use]
    pub fn with_niceness(self, niceness: Niceness) -> Self {
        Self { niceness, ..self }
    }

    /// Its identity.
    #[must_use]
    pub const fn key(&self) -> &ConnectionKey {
        &self.key
    }

    /// What it may take.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How far its calls step back for others.
    #[must_use]
    pub const fn niceness(&self) -> Niceness {
        self.niceness
    }
}
