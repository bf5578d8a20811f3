//! Permits that were given back by name, so that none comes back twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::command::PermitId;
use crate::engine::time::LedgerTime;

/// The most permits of one connection that are remembered. Further ones stay used.
const MAX_REMEMBERED: usize = 4096;

/// By permit, until when its charge could still be given back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GivenBack(BTreeMap<PermitId, LedgerTime>);

impl GivenBack {
    /// Whether this permit was given back.
    pub(super) fn has(&self, permit: PermitId) -> bool {
        self.0.contains_key(&permit)
    }

    /// Whether one more can be noted; forgets those whose charges can't be given back any more.
    pub(super) fn has_room(&mut self, now: LedgerTime) -> bool {
        if self.0.len() >= MAX_REMEMBERED {
            self.0.retain(|_, until| *until > now);
        }
        self.0.len() < MAX_REMEMBERED
    }

    /// Notes one.
    pub(super) fn note(&mut self, permit: PermitId, until: LedgerTime) {
        self.0.insert(permit, until);
    }
}
