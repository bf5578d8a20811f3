//! Limits that operators have set: they rule over what callers say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::key::ConnectionKey;
use crate::engine::pattern::LimitPattern;
use crate::engine::rate::Limits;

/// The most patterns that limits may be set for.
pub const MAX_POLICIES: usize = 10_000;

/// Limits by the connections that they rule over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies(BTreeMap<LimitPattern, Limits>);

impl Policies {
    /// The limits that rule over a connection, and by which pattern: of all that fit it, the longest.
    #[must_use]
    pub fn ruling(&self, key: &ConnectionKey) -> Option<(&LimitPattern, &Limits)> {
        if self.0.is_empty() {
            return None;
        }
        LimitPattern::of(key).find_map(|pattern| self.0.get_key_value(&pattern))
    }

    /// All of them, in order of their patterns.
    pub fn iter(&self) -> impl Iterator<Item = (&LimitPattern, &Limits)> {
        self.0.iter()
    }

    /// Sets a pattern's limits, unless there are [`MAX_POLICIES`] other patterns; says whether it had others before.
    ///
    /// # Errors
    /// The bound.
    pub(super) fn set(&mut self, pattern: &LimitPattern, limits: &Limits) -> Result<bool, usize> {
        if self.0.len() >= MAX_POLICIES && !self.0.contains_key(pattern) {
            return Err(MAX_POLICIES);
        }
        Ok(self.0.insert(pattern.clone(), limits.clone()).is_some())
    }

    /// Says whether there were limits of exactly this pattern.
    pub(super) fn delete(&mut self, pattern: &LimitPattern) -> bool {
        self.0.remove(pattern).is_some()
    }
}
