//! When a shard looks at its connections again: in the order of their wakes.

use super::{Caller, Shard};
use crate::engine::key::ConnectionKey;
use crate::engine::throttle::Now;
use crate::engine::time::Timestamp;

impl<T: Caller> Shard<T> {
    /// When to call [`Shard::wake`], if nothing else happens before.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.wakes.first().map(|&(at, _)| at)
    }

    /// Looks at every connection whose time has come.
    pub fn wake(&mut self, local: Timestamp) {
        let now = self.ledger_clock.now(local);
        while let Some((at, key)) = self.wakes.pop_first() {
            if at > local {
                self.wakes.insert((at, key));
                break;
            }
            if let Some(resident) = self.connections.get_mut(&key) {
                resident.wakes_at = None;
            }
            self.with(now, &key, |_, _, _| ());
        }
    }

    /// Notes when the connection wants to be looked at again, or lets it leave memory.
    pub(super) fn schedule(&mut self, now: Now, key: &ConnectionKey) {
        let Some(resident) = self.connections.get_mut(key) else { return };
        if resident.throttle.is_idle(now) {
            self.leave(key);
            return;
        }
        if resident.throttle.queue().is_empty() {
            resident.throttle.shrink();
        }
        let Some(at) = resident.throttle.next_wake(now) else { return };
        if resident.wakes_at.is_none_or(|earlier| at < earlier) {
            if let Some(later) = resident.wakes_at.replace(at) {
                self.wakes.remove(&(later, key.clone()));
            }
            self.wakes.insert((at, key.clone()));
        }
    }
}
