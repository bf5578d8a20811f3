//! What is held back while nobody knows what was granted before.
//!
//! A cluster that begins without a history, or with part of one, may follow another that has just granted. It takes every window to be full at that moment.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::rate::RateLimit;
use crate::engine::time::LedgerTime;

/// No charge counts for longer: the longest window is 7 days, and its margins are minutes.
const LONGEST: Duration = Duration::from_secs(8 * 24 * 3600);

/// From a moment on, each connection is held back for as long as a charge of that moment would count there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hold {
    since: LedgerTime,
    at_most: Duration,
}

impl Hold {
    /// From `since` on, for `at_most`: where charges count longer than that, one of before may still count when the hold ends.
    pub(super) fn new(since: LedgerTime, at_most: Duration) -> Self {
        Self { since, at_most: at_most.min(LONGEST) }
    }

    /// When a connection of these limits may be charged again.
    pub(super) fn until(self, limits: impl Iterator<Item = RateLimit>) -> LedgerTime {
        let longest = limits.map(|limit| limit.delivery_bound() + limit.span()).max().unwrap_or_default();
        self.since + longest.min(self.at_most)
    }

    /// When nothing is held back any more.
    pub(super) fn ends_at(self) -> LedgerTime {
        self.since + self.at_most
    }
}
