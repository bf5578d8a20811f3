//! By which rules the ledger applies its entries: its level, which an entry of its own raises.
//!
//! A release that changes what an entry does, or what the log carries, does so from a new level on, and keeps the rules of the levels before. The level is raised
//! when all who apply the log know the new one: until then nodes of two releases apply it alike.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A level of the ledger, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Level(u32);

/// The ledger has rules that this release does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the cluster's ledger is at level {found}; this release knows levels up to {}: start a newer release", Level::NEWEST)]
pub struct UnknownLevel {
    /// Its level.
    pub found: Level,
}

impl Level {
    /// That of a new ledger.
    pub const FIRST: Self = Self(1);

    /// The newest that this release knows: with the feature `next-level`, which only a test builds, one that is to come.
    pub const NEWEST: Self = Self(if cfg!(feature = "next-level") { 2 } else { 1 });

    /// The level of this number; anything below the first is the first.
    #[must_use]
    pub fn new(number: u32) -> Self {
        Self(number).max(Self::FIRST)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether this release knows it.
    ///
    /// # Errors
    /// [`UnknownLevel`].
    pub fn check(self) -> Result<(), UnknownLevel> {
        if self <= Self::NEWEST { Ok(()) } else { Err(UnknownLevel { found: self }) }
    }

    /// How long a connection rests after a charge: what the level to come changes, so that a test sees which rules hold.
    pub(super) fn rest_after_charge(self) -> Option<Duration> {
        (self > Self::FIRST).then_some(Duration::from_secs(1))
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::FIRST
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
