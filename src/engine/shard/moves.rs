//! What a shard does when the ring moves: goes on with what it still owns, and sends on whoever waits for what is another's.
//!
//! Promises: no waiter is sent on while a slot may be under way to it; a proposal that came by an old ring is made again by the new one.

use super::{CALM_AFTER_MOVE, Caller, Effect, Shard, View};
use crate::engine::key::ConnectionKey;
use crate::engine::throttle::Now;
use crate::engine::time::Timestamp;

impl<T: Caller> Shard<T> {
    /// Goes on by the newest ring that the node has applied.
    pub fn ring_changed(&mut self, local: Timestamp, view: &impl View) {
        let now = self.ledger_clock.now(local);
        self.take_ring(now, view);
    }

    /// Whether this shard owns the connection by the newest ring that its node has applied. Who asks may have seen it before this shard was told.
    pub(super) fn owns(&mut self, now: Now, key: &ConnectionKey, view: &impl View) -> bool {
        if self.connections.get(key).is_some_and(|resident| !resident.is_leaving) {
            return true;
        }
        self.take_ring(now, view);
        self.ring.owner(key) == Some(self.id)
    }

    /// What is another's now goes to them, and what was refused by the old ring is asked for again.
    fn take_ring(&mut self, now: Now, view: &impl View) {
        let newest = view.ring();
        if newest.epoch() <= self.ring.epoch() {
            return;
        }
        self.former_ring = std::mem::replace(&mut self.ring, newest);
        self.newest_epoch = self.newest_epoch.max(self.ring.epoch());
        // Nothing is taken for younger than it was when this ring was applied.
        let (stamp, applied_at) = view.newest_stamp();
        self.ledger_clock.learn(stamp, applied_at);
        let now = self.ledger_clock.now(now.local);
        self.move_settles_at = Some(now.local + CALM_AFTER_MOVE);
        let mut keys = Vec::with_capacity(self.connections.len());
        let mut connections = 0;
        #[expect(clippy::iter_over_hash_type, reason = "what is found is sorted before anything is done")]
        for (key, resident) in &mut self.connections {
            let left_before = resident.is_leaving;
            resident.is_leaving = self.ring.owner(key) != Some(self.id);
            connections += usize::from(resident.is_leaving && !left_before);
            // One without a wake was looked at while the ring was on its way.
            if resident.is_leaving || !resident.throttle.queue().is_empty() || resident.wakes_at.is_none() {
                keys.push(key.clone());
            }
        }
        keys.sort_unstable();
        let epoch = self.ring.epoch();
        self.effects.extend((connections > 0).then_some(Effect::Moved { epoch, connections }));
        for key in keys {
            self.with(now, &key, |_, _, _| ());
        }
    }

    /// Sends the waiters of a connection on to its new owner, once no slot is under way to them.
    pub(super) fn hand_over(&mut self, key: &ConnectionKey) {
        if let Some(resident) = self.connections.get_mut(key)
            && !resident.throttle.is_asking()
        {
            resident.throttle.hand_over(&mut self.decided);
            self.leave(key);
        }
        self.carry_out(key);
    }

    /// Takes a connection out of memory.
    pub(super) fn leave(&mut self, key: &ConnectionKey) {
        let Some(resident) = self.connections.remove(key) else { return };
        self.note_aside(key, false);
        if let Some(at) = resident.wakes_at {
            self.wakes.remove(&(at, key.clone()));
        }
        if self.connections.len() < self.connections.capacity() / 4 {
            self.connections.shrink_to(self.connections.len() * 2);
        }
    }
}
