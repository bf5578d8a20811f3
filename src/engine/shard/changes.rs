//! What changes for connections, for nobody who waits.

use super::{Caller, Shard, View};
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::Adjusted;
use crate::engine::time::{LedgerTime, Timestamp};

impl<T: Caller> Shard<T> {
    /// Notes what the ledger has changed, for nobody who waits, and at which stamp: once, whether or not this node has applied it yet.
    pub fn adjusted(&mut self, local: Timestamp, key: ConnectionKey, change: (LedgerTime, Adjusted), view: &impl View) {
        let (stamp, adjusted) = change;
        let applied = view.newest_stamp().0;
        self.ahead.retain(|(_, (stamp, _))| *stamp > applied);
        match self.connections.get(&key).map(|resident| resident.copied_at) {
            Some(copied_at) if copied_at < stamp => {
                let now = self.ledger_clock.now(local);
                self.with(now, &key, |throttle, _, _| throttle.adjusted(stamp, &adjusted));
            }
            None if applied < stamp => self.ahead.push((key, change)),
            // Whoever reads it from the ledger has it.
            Some(_) | None => {}
        }
    }

    /// Has the limits rule that operators have set by now.
    pub fn policies_changed(&mut self, local: Timestamp, view: &impl View) {
        let now = self.ledger_clock.now(local);
        let mut keys: Vec<ConnectionKey> = self.connections.keys().cloned().collect();
        keys.sort_unstable();
        for key in keys {
            let policy = view.policy(&key);
            if self.connections.get(&key).is_some_and(|resident| resident.throttle.policy() != policy.as_ref()) {
                self.with(now, &key, |throttle, _, decided| throttle.rule(now, policy, decided));
            }
        }
    }
}
